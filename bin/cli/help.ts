/** What `--help` prints. */
export const HELP = `Expires the free credit grants of internal users. Without options: a dry run, which writes nothing to the ledger.

  npm start -- [options]

Without DATABASE_URL and LOG_BUCKET it works on a sandbox in .sandbox/: a PostgreSQL and an S3 server of its own, with
a sample ledger. npm run sandbox:reset starts that over.

What to do
  (nothing)                dry run over all internal users
  --execute                expire for real
  --execute --plan <id>    expire exactly what that dry run showed
  --rollback <id>          show what undoing that run would do; with --execute, undo it
  --resume <id>            go on with an unfinished run
  --cancel <id>            close an unfinished run where it stands
  --status [<id>]          the state of a run; without an id, of the latest
  --runs                   all runs of the bucket: mode, status, users, dollars, who asked
  --event '<json>'         the exact payload, as the deployed function takes it

For whom and how
  --domains a,b            only some of the configured domains
  --user-ids a,b           only these users
  --batch-size <n>         users a page, 1 to 2000 (150)
  --concurrency <n>        pages in flight, 1 to 16 (4)
  --reason "<text>"        kept in the run's records
  --restart [<id>]         close that unfinished writing run first; without an id, whichever is open

This command
  --yes                    do not ask before writing to a database of your own
  --wait                   wait while somebody else is at work on the run, instead of ending
  --json                   print the exit card alone; everything else goes to standard error
  --invocation-seconds <n> length of one invocation, 10 to 900 (60, or INVOCATION_SECONDS); repeated until the run is closed
  --debug                  the job's log and stack traces, on standard error
  --help                   this text

Ctrl-C stops in good order after the pages in flight; a second one stops hard. Both can be gone on with.

Exit status: 0 complete; 1 failed or refused; 2 complete with errors, stopped or cancelled (0 for --cancel itself);
3 incomplete or busy. After a Ctrl-C npm may answer with its own, 130.

Examples
  npm start
  npm start -- --execute
  npm start -- --execute --domains kilo.ai --reason "quarterly clean-up"
  npm start -- --status
  npm start -- --event '{"execute":true,"limits":{"usd":500}}'
  DATABASE_URL=postgres://user:password@host:5432/db LOG_BUCKET=my-logs npm start
  npm start --silent -- --json | jq .totals

Environment: DATABASE_URL, READONLY_DATABASE_URL (for dry runs), LOG_BUCKET, AWS_ENDPOINT_URL_S3, the usual AWS
variables, INTERNAL_DOMAINS and the limits. TLS to the database is verified; a private authority goes into
NODE_EXTRA_CA_CERTS.
`

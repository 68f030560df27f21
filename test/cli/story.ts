import { readdirSync } from 'node:fs'
import { longFlag, OPTIONS } from '../../bin/cli/line/options.ts'
import { main } from '../../bin/cli/main.ts'
import { processTerminal } from '../../bin/cli/terminal.ts'
import { BUCKET } from '../../bin/sandbox/sandbox.ts'

/** One command of the story, its exit status, and what it prints, with one blank for any space. */
export type Step = {
  readonly line: string
  readonly status: number
  readonly says: RegExp
  /** Its output is for programs, whose lines may be of any length. */
  readonly forPrograms?: true
}

/**
 * Every option, in one sandbox. The ledger is as before in the end, so that the story can be told again.
 * Words with spaces are in quotes; `<execute>` is the id of the latest such run.
 */
export const STORY: readonly Step[] = [
  { line: '--help', status: 0, says: /What to do:.*--execute.*Exit status:.*Examples:/ },
  { line: '--version', status: 0, says: /^\d+\.\d+\.\d+ ?$/ },
  { line: '--check', status: 0, says: /Check: passed/ },
  { line: "--reason 'a first look' --by Ada", status: 0, says: /Asked by: Ada .*a first look/ },
  { line: '--dry-run --domains kilo.ai', status: 0, says: /Dry run .*Users matched.*Next: / },
  { line: '--except-user-ids ada@kilo.ai', status: 0, says: /excluded 1/ },
  { line: '--user-ids hugo@kilo.ai --categories team-*', status: 0, says: /Users matched 1/ },
  { line: '--execute --limit-users 3', status: 1, says: /refused: .*the limit is 3/ },
  { line: '--execute --limit-grants 3', status: 1, says: /refused: .*the limit is 3/ },
  { line: '--execute --limit-usd 3', status: 1, says: /refused: .*the limit is \$3/ },
  {
    line: '--execute --user-ids salma@kilo.ai --limit-corrections-usd 0 --gentle',
    status: 0,
    says: /Execute .*complete: .*Users matched 1/,
  },
  { line: '--batch-size 7 --concurrency 2', status: 0, says: /Dry run .*complete: / },
  { line: '--execute --plan latest --yes', status: 0, says: /Plan: .*expired 3\d.*Next: / },
  { line: '--execute --restart', status: 1, says: /no writing run is open/ },
  { line: '--status', status: 0, says: /Execute .*complete: / },
  { line: '--runs', status: 0, says: /run status .*-execute-/ },
  { line: '--runs --html runs.html', status: 0, says: /A page of \d+ runs?, \d+ with a report:/ },
  { line: '--verify latest --public-key no.pem', status: 1, says: /no\.pem/ },
  { line: '--history ada@kilo.ai --from 2026-01 --to 2099-01', status: 0, says: /History.*-execute-/ },
  { line: '--history ada@kilo.ai --dry-runs', status: 0, says: /History.*-dry-run-.*-execute-/ },
  { line: '--verify latest', status: 0, says: /Verify/ },
  { line: '--report latest', status: 0, says: /Report: made .*Report: \.sandbox\/\S+\/report\.html/ },
  { line: '--open', status: 1, says: /report\.html.*No program opened it/ },
  { line: '--resume latest --intents-restored --wait', status: 0, says: /Execute .*complete: / },
  { line: '--cancel latest', status: 0, says: /Execute .*complete: / },
  { line: '--abandon <execute> --reason lost', status: 1, says: /Nothing was/ },
  { line: "--hold 'a migration'", status: 0, says: /Hold: held/ },
  { line: '--execute', status: 3, says: /held by .*--release/ },
  {
    line: "--rollback <execute> --execute --under-hold --reason 'it was a test'",
    status: 0,
    says: /Rollback .*complete: .*rolled_back/,
  },
  { line: '--release done', status: 0, says: /Release: released/ },
  { line: '--diff <dry-run> <execute>', status: 0, says: /Compared: same.*Difference \$0\.00/ },
  { line: '--local-logs', status: 1, says: /--local-logs is for DATABASE_URL without LOG_BUCKET/ },
  { line: '--invocation-seconds 5', status: 1, says: /--invocation-seconds must be from 10 to 900/ },
  { line: `--event '{"status":"latest"}' --json`, status: 0, says: /"runId": "/, forPrograms: true },
  { line: '--status --debug', status: 0, says: /Rollback .*complete: /, forPrograms: true },
  // The last, since it ends the output.
  { line: '--csv users <execute>', status: 0, says: /user_id,.*total,/, forPrograms: true },
]

/** The options that no command of the story has. */
export function optionsLeftOut(): string[] {
  const told = STORY.flatMap(({ line }) => line.split(' '))
  return [...OPTIONS.map(longFlag), '--help', '--version'].filter((option) => !told.includes(option))
}

/** After every command but the last, on both outputs where they are two, with its exit status. */
export const MARK = '\u00a7'

/** Runs one command after the other in this process, as `npm start` would. */
async function tell(): Promise<void> {
  // No program that would open a report.
  const environment = { ...process.env, PATH: '/nowhere' }
  const terminal = processTerminal()
  for (const { line } of STORY) {
    process.env = { ...environment }
    const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word = '']) => quoted ?? idFor(word))
    process.exitCode = await main(words, terminal)
    const mark = `${MARK}${process.exitCode}\n`
    if (process.stdout.writable) process.stdout.write(mark)
    if (!process.stderr.isTTY) process.stderr.write(mark)
  }
}

function idFor(word: string): string {
  const [, mode] = /^<(.*)>$/.exec(word) ?? []
  if (mode === undefined) return word
  return (
    readdirSync(`.sandbox/s3/${BUCKET}/runs`)
      .toSorted()
      .findLast((id) => id.includes(`Z-${mode}-`)) ?? word
  )
}

if (import.meta.main) await tell()

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { nearest } from '../../../lambda/nearest.ts'
import { wrapped } from '../print/prose.ts'

/** The command line or the environment is wrong. The message names the option and shows what to do. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** One option of the command: parser, help, payload and docs/command.md come from this. */
export type CommandOption = {
  /**
   * As commander has them: `-y, --yes`; `<n>` takes a number, `<a,b>` a list, `<run id...>` several words;
   * what is in square brackets may be left out.
   */
  readonly flags: string
  readonly help: string
  /** The field of the payload that it sets, dotted where it is nested. */
  readonly field?: string
  /** What a switch, or an option without its value, sets the field to. */
  readonly sends?: string | boolean
  readonly hidden?: true
}

const GROUPS: Readonly<Record<string, readonly CommandOption[]>> = {
  'What to do': [
    { flags: '--execute', field: 'execute', sends: true, help: 'write; without it, a dry run' },
    { flags: '--dry-run', field: 'execute', sends: false, help: 'write nothing (the default)' },
    { flags: '--plan <dry run id>', field: 'plan', help: 'with --execute: expire only what it showed' },
    { flags: '--rollback <run id>', field: 'rollback', help: 'show the rollback; with --execute, roll back' },
    { flags: '--resume <run id>', field: 'resume', help: 'continue an open run' },
    { flags: '--cancel <run id>', field: 'cancel', help: 'close an open run' },
    { flags: '--abandon <run id>', field: 'abandon', help: 'close an open run whose objects cannot be read' },
    { flags: '--hold <reason>', field: 'hold', help: 'let no writing run open or continue' },
    { flags: '--release <reason>', field: 'release', help: 'end the hold' },
    { flags: '--event <json>', help: 'send this payload, as the deployed function takes it' },
  ],
  'What to look at': [
    { flags: '--check', field: 'check', sends: true, help: 'check database, rights, bucket, clock, hold' },
    { flags: '--status [run id]', field: 'status', sends: 'latest', help: 'show a run (the latest)' },
    { flags: '--runs', help: 'list the runs in the bucket' },
    {
      flags: '--html [file]',
      sends: 'credit-expiry-runs.html',
      help: 'with --runs: write a page that links their reports (credit-expiry-runs.html)',
    },
    {
      flags: '--history <user>',
      field: 'history',
      help: 'what the runs did to a user (id or e-mail address)',
    },
    { flags: '--from <time>', field: 'from', help: 'with --history: from this month, day or time' },
    { flags: '--to <time>', field: 'to', help: 'with --history: up to this month, day or time' },
    { flags: '--dry-runs', field: 'dryRuns', sends: true, help: 'with --history: dry runs too' },
    { flags: '--verify <run id>', field: 'verify', help: 'compare the logs and the ledger with a run' },
    { flags: '--public-key <file>', help: 'with --verify: check signatures with the keys in this file' },
    { flags: '--diff <run id...>', field: 'diff', help: 'compare two runs' },
    { flags: '--report <run id>', field: 'report', help: 'make the report of a run again' },
    {
      flags: '--csv [kind and run id...]',
      help: 'print users, grants or mutations of a run as CSV; alone, with --history: that',
    },
    {
      flags: '--open [run id]',
      sends: 'latest',
      help: 'open the report of a run (the latest); with --runs --html: that page',
    },
  ],
  'Which users and limits': [
    { flags: '--domains <a,b>', field: 'domains', help: 'only these of the configured domains' },
    { flags: '--user-ids <a,b>', field: 'userIds', help: 'only these users, by id or e-mail address' },
    { flags: '--except-user-ids <a,b>', field: 'exceptUserIds', help: 'all but these users' },
    { flags: '--categories <a,b>', field: 'categories', help: 'only grants of these, such as kilo-pass-*' },
    { flags: '--limit-users <n>', field: 'limits.users', help: 'refuse to write to more users' },
    { flags: '--limit-grants <n>', field: 'limits.grants', help: 'refuse to expire more grants' },
    { flags: '--limit-usd <n>', field: 'limits.usd', help: 'refuse a higher face value of the grants' },
    {
      flags: '--limit-corrections-usd <n>',
      field: 'limits.correctionsUsd',
      help: 'stop before corrections exceed this',
    },
  ],
  How: [
    { flags: '--reason <text>', field: 'reason', help: "kept in the run's records" },
    { flags: '--by <name>', field: 'by', help: 'who asks, in place of your user name' },
    {
      flags: '--restart [run id]',
      field: 'restart',
      sends: 'latest',
      help: 'close that run (the open one) first',
    },
    { flags: '--batch-size <n>', field: 'batchSize', help: 'users a page, 1 to 2000' },
    { flags: '--concurrency <n>', field: 'concurrency', help: 'pages in flight, 1 to 16' },
    { flags: '--gentle', field: 'gentle', sends: true, help: 'small steps with pauses, for a busy database' },
    { flags: '--under-hold', field: 'underHold', sends: true, help: 'roll back although writing is held' },
    {
      flags: '--intents-restored',
      field: 'intentsRestored',
      sends: true,
      help: 'with --resume or --cancel: expired intents were restored',
    },
    { flags: '--wait', help: 'wait while another invocation holds the lease' },
  ],
  'This command': [
    { flags: '-y, --yes', help: 'do not ask before writing' },
    { flags: '--local-logs', help: 'write without LOG_BUCKET, with the logs in .sandbox/' },
    { flags: '--json', help: 'print only the exit card or the answer' },
    { flags: '--debug', help: "show the job's log and stack traces" },
    { flags: '--invocation-seconds <n>', help: 'the length of one invocation', hidden: true },
  ],
}

export const OPTIONS: readonly CommandOption[] = Object.values(GROUPS).flat()

/** The options as given, by their names in camel case: switches as true, texts, numbers and lists. */
export type Given = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>

export function isSwitch({ flags }: CommandOption): boolean {
  return !/[<[]/.test(flags)
}

/** Whether the option takes several words, as `--diff a b`. */
export function isSeveral({ flags }: CommandOption): boolean {
  return /\.\.\.[>\]]$/.test(flags)
}

/** `--user-ids` */
export function longFlag({ flags }: CommandOption): string {
  return /--[a-z-]+/.exec(flags)?.[0] ?? flags
}

/** `userIds` for `--user-ids`: the name of its value in what was given. */
export function keyOf({ flags, help }: CommandOption): string {
  return new Option(flags, help).attributeName()
}

const NOTES =
  'Without DATABASE_URL and LOG_BUCKET it uses a sandbox in .sandbox/: PostgreSQL and S3, with a ' +
  'sample ledger. A run id may be "latest". Ctrl-C stops after the pages in flight; --resume continues ' +
  'the run.'

const EXIT_STATUS = [
  'complete, or cancelled by --cancel',
  'failed or refused',
  'complete with errors, stopped, cancelled, or differences found',
  'incomplete, busy or held, or something could not be read',
]

const EXAMPLES = `Examples:
  npm start
  npm start -- --execute --plan latest
  npm start -- --execute --user-ids ada@kilo.ai --reason "clean-up"
  npm start -- --rollback latest
  npm start -- --history ada@kilo.ai --from 2026-10
  npm start --silent -- --json | jq .totals
`

function afterHelp(columns: number): string {
  const statuses = EXIT_STATUS.flatMap((text, status) => wrapped(text, columns, `  ${status}  `, '     '))
  return ['', ...wrapped(NOTES, columns), '', 'Exit status:', ...statuses, '', EXAMPLES].join('\n')
}

/** What came of reading the command line: options to act on, or a text to print. */
export type Parsed = { readonly given: Given } | { readonly print: string }

/**
 * Reads the command line.
 * @throws UsageError for an unknown option, a wrong or missing value, and anything that is not an option
 */
export function readOptions(args: readonly string[], version: string, columns = 80): Parsed {
  let printed = ''
  const width = Math.min(columns, 100)
  const command = commander(version, width).configureOutput({
    writeOut: (text) => (printed += text),
    writeErr: () => {},
    getOutHelpWidth: () => width,
    getOutHasColors: () => false,
  })
  try {
    command.parse([...args], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return { print: printed }
    throw new UsageError(`${sentenceFor(error)} Nothing was done. npm start -- --help shows all options.`, {
      cause: error,
    })
  }
  return { given: command.opts() }
}

function commander(version: string, width: number): Command {
  const command = new Command('npm start --')
    .configureHelp({ optionDescription: ({ description }) => description, minWidthToWrap: 20 })
    .usage('[options]')
    .description('Expires the free credit grants of internal users. Without --execute it is a dry run.')
    .helpOption('-h, --help', 'show this help')
    .version(version, '--version', 'show the version')
    .addHelpText('after', afterHelp(width))
    .allowExcessArguments(false)
    .exitOverride()
  for (const [group, options] of Object.entries(GROUPS))
    for (const option of options) command.addOption(optionOf(option).helpGroup(`${group}:`))
  return command
}

function optionOf(option: CommandOption): Option {
  const { flags, help, sends, hidden } = option
  const built = new Option(flags, help).hideHelp(hidden ?? false)
  if (isSwitch(option)) return built
  if (sends !== undefined) built.preset(sends)
  if (!isSeveral(option)) return built.argParser((text: string) => valueOf(flags, text))
  return built.argParser((text: string, before?: unknown[]) => [...(before ?? []), valueOf(flags, text)])
}

function valueOf(flags: string, text: string): string | number | string[] {
  if (text.trim() === '') throw new InvalidArgumentError('It is empty.')
  if (OPTIONS.some((option) => text === longFlag(option)))
    throw new InvalidArgumentError('It is an option: the value is missing.')
  if (flags.endsWith('<n>')) {
    const example = flags.includes('usd') ? '1000.50' : '300'
    if (!/^\d+(\.\d+)?$/.test(text))
      throw new InvalidArgumentError(`It must be a number of 0 or more, digits only, like ${example}.`)
    return Number(text)
  }
  if (!flags.endsWith('<a,b>')) return text
  const entries = text.split(',').map((entry) => entry.trim())
  if (entries.includes(''))
    throw new InvalidArgumentError('It has an empty entry. Separate entries with one comma.')
  return entries
}

function sentenceFor({ code, message }: CommanderError): string {
  const text = message.replace(/^error: /, '')
  const quoted = /'([^']+)'/.exec(text)?.[1] ?? ''
  switch (code) {
    case 'commander.unknownOption':
      return `Unknown option ${quoted}.${likelyOption(quoted)}`
    case 'commander.optionMissingArgument':
      return `The value is missing: ${quoted}.`
    case 'commander.excessArguments': {
      const word = text.slice(text.lastIndexOf(':') + 2).replace(/\.$/, '')
      const likely = likelyOption(word)
      return `Unexpected argument ${word}.${likely || ' Lists have commas and no spaces; texts with spaces need quotes.'}`
    }
    default:
      return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
  }
}

function likelyOption(typed: string): string {
  const word = typed.replace(/^-+/, '').split('=')[0] ?? ''
  const likely = nearest(word, [...OPTIONS.map(nameOf), 'help', 'version'])
  return likely === undefined ? '' : ` Did you mean --${likely}?`
}

/** npm has settings with these names, which people set for reasons of their own. */
const OF_NPM_TOO: readonly string[] = ['json', 'yes', 'debug', 'diff']

/**
 * Refuses what npm has kept for itself: `npm start --execute` gives the command no argument, only an
 * environment variable.
 * @throws UsageError
 */
export function refuseWhatNpmKept(env: NodeJS.ProcessEnv): void {
  if (env.npm_lifecycle_event !== 'start') return
  const kept = OPTIONS.map(nameOf).filter(
    (name) => !OF_NPM_TOO.includes(name) && env[`npm_config_${name.replaceAll('-', '_')}`] !== undefined,
  )
  if (kept.length === 0) return
  const shown = kept.map((name) => `--${name}`).join(' ')
  throw new UsageError(
    `npm took ${shown} as its own option. Nothing was done. Put -- before the options: npm start -- ${shown}`,
  )
}

function nameOf(option: CommandOption): string {
  return longFlag(option).slice(2)
}

/** The options as a page of documentation. */
export function optionsMarkdown(): string {
  const groups = Object.entries(GROUPS).map(([group, options]) => {
    const rows = options
      .filter(({ hidden }) => hidden !== true)
      .map((option) => `| \`${option.flags}\` | ${option.help} | ${fieldText(option)} |`)
    return `## ${group}\n\n| option | | field of the payload |\n|---|---|---|\n${rows.join('\n')}\n`
  })
  return `# Options of the command\n\nGenerated from bin/cli/line/options.ts: \`npx vitest run test/cli/line/command.test.ts -u\`.\n\n${groups.join('\n')}`
}

function fieldText(option: CommandOption): string {
  const { field, sends } = option
  if (field === undefined) return ''
  return isSwitch(option) ? `\`${field}\`: ${String(sends)}` : `\`${field}\``
}

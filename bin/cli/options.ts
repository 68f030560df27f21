import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { nearest } from '../../lambda/nearest.ts'

/** The command line or the environment is wrong. The message names the option and shows what to do. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

type Group = 'What to do' | 'Which users and limits' | 'How' | 'This command'

/** One option of the command: parser, help, payload and docs/command.md come from this. */
export type CommandOption = {
  readonly name: string
  readonly short?: string
  readonly group: Group
  readonly help: string
  /** What it takes; a switch takes nothing. */
  readonly takes?: 'text' | 'list' | 'number'
  /** The value in the help, `<run id>`; in square brackets where it may be left out. */
  readonly value?: string
  /** The field of the payload that it sets, dotted where it is nested. */
  readonly field?: string
  /** What a switch, or an option without its value, sets the field to. */
  readonly sends?: string | boolean
  readonly hidden?: true
}

export const OPTIONS = [
  {
    name: 'execute',
    group: 'What to do',
    field: 'execute',
    sends: true,
    help: 'write; without it, a dry run',
  },
  {
    name: 'dry-run',
    group: 'What to do',
    field: 'execute',
    sends: false,
    help: 'write nothing (the default)',
  },
  {
    name: 'plan',
    group: 'What to do',
    takes: 'text',
    value: '<dry run id>',
    field: 'plan',
    help: 'with --execute: expire only what that dry run showed',
  },
  {
    name: 'rollback',
    group: 'What to do',
    takes: 'text',
    value: '<run id>',
    field: 'rollback',
    help: 'show the rollback of that run; with --execute, roll it back',
  },
  {
    name: 'resume',
    group: 'What to do',
    takes: 'text',
    value: '<run id>',
    field: 'resume',
    help: 'continue an open run',
  },
  {
    name: 'cancel',
    group: 'What to do',
    takes: 'text',
    value: '<run id>',
    field: 'cancel',
    help: 'close an open run',
  },
  {
    name: 'status',
    group: 'What to do',
    takes: 'text',
    value: '[run id]',
    field: 'status',
    sends: 'latest',
    help: 'show a run (default: the open or the latest one)',
  },
  { name: 'runs', group: 'What to do', help: 'list the runs in the bucket' },
  {
    name: 'event',
    group: 'What to do',
    takes: 'text',
    value: '<json>',
    help: 'send this payload, as the deployed function takes it',
  },
  {
    name: 'domains',
    group: 'Which users and limits',
    takes: 'list',
    value: '<a,b>',
    field: 'domains',
    help: 'only these of the configured domains',
  },
  {
    name: 'user-ids',
    group: 'Which users and limits',
    takes: 'list',
    value: '<a,b>',
    field: 'userIds',
    help: 'only these internal users, by id or e-mail address',
  },
  {
    name: 'limit-users',
    group: 'Which users and limits',
    takes: 'number',
    value: '<n>',
    field: 'limits.users',
    help: 'refuse to write to more users',
  },
  {
    name: 'limit-grants',
    group: 'Which users and limits',
    takes: 'number',
    value: '<n>',
    field: 'limits.grants',
    help: 'refuse to expire more grants',
  },
  {
    name: 'limit-usd',
    group: 'Which users and limits',
    takes: 'number',
    value: '<n>',
    field: 'limits.usd',
    help: 'refuse a higher face value of the grants',
  },
  {
    name: 'limit-corrections-usd',
    group: 'Which users and limits',
    takes: 'number',
    value: '<n>',
    field: 'limits.correctionsUsd',
    help: 'stop before corrections exceed this',
  },
  {
    name: 'reason',
    group: 'How',
    takes: 'text',
    value: '<text>',
    field: 'reason',
    help: "kept in the run's records",
  },
  {
    name: 'restart',
    group: 'How',
    takes: 'text',
    value: '[run id]',
    field: 'restart',
    sends: 'latest',
    help: 'close that open writing run first (default: the open one)',
  },
  {
    name: 'batch-size',
    group: 'How',
    takes: 'number',
    value: '<n>',
    field: 'batchSize',
    help: 'users a page, 1 to 2000',
  },
  {
    name: 'concurrency',
    group: 'How',
    takes: 'number',
    value: '<n>',
    field: 'concurrency',
    help: 'pages in flight, 1 to 16',
  },
  { name: 'wait', group: 'How', help: 'wait while another invocation holds the lease' },
  { name: 'yes', short: 'y', group: 'This command', help: 'do not ask before writing' },
  {
    name: 'local-logs',
    group: 'This command',
    help: 'with DATABASE_URL but no LOG_BUCKET: write, with the logs in .sandbox/',
  },
  { name: 'json', group: 'This command', help: 'print only the exit card on standard output' },
  { name: 'debug', group: 'This command', help: "show the job's log and stack traces on standard error" },
  {
    name: 'invocation-seconds',
    group: 'This command',
    takes: 'number',
    value: '<n>',
    help: 'the length of one invocation',
    hidden: true,
  },
] as const satisfies readonly CommandOption[]

export type OptionName = (typeof OPTIONS)[number]['name']

/** The options as given: switches as true, texts, numbers and lists. */
export type Given = Partial<Record<OptionName, string | number | boolean | readonly string[]>>

const EXAMPLES = `
Without DATABASE_URL and LOG_BUCKET it uses a sandbox in .sandbox/: PostgreSQL
and S3, with a sample ledger. A run id may be "latest". Ctrl-C stops after the
pages in flight; --resume continues the run.

Exit status:
  0  complete                      2  complete with errors, stopped, cancelled
  1  failed or refused             3  incomplete, busy or held

Examples:
  npm start
  npm start -- --execute --plan latest
  npm start -- --execute --user-ids ada@kilo.ai --reason "clean-up"
  npm start -- --rollback latest
  npm start --silent -- --json | jq .totals
`

/** What came of reading the command line: options to act on, or a text to print. */
export type Parsed = { readonly given: Given } | { readonly print: string }

/**
 * Reads the command line.
 * @throws UsageError for an unknown option, a wrong or missing value, and anything that is not an option
 */
export function readOptions(args: readonly string[], version: string, columns = 80): Parsed {
  let printed = ''
  const command = commander(version).configureOutput({
    writeOut: (text) => (printed += text),
    writeErr: () => {},
    getOutHelpWidth: () => Math.min(columns, 100),
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
  const values: Record<string, Given[OptionName]> = command.opts()
  const given = OPTIONS.flatMap((option) => {
    const value = values[optionOf(option).attributeName()]
    return value === undefined ? [] : [[option.name, value]]
  })
  return { given: Object.fromEntries(given) }
}

function commander(version: string): Command {
  const command = new Command('npm start --')
    .configureHelp({ optionDescription: ({ description }) => description })
    .usage('[options]')
    .description('Expires the free credit grants of internal users. Without --execute it is a dry run.')
    .helpOption('-h, --help', 'show this help')
    .version(version, '--version', 'show the version')
    .addHelpText('after', EXAMPLES)
    .allowExcessArguments(false)
    .exitOverride()
  for (const option of OPTIONS) command.addOption(optionOf(option))
  return command
}

function optionOf(option: CommandOption): Option {
  const { name, short, group, help, takes, value, sends, hidden } = option
  const flags = `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`
  const built = new Option(flags, help).helpGroup(`${group}:`).hideHelp(hidden ?? false)
  if (takes === undefined) return built
  if (sends !== undefined) built.preset(sends)
  return built.argParser((text: string) => valueOf(takes, text))
}

function valueOf(takes: 'text' | 'list' | 'number', text: string): string | number | string[] {
  if (text.trim() === '') throw new InvalidArgumentError('It is empty.')
  if (OPTIONS.some(({ name }) => text === `--${name}`))
    throw new InvalidArgumentError('It is an option: the value is missing.')
  if (takes === 'text') return text
  if (takes === 'number') {
    if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('It must be a number.')
    return Number(text)
  }
  const entries = text.split(',').map((entry) => entry.trim())
  if (entries.includes(''))
    throw new InvalidArgumentError('It has an empty entry. Separate entries with one comma.')
  return entries
}

function sentenceFor({ code, message }: CommanderError): string {
  const text = message.replace(/^error: /, '')
  const quoted = /'([^']+)'/.exec(text)?.[1] ?? ''
  switch (code) {
    case 'commander.unknownOption': {
      const word = quoted.replace(/^-+/, '').split('=')[0] ?? ''
      const likely = nearest(word, [...OPTIONS.map(({ name }) => name), 'help', 'version'])
      return `Unknown option ${quoted}.${likely === undefined ? '' : ` Did you mean --${likely}?`}`
    }
    case 'commander.optionMissingArgument':
      return `The value is missing: ${quoted}.`
    case 'commander.excessArguments':
      return `Unexpected argument ${text.slice(text.lastIndexOf(':') + 2)} Lists have commas and no spaces; texts with spaces need quotes.`
    default:
      return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
  }
}

/** npm has settings with these names, which people set for reasons of their own. */
const OF_NPM_TOO: readonly string[] = ['json', 'yes', 'debug']

/**
 * Refuses what npm has kept for itself: `npm start --execute` gives the command no argument, only an environment variable.
 * @throws UsageError
 */
export function refuseWhatNpmKept(env: NodeJS.ProcessEnv): void {
  if (env.npm_lifecycle_event !== 'start') return
  const kept = OPTIONS.map(({ name }) => name).filter(
    (name) => !OF_NPM_TOO.includes(name) && env[`npm_config_${name.replaceAll('-', '_')}`] !== undefined,
  )
  if (kept.length === 0) return
  const shown = kept.map((name) => `--${name}`).join(' ')
  throw new UsageError(
    `npm took ${shown} as its own option. Nothing was done. Put -- before the options: npm start -- ${shown}`,
  )
}

/** The options as a page of documentation. */
export function optionsMarkdown(): string {
  const all: readonly CommandOption[] = OPTIONS
  const shown = all.filter(({ hidden }) => hidden !== true)
  const groups = [...new Set(shown.map(({ group }) => group))].map((group) => {
    const rows = shown
      .filter((option) => option.group === group)
      .map((option) => `| \`${optionOf(option).flags}\` | ${option.help} | ${fieldText(option)} |`)
    return `## ${group}\n\n| option | | field of the payload |\n|---|---|---|\n${rows.join('\n')}\n`
  })
  return `# Options of the command\n\nGenerated from bin/cli/options.ts: \`npx vitest run test/cli/command.test.ts -u\`.\n\n${groups.join('\n')}`
}

function fieldText({ field, sends, takes }: CommandOption): string {
  if (field === undefined) return ''
  return takes === undefined ? `\`${field}\`: ${String(sends)}` : `\`${field}\``
}

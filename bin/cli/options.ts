import { parseArgs } from 'node:util'
import { nearest } from '../../lambda/nearest.ts'
import { UsageError } from './usage-error.ts'

/** What an option takes: nothing, a text, a list with commas, a whole number, or a run id that may be left out. */
type Takes = 'nothing' | 'text' | 'list' | 'number' | 'optional id'

export const OPTIONS = {
  execute: 'nothing',
  plan: 'text',
  rollback: 'text',
  resume: 'text',
  cancel: 'text',
  status: 'optional id',
  runs: 'nothing',
  event: 'text',
  domains: 'list',
  'user-ids': 'list',
  'batch-size': 'number',
  concurrency: 'number',
  reason: 'text',
  restart: 'optional id',
  yes: 'nothing',
  wait: 'nothing',
  json: 'nothing',
  'invocation-seconds': 'number',
  debug: 'nothing',
  help: 'nothing',
} as const satisfies Record<string, Takes>

export type OptionName = keyof typeof OPTIONS

/** The options as they were given, each once: switches as true, everything else as its text. */
export type Given = Partial<Record<OptionName, string | true>>

/** What `--status` and `--restart` without a run id stand for. */
export const LATEST = 'latest'

/**
 * Reads the command line; nothing is guessed, and nothing passed over.
 * @throws UsageError for an unknown option, one without its value or given twice, and anything that is no option
 */
export function readOptions(args: readonly string[]): Given {
  const options = Object.fromEntries(
    Object.entries(OPTIONS).map(([name, takes]) => [
      name,
      { type: takes === 'nothing' ? 'boolean' : 'string' } as const,
    ]),
  )
  const { tokens } = parseArgs({
    args: withValues(args),
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const given: Given = {}
  for (const token of tokens) {
    if (token.kind !== 'option') throw new UsageError(stray(token.kind === 'positional' ? token.value : '--'))
    if (!isOption(token.name)) throw new UsageError(unknown(token.rawName))
    if (given[token.name] !== undefined) throw new UsageError(`--${token.name} is given twice.`)
    given[token.name] = valueOf(token.name, token.value, token.inlineValue === true)
  }
  return given
}

export function isOption(name: string): name is OptionName {
  return Object.hasOwn(OPTIONS, name)
}

/** An option whose run id may be left out gets the word that stands for it. */
function withValues(args: readonly string[]): string[] {
  return args.map((arg, index) => {
    const name = arg.slice(2)
    if (!arg.startsWith('--') || !isOption(name) || OPTIONS[name] !== 'optional id') return arg
    const next = args[index + 1]
    return next === undefined || next.startsWith('-') ? `${arg}=${LATEST}` : arg
  })
}

function valueOf(name: OptionName, value: string | undefined, inline: boolean): string | true {
  if (OPTIONS[name] === 'nothing') {
    if (value !== undefined) throw new UsageError(`--${name} takes no value, but got "${value}".`)
    return true
  }
  if (value === undefined || value.trim() === '' || (!inline && value.startsWith('-'))) {
    throw new UsageError(
      `--${name} needs ${VALUES[OPTIONS[name]]} behind it. npm start -- --help shows examples.`,
    )
  }
  return value
}

const VALUES: Record<Takes, string> = {
  nothing: 'nothing',
  text: 'a value',
  list: 'a list with commas',
  number: 'a number',
  'optional id': 'a run id',
}

function unknown(rawName: string): string {
  const likely = nearest(rawName.replace(/^-+/, ''), Object.keys(OPTIONS))
  const hint = likely === undefined ? '' : ` Did you mean --${likely}?`
  return `Unknown option ${rawName}.${hint} Nothing was done. npm start -- --help shows all options.`
}

function stray(word: string): string {
  return `"${word}" belongs to no option. Nothing was done. Lists are written with commas and no spaces, texts with spaces in quotes; npm start -- --help shows examples.`
}

/** Names that npm has settings of its own for. */
const OF_NPM_TOO: readonly OptionName[] = ['json', 'yes', 'debug', 'help']

/**
 * Refuses what npm has kept for itself: of `npm start --execute` nothing arrives here but a setting in the environment.
 * @throws UsageError
 */
export function refuseWhatNpmKept(env: NodeJS.ProcessEnv): void {
  if (env.npm_lifecycle_event !== 'start') return
  const kept = Object.keys(OPTIONS).filter(
    (name) =>
      isOption(name) &&
      !OF_NPM_TOO.includes(name) &&
      env[`npm_config_${name.replaceAll('-', '_')}`] !== undefined,
  )
  if (kept.length === 0) return
  const shown = kept.map((name) => `--${name}`).join(' ')
  throw new UsageError(
    `npm kept ${shown} for itself. Nothing was done. Put -- before the options: npm start -- ${shown}`,
  )
}

import { eventSchema, invalidEvent, type Payload } from '../../../lambda/event.ts'
import { nearest } from '../../../lambda/nearest.ts'
import { SOFTWARE_VERSION } from '../../../lambda/run/version.ts'
import type { CsvKind } from '../../csv/run.ts'
import {
  type Given,
  isSwitch,
  keyOf,
  longFlag,
  OPTIONS,
  readOptions,
  refuseWhatNpmKept,
  UsageError,
} from './options.ts'
import { isObject, optionFor } from './shell.ts'
import { inCommandWords } from './wording.ts'

const CSV_KINDS: readonly CsvKind[] = ['users', 'grants', 'mutations']

type Own =
  /** `page`: the file of HTML that is written, or null for a table; `open`: whether it is opened too. */
  | { readonly is: 'runs'; readonly page: string | null; readonly open: boolean }
  | { readonly is: 'open'; readonly runId: string }
  | { readonly is: 'csv'; readonly kind: CsvKind; readonly runId: string }

/** What was asked for on the command line. */
export type Command = {
  /** The event for the handler. A run id may still be `latest`. */
  readonly event: Readonly<Record<string, unknown>>
  readonly payload: Payload
  readonly given: Given
  /**
   * What the command does itself, without an invocation: lists the runs, opens the report of one, or prints
   * its CSV.
   */
  readonly own: Own | null
  readonly invocationSeconds: number
}

/** The length of one invocation: closing a run needs a few seconds at a time, and Lambda grants 900. */
const SECONDS = { least: 10, most: 900, usual: 60 }

/** A valid id in place of `latest`, to check a payload before the bucket can be asked. */
const SOME_RUN = '2026-01-01T00-00-00-000Z-execute-0000'

/**
 * Reads the command line; a text to print where help or the version was asked for.
 * @throws UsageError, InvalidEvent
 */
export function readCommand(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  columns?: number,
): Command | { readonly print: string } {
  const parsed = readOptions(args, SOFTWARE_VERSION, columns)
  if ('print' in parsed) return parsed
  refuseWhatNpmKept(env)
  const { given } = parsed
  const event = eventOf(given)
  const payload = payloadOf(event, given.event !== undefined)
  refuseDryRunBeside(payload, given)
  if (given.publicKey !== undefined && payload.kind !== 'verify') {
    throw new UsageError(
      '--public-key fits beside --verify only. Nothing was done. For example: npm start -- --verify ' +
        'latest --public-key key.pem',
    )
  }
  return {
    event,
    payload,
    given,
    own: ownOf(given),
    invocationSeconds: invocationSeconds(given),
  }
}

/**
 * A resume, a cancellation and a hold have no dry run. For the payload, false is the same as an absent field,
 * so that they would write in spite of the option.
 */
function refuseDryRunBeside(payload: Payload, given: Given): void {
  if (given.dryRun !== true || 'mode' in payload) return
  throw new UsageError(
    `--dry-run cannot be combined with ${optionFor(payload.kind) ?? payload.kind}, which has no dry run. ` +
      'Nothing was done. Give one of them.',
  )
}

function ownOf(given: Given): Command['own'] {
  const own = csvOf(given) ?? runsOf(given) ?? openOf(given)
  const beside = OPTIONS.find((option) => given[keyOf(option)] !== undefined && option.field !== undefined)
  if (own === null || (beside === undefined && given.event === undefined)) return own
  const other = beside === undefined ? '--event' : longFlag(beside)
  throw new UsageError(`--${own.is} cannot be combined with ${other}. Nothing was done. Give one of them.`)
}

function openOf({ open }: Given): Own | null {
  return typeof open === 'string' ? { is: 'open', runId: open } : null
}

function runsOf({ runs, html, open }: Given): Own | null {
  if (runs !== true && html !== undefined)
    throw new UsageError('--html is for --runs. Nothing was done. For example: npm start -- --runs --html')
  if (runs !== true) return null
  if (open !== undefined && (html === undefined || open !== 'latest'))
    throw new UsageError(
      '--runs cannot be combined with --open, except to open the page of all runs. Nothing was done. ' +
        'For example: npm start -- --runs --html --open',
    )
  return { is: 'runs', page: typeof html === 'string' ? html : null, open: open !== undefined }
}

function csvOf({ csv, history }: Given): Own | null {
  // Beside --history it says how the answer is printed.
  if (csv === undefined || (csv === true && history !== undefined)) return null
  const [word, runId, ...more] = Array.isArray(csv) ? csv.map(String) : []
  const kind = CSV_KINDS.find((known) => known === word)
  if (kind !== undefined && runId !== undefined && more.length === 0) return { is: 'csv', kind, runId }
  throw new UsageError(
    `--csv takes one of ${CSV_KINDS.join(', ')}, and a run id. Nothing was done. For example: npx credit-expiry --csv ${nearest(word ?? '', CSV_KINDS) ?? 'users'} ${runId ?? '<run id>'} >file.csv, or npx credit-expiry --history <user> --csv >file.csv`,
  )
}

function eventOf(given: Given): Record<string, unknown> {
  const event: Record<string, unknown> = typeof given.event === 'string' ? jsonObject(given.event) : {}
  for (const option of OPTIONS) {
    const { field, sends } = option
    const value = given[keyOf(option)]
    if (field === undefined || value === undefined) continue
    if (given.event !== undefined)
      throw new UsageError(
        `${longFlag(option)} does not fit beside --event. Nothing was done. Put "${field}" into the JSON.`,
      )
    setField(event, field, isSwitch(option) ? sends : value, longFlag(option))
  }
  return event
}

function setField(event: Record<string, unknown>, field: string, value: unknown, option: string): void {
  const [name = '', inner] = field.split('.')
  if (inner !== undefined) {
    event[name] = { ...(isObject(event[name]) ? event[name] : undefined), [inner]: value }
    return
  }
  if (event[name] !== undefined)
    throw new UsageError(
      `${option} contradicts another option. Nothing was done. Give one of --execute and --dry-run.`,
    )
  event[name] = value
}

function jsonObject(text: string): Record<string, unknown> {
  const example = `For example: npm start -- --event '{"execute":true}'`
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const why = error instanceof Error ? error.message : 'unreadable'
    throw new UsageError(`--event is not JSON (${why}). Nothing was done. ${example}`, { cause: error })
  }
  if (isObject(value)) return value
  throw new UsageError(`--event must be a JSON object. Nothing was done. ${example}`)
}

/** The event's schema is the only judge of what fits together. */
export function payloadOf(event: Readonly<Record<string, unknown>>, asEvent: boolean): Payload {
  const parsed = eventSchema.safeParse(withoutLatest(event))
  if (parsed.success) return parsed.data
  const invalid = invalidEvent(new Error('the event does not fit its schema', { cause: parsed.error.issues }))
  if (asEvent) throw invalid
  const sentence = inCommandWords(invalid.message).replace(/ Valid payloads: .*$/, '')
  const likely = isNearLatest(event) ? 'Did you mean latest? ' : ''
  throw new UsageError(`${sentence} ${likely}npm start -- --help shows all options.`, { cause: invalid })
}

/** Whether a value in the place of a run id is a misspelt `latest`. */
function isNearLatest(event: Readonly<Record<string, unknown>>): boolean {
  const places = OPTIONS.filter(({ flags, field }) => flags.includes('run id') && field !== undefined)
  const values = places.map(({ field = '' }) => event[field])
  return values.some((value) => typeof value === 'string' && value !== 'latest' && nearest(value, ['latest']))
}

/** Fields for which only the command knows `latest`. */
const ONLY_HERE = ['plan', 'restart'] as const

function withoutLatest(event: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const known = ONLY_HERE.filter((field) => event[field] === 'latest').map((field) => [field, SOME_RUN])
  return { ...event, ...Object.fromEntries(known) }
}

/** Whether a payload writes to the ledger; a resume does when its run does, whose id names its mode. */
export function mayWrite(payload: Payload): boolean {
  if (payload.kind === 'resume') return !/-dry-run-/.test(payload.runId)
  return 'mode' in payload && (payload.mode === 'execute' || payload.mode === 'rollback')
}

function invocationSeconds(given: Given): number {
  const seconds = given.invocationSeconds ?? SECONDS.usual
  if (typeof seconds === 'number' && seconds >= SECONDS.least && seconds <= SECONDS.most) return seconds
  throw new UsageError(
    `--invocation-seconds must be from ${SECONDS.least} to ${SECONDS.most}. Nothing was done.`,
  )
}

import { eventSchema, invalidEvent, type Payload } from '../../lambda/event.ts'
import {
  type Given,
  isOption,
  LATEST,
  type OptionName,
  OPTIONS,
  readOptions,
  refuseWhatNpmKept,
} from './options.ts'
import type { RunsCommand } from './runs.ts'
import { UsageError } from './usage-error.ts'

/** What was asked for on the command line. */
export type Command = {
  /** The event for the handler, exactly as it is to be sent. */
  readonly event: Record<string, unknown>
  readonly payload: Payload
  /** `--restart` without a run id: close whichever writing run is open. */
  readonly restartOpen: boolean
  readonly yes: boolean
  readonly wait: boolean
  readonly json: boolean
  readonly debug: boolean
  readonly invocationSeconds: number
}

/** What leads a command, and the options that fit beside it. `--json` and `--debug` fit everywhere. */
const LEADS: readonly (readonly [OptionName | null, readonly OptionName[]])[] = [
  ['event', ['yes', 'wait', 'invocation-seconds']],
  ['runs', []],
  ['status', []],
  ['cancel', ['wait', 'invocation-seconds']],
  ['resume', ['yes', 'wait', 'invocation-seconds']],
  [
    'rollback',
    ['execute', 'yes', 'wait', 'reason', 'restart', 'batch-size', 'concurrency', 'invocation-seconds'],
  ],
  [
    'plan',
    ['execute', 'yes', 'wait', 'reason', 'restart', 'batch-size', 'concurrency', 'invocation-seconds'],
  ],
  [
    'execute',
    [
      'yes',
      'wait',
      'domains',
      'user-ids',
      'reason',
      'restart',
      'batch-size',
      'concurrency',
      'invocation-seconds',
    ],
  ],
  [null, ['domains', 'user-ids', 'reason', 'batch-size', 'concurrency', 'invocation-seconds']],
]
const ANYWHERE: readonly OptionName[] = ['json', 'debug']

/** Fields of the payload by the option that sets them. */
const FIELDS = {
  execute: 'execute',
  plan: 'plan',
  rollback: 'rollback',
  resume: 'resume',
  cancel: 'cancel',
  status: 'status',
  domains: 'domains',
  'user-ids': 'userIds',
  'batch-size': 'batchSize',
  concurrency: 'concurrency',
  reason: 'reason',
  restart: 'restart',
} as const satisfies Partial<Record<OptionName, string>>

/** How long one invocation may be, in seconds: closing needs a few of them at a time, and Lambda grants 900. */
const SECONDS = { least: 10, most: 900, usual: 60 }

/**
 * Reads the command line and the environment; 'help' where help is asked for, and apart what lists the runs.
 * @throws UsageError, InvalidEvent
 */
export function readCommand(args: readonly string[], env: NodeJS.ProcessEnv): Command | RunsCommand | 'help' {
  const given = readOptions(args)
  if (given.help === true) return 'help'
  refuseWhatNpmKept(env)
  refuseMisfits(given)
  if (given.runs === true) return { runs: true, json: given.json === true }
  const event = eventOf(given)
  const payload = given.event === undefined ? payloadOfOptions(event) : payloadOfEvent(event)
  refuseWithoutEffect(given, payload)
  return {
    event,
    payload,
    restartOpen: given.restart === LATEST,
    yes: given.yes === true,
    wait: given.wait === true,
    json: given.json === true,
    debug: given.debug === true,
    invocationSeconds: invocationSeconds(given, env),
  }
}

function refuseMisfits(given: Given): void {
  const [lead, beside] = LEADS.find(([name]) => name === null || given[name] !== undefined) ?? [null, []]
  const misfits = Object.keys(given).filter(
    (name) => isOption(name) && name !== lead && ![...beside, ...ANYWHERE].includes(name),
  )
  if (misfits.length > 0) {
    const shown = misfits.map((name) => `--${name}`).join(', ')
    const reason = lead === null ? 'means nothing for a dry run' : `does not go together with --${lead}`
    throw new UsageError(
      `${shown} ${reason}. Nothing was done. npm start -- --help shows what fits together.`,
    )
  }
  if (lead === 'plan' && given.execute === undefined) {
    throw new UsageError(
      `--plan needs --execute beside it. Nothing was done. To execute that dry run: npm start -- --execute --plan ${given.plan}`,
    )
  }
}

function eventOf(given: Given): Record<string, unknown> {
  if (typeof given.event === 'string') return jsonObject(given.event)
  const event: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(FIELDS)) {
    const value = isOption(name) ? given[name] : undefined
    if (value === undefined || !isOption(name) || (name === 'restart' && value === LATEST)) continue
    event[field] = fieldValue(name, value)
  }
  return event
}

function fieldValue(name: OptionName, value: string | true): unknown {
  if (value === true || OPTIONS[name] === 'text' || OPTIONS[name] === 'optional id') return value
  if (OPTIONS[name] === 'number') return wholeNumber(`--${name}`, value)
  const entries = value.split(',').map((entry) => entry.trim())
  if (entries.includes(''))
    throw new UsageError(`--${name} has an empty entry in "${value}". Nothing was done. Write --${name} a,b.`)
  return entries
}

function wholeNumber(what: string, text: string): number {
  if (!/^\d+$/.test(text))
    throw new UsageError(`${what} must be a whole number, not "${text}". Nothing was done.`)
  return Number(text)
}

function jsonObject(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new UsageError(
      `--event is not JSON (${error instanceof Error ? error.message : 'unreadable'}). Nothing was done. Put it in single quotes: npm start -- --event '{"execute":true}'`,
      { cause: error },
    )
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw new UsageError(
    `--event must be a JSON object. Nothing was done. For example: npm start -- --event '{"execute":true}'`,
  )
}

function payloadOfEvent(event: unknown): Payload {
  const parsed = eventSchema.safeParse(event)
  if (!parsed.success)
    throw invalidEvent(new Error('the event does not fit its schema', { cause: parsed.error.issues }))
  return parsed.data
}

function payloadOfOptions(event: unknown): Payload {
  const parsed = eventSchema.safeParse(event)
  if (parsed.success) return parsed.data
  const sentences = parsed.error.issues.map(({ path, message }) => `${optionFor(path[0])} ${message}`)
  throw new UsageError(`${sentences.join('; ')}. Nothing was done. npm start -- --help shows examples.`, {
    cause: parsed.error,
  })
}

function optionFor(field: PropertyKey | undefined): string {
  const found = Object.entries(FIELDS).find(([, name]) => name === field)
  return found ? `--${found[0]}:` : 'the options:'
}

/** Whether a payload writes to the ledger; a resume does so where its run does, whose id names its mode. */
export function mayWrite(payload: Payload): boolean {
  if (payload.kind === 'resume') return !/-dry-run-/.test(payload.runId)
  return 'mode' in payload && (payload.mode === 'execute' || payload.mode === 'rollback')
}

function refuseWithoutEffect(given: Given, payload: Payload): void {
  if (given.yes === true && !mayWrite(payload)) {
    throw new UsageError(
      '--yes answers the question before something is written, and this writes nothing. Nothing was done. Leave it out, or add --execute.',
    )
  }
  if (given.wait === true && !mayWrite(payload) && payload.kind !== 'cancel' && payload.kind !== 'resume') {
    throw new UsageError(
      "--wait waits for another holder's lease, and this takes none. Nothing was done. Leave it out.",
    )
  }
}

function invocationSeconds(given: Given, env: NodeJS.ProcessEnv): number {
  const option = given['invocation-seconds']
  const [what, text] =
    option === undefined ? ['INVOCATION_SECONDS', env.INVOCATION_SECONDS] : ['--invocation-seconds', option]
  if (typeof text !== 'string' || text === '') return SECONDS.usual
  const seconds = wholeNumber(what, text)
  if (seconds >= SECONDS.least && seconds <= SECONDS.most) return seconds
  throw new UsageError(
    `${what} must be from ${SECONDS.least} to ${SECONDS.most}, not ${seconds}. Nothing was done.`,
  )
}

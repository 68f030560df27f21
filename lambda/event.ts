import * as z from 'zod'
import { type Field, type Fields, fields } from './event/fields.ts'
import { complaintAbout, exampleWith, isGiven, shapeOf } from './event/shapes.ts'
import { LIMIT_NAMES } from './limits.ts'
import { nearest } from './nearest.ts'

/**
 * The event is not valid. The message names the field, the value and a valid payload; a retry cannot fix it.
 */
export class InvalidEvent extends Error {
  override readonly name = 'InvalidEvent'
}

/**
 * All ids of a payload together. A Step Functions state is 256 KB, and the last one of an execution can hold
 * the payload three times: as what was asked, as what to send next, and in the text of the notice.
 */
const MAX_ID_BYTES = 80_000

type Some<Key extends Field> = Pick<Fields, Key>

type Selection = 'domains' | 'userIds' | 'exceptUserIds' | 'categories'
type Who = 'by' | 'reason'
type Opening = Who | 'concurrency' | 'gentle' | 'requestKey' | 'restart'

export type RunRequest = Some<Selection | Opening | 'batchSize' | 'limits' | 'plan'> & {
  readonly kind: 'run'
  readonly mode: 'dry-run' | 'execute'
}

export type RollbackRequest = Some<Opening | 'userIds' | 'underHold'> & {
  readonly kind: 'rollback'
  readonly mode: 'rollback-dry-run' | 'rollback'
  /** A run id or "latest". */
  readonly rollback: string
}

/** What may be asked: 3-contract, "Event". A `runId` is a run id, or "latest" where the field allows it. */
export type Payload =
  | RunRequest
  | RollbackRequest
  | (Some<Who | 'intentsRestored'> & { readonly kind: 'resume' | 'cancel'; readonly runId: string })
  | (Some<'by'> & { readonly kind: 'abandon'; readonly runId: string; readonly reason: string })
  | (Some<'by'> & { readonly kind: 'hold' | 'release'; readonly reason: string })
  | (Some<'from' | 'to' | 'dryRuns'> & { readonly kind: 'history'; readonly user: string })
  | { readonly kind: 'status' | 'verify' | 'report'; readonly runId: string }
  | { readonly kind: 'diff'; readonly runIds: readonly [string, string] }
  | { readonly kind: 'check' }

const envelope = z.looseObject({
  source: z.string(),
  'detail-type': z.string(),
  detail: z.unknown(),
  requestKey: z.unknown().optional(),
})

/**
 * Unwraps an EventBridge envelope, whose `detail` is the payload, as an object or as JSON text. A request key
 * that the workflow put beside `detail` counts where the payload can have one and has none. Null and nothing
 * mean `{}`.
 */
function unwrap(event: unknown, context?: z.RefinementCtx): unknown {
  const wrapped = envelope.safeParse(event)
  if (!wrapped.success) return event === '' ? {} : (event ?? {})
  const { detail, requestKey, ...others } = wrapped.data
  for (const key of Object.keys(others).filter(isField)) {
    const message = 'must be inside "detail", not beside it. A valid payload: {"execute": true}'
    context?.addIssue({ code: 'custom', path: [key], message, input: event })
  }
  const payload = typeof detail === 'string' ? parseDetail(detail) : (detail ?? {})
  const takesKey = isObject(payload) && shapeOf(payload).beside.includes('requestKey')
  return takesKey && requestKey !== undefined ? { requestKey, ...payload } : payload
}

function parseDetail(text: string): unknown {
  if (text.trim() === '') return {}
  try {
    return JSON.parse(text) ?? {}
  } catch {
    // The text itself is then refused, since it is no object.
    return text
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isField(key: string): key is Field {
  return Object.hasOwn(fields.shape, key)
}

/** The event's schema: strict, with an EventBridge envelope unwrapped, resolved to one kind of payload. */
export const eventSchema = z.preprocess(unwrap, fields).transform((given, context): Payload => {
  const refuse = (key: Field, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message })
  const shape = shapeOf(given)
  for (const key of fields.keyof().options.filter((field) => isGiven(given, field))) {
    const complaint = complaintAbout(key, shape, given)
    if (complaint !== null) refuse(key, complaint)
  }
  if (given.gentle && (given.concurrency ?? 1) > 1)
    refuse('concurrency', 'must be 1 or absent beside "gentle"')
  const { from = '', to = from } = given
  // A bound may be the beginning of a time: "to" 2026-10 is until the end of October.
  if (from.replace('Z', '').slice(0, to.replace('Z', '').length) > to.replace('Z', ''))
    refuse('from', `must not be after "to", and ${from} is after ${to}${exampleWith('from', shape)}`)
  const ids = [...(given.userIds ?? []), ...(given.exceptUserIds ?? [])]
  const bytes = Buffer.byteLength(JSON.stringify(ids))
  if (bytes > MAX_ID_BYTES) {
    const most = `all ids of a payload together may take ${MAX_ID_BYTES / 1000} KB`
    refuse(
      given.userIds ? 'userIds' : 'exceptUserIds',
      `${most}, and these take ${Math.ceil(bytes / 1000)} KB`,
    )
  }
  return toPayload(given)
})

function toPayload({ execute, ...given }: Fields): Payload {
  const { resume, cancel, abandon, status, verify, report, history, diff, rollback, ...rest } = given
  const { hold, release, check, reason = '', by, ...others } = rest
  const who = { by, reason: rest.reason }
  if (resume !== undefined)
    return { kind: 'resume', runId: resume, ...who, intentsRestored: others.intentsRestored }
  if (cancel !== undefined)
    return { kind: 'cancel', runId: cancel, ...who, intentsRestored: others.intentsRestored }
  if (abandon !== undefined) return { kind: 'abandon', runId: abandon, reason, by }
  if (hold !== undefined) return { kind: 'hold', reason: hold, by }
  if (release !== undefined) return { kind: 'release', reason: release, by }
  if (check !== undefined) return { kind: 'check' }
  if (status !== undefined) return { kind: 'status', runId: status }
  if (history !== undefined)
    return { kind: 'history', user: history, from: others.from, to: others.to, dryRuns: others.dryRuns }
  if (verify !== undefined) return { kind: 'verify', runId: verify }
  if (diff !== undefined) return { kind: 'diff', runIds: diff }
  if (report !== undefined) return { kind: 'report', runId: report }
  if (rollback !== undefined)
    return { kind: 'rollback', mode: execute ? 'rollback' : 'rollback-dry-run', rollback, ...who, ...others }
  return { kind: 'run', mode: execute ? 'execute' : 'dry-run', ...who, ...others }
}

/** What Powertools' parser passes on of the schema's complaints, as the cause of its error. */
const complaints = z.array(
  z.looseObject({
    message: z.string(),
    path: z.array(z.union([z.string(), z.number()])).default([]),
    keys: z.array(z.string()).default([]),
  }),
)

/**
 * Turns the schema's complaints into one sentence a field, each with the value and a way to fix it. Ids,
 * e-mails and names stay out of the message. `event` is the event as it came, for the values.
 */
export function invalidEvent(error: Error, event?: unknown): InvalidEvent {
  const payload = unwrap(event)
  const sentences = complaints.parse(error.cause).flatMap(({ message, path, keys }) => {
    if (keys.length > 0) return keys.map((key) => unknownField(path, key))
    return [
      path.length > 0 ? `field "${pathText(path)}": ${message}${valueAt(payload, path, message)}` : NO_OBJECT,
    ]
  })
  return new InvalidEvent(
    `The event is not valid: ${sentences.join('; ')}. Nothing was done. ` +
      'Valid payloads: {} (dry run), {"execute": true}, {"resume": "<run id>"}.',
    { cause: error },
  )
}

const NO_OBJECT =
  'the event must be a JSON object: a text is a payload only as the "detail" of an EventBridge event'

/** `limits.usd`, `userIds[3]` */
function pathText(path: readonly (string | number)[]): string {
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index > 0 ? '.' : ''}${key}`))
    .join('')
}

const PRIVATE: readonly (string | number | undefined)[] = [
  'userIds',
  'exceptUserIds',
  'history',
  'by',
  'reason',
]

/**
 * The wrong value, where the message says what it must be, and it is short and says nothing about a person.
 */
function valueAt(payload: unknown, path: readonly (string | number)[], message: string): string {
  if (PRIVATE.includes(path[0]) || !message.startsWith('must be ')) return ''
  const value = path.reduce<unknown>(
    (inner, key) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, key) : undefined),
    payload,
  )
  const json = JSON.stringify(value)
  return json === undefined || json.length > 80 ? '' : `, not ${json}`
}

function unknownField(path: readonly (string | number)[], key: string): string {
  const known = path.length > 0 ? LIMIT_NAMES : Object.keys(fields.shape)
  const likely = nearest(key, known)
  const hint = likely === undefined ? '' : `, did you mean "${likely}"?`
  return `unknown field "${pathText([...path, key])}"${hint}`
}

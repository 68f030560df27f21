import * as z from 'zod'
import { nearest } from './nearest.ts'

/** The event cannot be worked with. The message names the field and shows a valid payload; a retry cannot mend it. */
export class InvalidEvent extends Error {
  override readonly name = 'InvalidEvent'
}

/** `2026-11-22T06-12-30-123Z-execute-k3j9`: sorts by time. */
export const RUN_ID =
  /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z-(dry-run|execute|rollback-dry-run|rollback)-[0-9a-z]{4}$/

/** As loose as a key of the bucket allows: one that is misspelt passes, so that the nearest ones can be shown. */
const RUN_ID_LIKE = /^\d{4}-[\w-]{5,95}$/
const runId = z.string().regex(RUN_ID_LIKE, 'must be a run id like "2026-11-22T06-12-30-123Z-execute-k3j9"')
const count = z.int().min(0)
const text = z.string().trim().min(1)
const onlyTrue = z.boolean({
  error: 'must be the boolean true or false, not a text or a number: only true writes',
})

/** Any text that PostgreSQL can hold. */
const userId = z
  .string()
  .min(1)
  .refine(
    (id) => id.isWellFormed() && !id.includes('\0'),
    'must be the id of a user: this text cannot be one',
  )

const fields = z.strictObject({
  execute: onlyTrue.optional(),
  domains: z.array(text.toLowerCase()).min(1).optional(),
  userIds: z.array(userId).min(1).max(1000).optional(),
  batchSize: z.int().min(1).max(2000).optional(),
  concurrency: z.int().min(1).max(16).optional(),
  limits: z
    .strictObject({ users: count, grants: count, usd: z.number().min(0), correctionsUsd: z.number().min(0) })
    .partial()
    .optional(),
  reason: text.max(1000).optional(),
  requestKey: text
    .max(200)
    .regex(/^[\w.:-]+$/, 'may hold letters, digits and . _ : - only')
    .optional(),
  restart: runId.optional(),
  plan: runId.optional(),
  resume: runId.optional(),
  rollback: runId.optional(),
  cancel: runId.optional(),
  status: z
    .string()
    .refine((id) => id === 'latest' || RUN_ID_LIKE.test(id), 'must be "latest" or a run id')
    .optional(),
})

type Fields = z.infer<typeof fields>
type Field = keyof Fields

const SELECTION: readonly Field[] = ['domains', 'userIds']
const SIZES: readonly Field[] = ['batchSize', 'concurrency']
const WRITING: readonly Field[] = ['requestKey', 'restart']

/** What may stand beside each leading field, and a payload that shows it. */
const SHAPES: { lead: Field | null; beside: readonly Field[]; example: string }[] = [
  { lead: 'resume', beside: [], example: '{"resume": "<run id>"}' },
  { lead: 'cancel', beside: [], example: '{"cancel": "<run id>"}' },
  { lead: 'status', beside: [], example: '{"status": "latest"}' },
  {
    lead: 'rollback',
    beside: ['execute', 'reason', ...SIZES, ...WRITING],
    example: '{"rollback": "<run id>", "execute": true}',
  },
  {
    lead: 'plan',
    beside: ['execute', 'limits', 'reason', ...SIZES, ...WRITING],
    example: '{"execute": true, "plan": "<dry run id>"}',
  },
  {
    lead: 'execute',
    beside: [...SELECTION, 'limits', 'reason', ...SIZES, ...WRITING],
    example: '{"execute": true, "domains": ["kilo.ai"]}',
  },
  { lead: null, beside: [...SELECTION, 'limits', 'reason', 'requestKey', ...SIZES], example: '{}' },
]

export type RunRequest = Pick<
  Fields,
  | 'domains'
  | 'userIds'
  | 'batchSize'
  | 'concurrency'
  | 'limits'
  | 'reason'
  | 'requestKey'
  | 'restart'
  | 'plan'
> & { readonly kind: 'run'; readonly mode: 'dry-run' | 'execute' }

export type RollbackRequest = Pick<
  Fields,
  'batchSize' | 'concurrency' | 'reason' | 'requestKey' | 'restart'
> & {
  readonly kind: 'rollback'
  readonly mode: 'rollback-dry-run' | 'rollback'
  readonly rollback: string
}

/** What may be asked: 3-contract, "Event". */
export type Payload =
  | RunRequest
  | RollbackRequest
  | { readonly kind: 'resume'; readonly runId: string }
  | { readonly kind: 'cancel'; readonly runId: string }
  | { readonly kind: 'status'; readonly runId: string }

const envelope = z.object({ source: z.string(), 'detail-type': z.string(), detail: z.unknown() })

/** Takes an EventBridge envelope off; EventBridge Scheduler can send `detail` as JSON text. Null and nothing mean `{}`. */
function unwrap(event: unknown): unknown {
  const wrapped = envelope.safeParse(event)
  const payload = wrapped.success ? wrapped.data.detail : event
  if (typeof payload !== 'string') return payload ?? {}
  if (payload.trim() === '') return {}
  try {
    return JSON.parse(payload) ?? {}
  } catch {
    return payload
  }
}

/** The event's schema: strict, with an EventBridge envelope taken off, resolved to one kind of payload. */
export const eventSchema = z.preprocess(unwrap, fields).transform((given, context): Payload => {
  const present = fields.keyof().options.filter((key) => given[key] !== undefined)
  const shape =
    SHAPES.find(({ lead }) => lead !== null && present.includes(lead) && given[lead] !== false) ??
    SHAPES.at(-1)
  const stray = present.filter(
    (key) => key !== shape?.lead && !shape?.beside.includes(key) && given[key] !== false,
  )
  for (const key of stray) {
    const message = shape?.lead
      ? `does not go together with "${shape.lead}"`
      : 'needs "execute": true beside it'
    context.addIssue({
      code: 'custom',
      path: [key],
      message: `${message}. A valid payload: ${shape?.example}`,
    })
  }
  if (given.plan !== undefined && given.execute !== true) {
    context.addIssue({
      code: 'custom',
      path: ['plan'],
      message: 'needs "execute": true beside it. A valid payload: {"execute": true, "plan": "<dry run id>"}',
    })
  }
  if (given.restart !== undefined && given.execute !== true) {
    context.addIssue({
      code: 'custom',
      path: ['restart'],
      message: 'needs "execute": true beside it: a dry run restarts nothing',
    })
  }
  return toPayload(given)
})

function toPayload(given: Fields): Payload {
  const { execute = false, resume, cancel, status, rollback, ...rest } = given
  if (resume !== undefined) return { kind: 'resume', runId: resume }
  if (cancel !== undefined) return { kind: 'cancel', runId: cancel }
  if (status !== undefined) return { kind: 'status', runId: status }
  if (rollback !== undefined)
    return { kind: 'rollback', mode: execute ? 'rollback' : 'rollback-dry-run', rollback, ...rest }
  return { kind: 'run', mode: execute ? 'execute' : 'dry-run', ...rest }
}

/** What Powertools' parser passes on of the schema's complaints, as the cause of its error. */
const complaints = z.array(
  z.looseObject({
    message: z.string(),
    path: z.array(z.union([z.string(), z.number()])).default([]),
    keys: z.array(z.string()).default([]),
  }),
)

/** Turns the schema's complaints into one sentence a field, each with the way out. */
export function invalidEvent(error: Error): InvalidEvent {
  const sentences = complaints.parse(error.cause).flatMap(({ message, path, keys }) => {
    if (keys.length > 0) return keys.map((key) => unknownField([...path, key].join('.')))
    return [`${path.length > 0 ? `field "${path.join('.')}"` : 'the event'}: ${message}`]
  })
  return new InvalidEvent(
    `The event is not valid: ${sentences.join('; ')}. Nothing was done. Valid payloads: {} (dry run), {"execute": true}, {"resume": "<run id>"}.`,
    { cause: error },
  )
}

function unknownField(key: string): string {
  const likely = nearest(key, Object.keys(fields.shape))
  return `unknown field "${key}"${likely === undefined ? '' : `, did you mean "${likely}"?`}`
}

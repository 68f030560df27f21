import * as z from 'zod'
import { limitsSchema } from '../limits.ts'
import { isCategoryPattern } from '../rules/categories.ts'
import { foldAscii } from '../rules/internal.ts'

/** What a run may be called in place of its id: the newest one that fits the word. */
export const LATEST = 'latest'

/** As loose as a key of the bucket allows: a misspelt id passes, so that the nearest ones can be shown. */
const RUN_ID_LIKE = /^\d{4}-[\w-]{5,95}$/
const EXAMPLE_ID = '"2026-11-22T06-12-30-123Z-execute-k3j9"'

const runId = z
  .string({ error: `must be a run id like ${EXAMPLE_ID}` })
  .regex(RUN_ID_LIKE, `must be a run id like ${EXAMPLE_ID}`)
const DRY_RUN_ID = 'must be the id of a dry run, like "2026-11-22T06-12-30-123Z-dry-run-k3j9"'
const dryRunId = z.string({ error: DRY_RUN_ID }).regex(RUN_ID_LIKE, DRY_RUN_ID)
const runIdOrLatest = z
  .string({ error: `must be "latest" or a run id like ${EXAMPLE_ID}` })
  .refine((id) => id === LATEST || RUN_ID_LIKE.test(id), `must be "latest" or a run id like ${EXAMPLE_ID}`)

const text = (longest: number) =>
  z
    .string({ error: 'must be a string' })
    .trim()
    .min(1, 'must not be empty')
    .max(longest, `must have at most ${longest} characters`)
const reason = text(1000)

/** False means the same as an absent field. */
const flag = z
  .boolean({ error: 'must be the boolean true or false' })
  .transform((value) => value || undefined)
  .optional()

function whole(least: number, most: number) {
  const error = `must be a whole number from ${least} to ${most}`
  return z.int(error).min(least, error).max(most, error)
}

/** Any text that PostgreSQL can hold. */
const user = z
  .string({ error: 'must be the id or the e-mail of a user' })
  .refine(
    (id) => id.trim() !== '' && id.isWellFormed() && !id.includes('\0'),
    'must be the id or the e-mail of a user: this text cannot be one',
  )

function list<Item extends z.ZodType>(item: Item, most: number) {
  const error = `must be a list of 1 to ${most}`
  return z.array(item, { error }).min(1, error).max(most, error)
}

const DAY = /^\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z)?)?)?$/
const DAYS = 'like "2026-10", "2026-10-01" or "2026-10-01T06:00:00Z"'
const time = z
  .string({ error: `must be a time ${DAYS}` })
  .regex(DAY, { error: `must be a time ${DAYS}`, abort: true })
  .refine(isInCalendar, `must be a time that exists, ${DAYS}`)

/** Whether a time, or the beginning of one, is in the calendar: not the 30th of February. */
function isInCalendar(day: string): boolean {
  const bare = day.replace('Z', '')
  const full = `${bare}${'2026-01-01T00:00:00'.slice(bare.length)}Z`
  const at = new Date(full)
  return !Number.isNaN(at.getTime()) && at.toISOString().slice(0, 19) === full.slice(0, 19)
}

/** Every field of an event by itself. What fits together is in event.ts. */
export const fields = z.strictObject({
  execute: flag,
  domains: list(text(253).transform(foldAscii), 100).optional(),
  userIds: list(user, 1000).optional(),
  exceptUserIds: list(user, 1000).optional(),
  categories: list(
    text(200).refine(
      isCategoryPattern,
      'must be a credit category like "promo", or end in * like "kilo-pass-*"',
    ),
    100,
  ).optional(),
  batchSize: whole(1, 2000).optional(),
  concurrency: whole(1, 16).optional(),
  gentle: flag,
  limits: limitsSchema.partial().optional(),
  by: text(200).optional(),
  reason: reason.optional(),
  requestKey: text(200)
    .regex(/^[\w.:-]+$/, 'must contain only letters, digits and . _ : -')
    .optional(),
  restart: runId.optional(),
  plan: dryRunId.optional(),
  resume: runIdOrLatest.optional(),
  intentsRestored: flag,
  rollback: runIdOrLatest.optional(),
  underHold: flag,
  cancel: runIdOrLatest.optional(),
  abandon: runId.optional(),
  hold: reason.optional(),
  release: reason.optional(),
  check: z.literal(true, { error: 'must be the boolean true' }).optional(),
  status: runIdOrLatest.optional(),
  history: user.optional(),
  from: time.optional(),
  to: time.optional(),
  dryRuns: flag,
  verify: runIdOrLatest.optional(),
  diff: z.tuple([runId, runId], { error: 'must be a list of two run ids' }).optional(),
  report: runIdOrLatest.optional(),
})

export type Fields = z.infer<typeof fields>
export type Field = keyof Fields

import type { Totals } from '../archive/documents.ts'
import * as z from 'zod'
import type { UserLine } from './records.ts'

/** The totals of nothing. */
export function noTotals(): Totals {
  return {
    usersWithoutGrants: 0,
    usersProcessed: 0,
    usersLeftAlone: 0,
    usersFailed: 0,
    usersCorrected: 0,
    grantsTargeted: 0,
    expiredMicrodollars: 0,
    duePaidMicrodollars: 0,
    correctedMicrodollars: 0,
    userLines: 0,
    mutationLines: 0,
    errorLines: 0,
    outcomes: {},
    flags: {},
  }
}

const BUCKETS = {
  expired: 'usersProcessed',
  nothing_to_expire: 'usersProcessed',
  no_targeted_grant: 'usersWithoutGrants',
  excluded: 'usersLeftAlone',
  too_recent: 'usersLeftAlone',
  needs_review: 'usersLeftAlone',
  exceeds_plan: 'usersLeftAlone',
  not_internal: 'usersLeftAlone',
  gone: 'usersLeftAlone',
  rolled_back: 'usersProcessed',
  already_rolled_back: 'usersLeftAlone',
  changed_since: 'usersLeftAlone',
  failed: 'usersFailed',
  not_reached: null,
} as const satisfies Record<UserLine['outcome'], keyof Totals | null>

/** What of a user's line counts; the line itself fits, and so does the same line read back from a log. */
export const countedSchema = z.object({
  outcome: z.string().transform((outcome, context) => {
    if (isOutcome(outcome)) return outcome
    context.addIssue({ code: 'custom', message: `the outcome ${outcome} is unknown` })
    return z.NEVER
  }),
  flags: z.array(z.string()).readonly(),
  grants_targeted: z.int(),
  expired_microdollars: z.int(),
  due_paid_microdollars: z.int(),
  correction_microdollars: z.int(),
})
export type Counted = z.infer<typeof countedSchema>

function isOutcome(text: string): text is UserLine['outcome'] {
  return Object.hasOwn(BUCKETS, text)
}

/** The totals with one more line of users.jsonl. Used while the run goes on, and again to check the whole log. */
export function addUserLine(totals: Totals, line: Counted): Totals {
  const bucket = BUCKETS[line.outcome]
  const corrected = line.correction_microdollars
  return {
    ...totals,
    ...(bucket && { [bucket]: totals[bucket] + 1 }),
    usersCorrected: totals.usersCorrected + (corrected === 0 ? 0 : 1),
    grantsTargeted: totals.grantsTargeted + line.grants_targeted,
    expiredMicrodollars: totals.expiredMicrodollars + line.expired_microdollars,
    duePaidMicrodollars: totals.duePaidMicrodollars + line.due_paid_microdollars,
    correctedMicrodollars: totals.correctedMicrodollars + corrected,
    userLines: totals.userLines + 1,
    outcomes: countUp(totals.outcomes, [line.outcome]),
    flags: countUp(totals.flags, line.flags),
  }
}

const SUMS = [
  'usersWithoutGrants',
  'usersProcessed',
  'usersLeftAlone',
  'usersFailed',
  'usersCorrected',
  'grantsTargeted',
  'expiredMicrodollars',
  'duePaidMicrodollars',
  'correctedMicrodollars',
  'userLines',
  'mutationLines',
  'errorLines',
] as const satisfies (keyof Totals)[]

/** The sum of two totals. */
export function addTotals(a: Totals, b: Totals): Totals {
  const sum = { ...a, outcomes: addCounts(a.outcomes, b.outcomes), flags: addCounts(a.flags, b.flags) }
  for (const key of SUMS) sum[key] += b[key]
  return sum
}

function addCounts(a: Totals['flags'], b: Totals['flags']): Totals['flags'] {
  const sum = { ...a }
  for (const [key, count] of Object.entries(b)) sum[key] = (sum[key] ?? 0) + count
  return sum
}

function countUp(counts: Totals['flags'], keys: readonly string[]): Totals['flags'] {
  return addCounts(counts, Object.fromEntries(keys.map((key) => [key, 1])))
}

import * as z from 'zod'
import type { Totals } from '../../archive/cursor.ts'
import { dollars, microdollarsOf } from '../../exit-card.ts'
import { add } from '../../rules/amounts.ts'
import { WHAT_TO_CHECK } from '../../rules/review.ts'
import { OUTCOMES } from './glossary.ts'
import type { Outcome } from './user-line.ts'

/** The totals of nothing. */
export function noTotals(): Totals {
  return {
    usersWithoutGrants: 0,
    usersProcessed: 0,
    usersSkipped: 0,
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
    flagMicrodollars: {},
    byCategory: noCategories(),
    examples: {},
  }
}

/** Without a prototype: a category may be called `constructor`. */
function noCategories(): Totals['byCategory'] {
  const none: Totals['byCategory'] = {}
  Object.setPrototypeOf(none, null)
  return none
}

const detail = z.looseObject({
  flag: z.string(),
  amount_microdollars: z.int().optional(),
  expiry_date: z.string().optional(),
})
const credit = z.looseObject({
  credit_category: z.string().nullable(),
  targeted: z.boolean(),
  amount_microdollars: z.int(),
  expired_microdollars: z.int().nullable(),
})
const reviewed = z.looseObject({
  id: z.string(),
  why: z.custom<keyof typeof WHAT_TO_CHECK>(
    (why) => typeof why === 'string' && Object.hasOwn(WHAT_TO_CHECK, why),
  ),
  credit_category: z.string().nullable(),
  amount_microdollars: z.int(),
  created_at: z.string(),
})

/** What of a user's line counts. The line itself fits, and so does the same line read back from a log. */
export const countedSchema = z.object({
  user_id: z.string(),
  outcome: z.custom<Outcome>((outcome) => typeof outcome === 'string' && Object.hasOwn(OUTCOMES, outcome)),
  flags: z.array(z.string()).readonly(),
  flag_details: z.array(detail).readonly(),
  grants_targeted: z.int(),
  expired_microdollars: z.int(),
  due_paid_microdollars: z.int(),
  correction_microdollars: z.int(),
  credits: z.array(credit).readonly(),
  review: z.array(reviewed).readonly().optional(),
})
export type Counted = z.infer<typeof countedSchema>

/**
 * Adds one line of the users log to totals.
 * @throws UnusableValue when a sum leaves the safe integers
 */
export function addUserLine(totals: Totals, line: Counted): void {
  const { countedAs } = OUTCOMES[line.outcome]
  if (countedAs) totals[countedAs] += 1
  if (line.correction_microdollars !== 0) totals.usersCorrected += 1
  totals.grantsTargeted += line.grants_targeted
  addSum(totals, 'expiredMicrodollars', line.expired_microdollars)
  addSum(totals, 'duePaidMicrodollars', line.due_paid_microdollars)
  addSum(totals, 'correctedMicrodollars', line.correction_microdollars)
  totals.userLines += 1
  addTo(totals.outcomes, line.outcome, 1)
  for (const flag of line.flags) addTo(totals.flags, flag, 1)
  for (const { flag, amount_microdollars = 0 } of line.flag_details)
    totals.flagMicrodollars[flag] = addUpTo(totals.flagMicrodollars[flag] ?? 0, amount_microdollars)
  for (const { targeted, credit_category, amount_microdollars, expired_microdollars } of line.credits) {
    if (!targeted) continue
    const category = categoryGroup(credit_category)
    const sum = (totals.byCategory[category] ??= {
      grants: 0,
      expiredMicrodollars: 0,
      faceValueMicrodollars: 0,
    })
    sum.grants += 1
    sum.expiredMicrodollars = add(sum.expiredMicrodollars, expired_microdollars ?? 0)
    sum.faceValueMicrodollars = addUpTo(sum.faceValueMicrodollars, amount_microdollars)
  }
  addExamples(totals, line)
}

/** Categories that end in an id (`kilo-pass-store-refund:123`) are one group. */
export function categoryGroup(category: string | null): string {
  if (category === null) return '(no category)'
  // No schema keeps a field of this name.
  if (category === '__proto__') return '(__proto__)'
  const colon = category.indexOf(':')
  return colon < 0 ? category : `${category.slice(0, colon)}:*`
}

function addExamples(totals: Totals, line: Counted): void {
  const [review] = line.review ?? []
  if (review) {
    const { id, credit_category, amount_microdollars, created_at, why } = review
    const row = `${credit_category} ${dollars(amount_microdollars)} on ${created_at.slice(0, 10)} (row ${id})`
    keepExample(totals, line, 'needs_review', `${row}. ${WHAT_TO_CHECK[why]}`)
  }
  for (const { flag, amount_microdollars = 0, expiry_date } of line.flag_details) {
    if (flag === 'negative_dated' && expiry_date !== undefined)
      keepExample(totals, line, flag, `${dollars(-amount_microdollars)} on ${expiry_date.slice(0, 10)}`)
  }
}

/** The example of the lowest user id, so that the order in which pages end does not matter. */
function keepExample(totals: Totals, { user_id: userId }: Counted, key: string, what: string): void {
  const kept = totals.examples[key]
  if (!kept || userId < kept.userId) totals.examples[key] = { userId, text: `user ${userId}, ${what}` }
}

/** The sums that totals and exit card share. */
export const CARD_SUMS = [
  'usersWithoutGrants',
  'usersProcessed',
  'usersSkipped',
  'usersFailed',
  'usersCorrected',
  'grantsTargeted',
  'expiredMicrodollars',
  'duePaidMicrodollars',
  'correctedMicrodollars',
] as const satisfies (keyof Totals)[]

const SUMS = [...CARD_SUMS, 'userLines', 'mutationLines', 'errorLines'] as const

/** Why corrections are beyond their limit in US dollars, as a sentence; null where they are not. */
export function correctionsExceeded(correctedMicrodollars: number, limitUsd: number): string | null {
  const limit = microdollarsOf(limitUsd)
  if (correctedMicrodollars <= limit) return null
  return (
    `corrections of ${dollars(correctedMicrodollars)} would exceed the limit of ${dollars(limit)} ` +
    '(LIMIT_CORRECTIONS_USD, limits.correctionsUsd)'
  )
}

/** Adds to one of the sums. @throws UnusableValue naming it when it leaves the safe integers */
function addSum(totals: Totals, name: (typeof SUMS)[number], more: number): void {
  totals[name] = add(totals[name], more, `totals.${name}`)
}

/** The sum of two totals. @throws UnusableValue when a sum leaves the safe integers */
export function addTotals(a: Totals, b: Totals): Totals {
  const sum: Totals = {
    ...a,
    outcomes: addCounts(a.outcomes, b.outcomes),
    flags: addCounts(a.flags, b.flags),
    flagMicrodollars: { ...a.flagMicrodollars },
    byCategory: Object.assign(noCategories(), a.byCategory),
    examples: { ...a.examples },
  }
  for (const name of SUMS) addSum(sum, name, b[name])
  for (const [flag, more] of Object.entries(b.flagMicrodollars))
    sum.flagMicrodollars[flag] = addUpTo(sum.flagMicrodollars[flag] ?? 0, more)
  for (const [category, more] of Object.entries(b.byCategory)) {
    const before = sum.byCategory[category]
    sum.byCategory[category] = before
      ? {
          grants: before.grants + more.grants,
          expiredMicrodollars: add(before.expiredMicrodollars, more.expiredMicrodollars),
          faceValueMicrodollars: addUpTo(before.faceValueMicrodollars, more.faceValueMicrodollars),
        }
      : more
  }
  for (const [key, example] of Object.entries(b.examples)) {
    const kept = sum.examples[key]
    if (!kept || example.userId < kept.userId) sum.examples[key] = example
  }
  return sum
}

function addCounts(a: Totals['flags'], b: Totals['flags']): Totals['flags'] {
  const sum = { ...a }
  for (const [key, count] of Object.entries(b)) addTo(sum, key, count)
  return sum
}

/**
 * For amounts that only a warning or a face value shows: what was committed must be logged, whatever other
 * rows hold. What expires and is corrected is exact: the gate refuses a sum that is not, before anything is
 * written.
 */
function addUpTo(a: number, b: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, a + b))
}

function addTo(counts: Record<string, number>, key: string, by: number): void {
  counts[key] = add(counts[key] ?? 0, by)
}

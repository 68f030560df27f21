import * as z from 'zod'

const counts = z.record(z.string(), z.int())

/**
 * matched = without grants + processed + skipped + failed + not reached. Amounts in microdollars, and beside
 * them as text in dollars.
 */
const cardTotals = z.object({
  usersMatched: z.int(),
  usersWithoutGrants: z.int(),
  usersProcessed: z.int(),
  usersSkipped: z.int(),
  usersFailed: z.int(),
  usersNotReached: z.int(),
  grantsTargeted: z.int(),
  /** Of all grants that matched at opening: what the limit in US dollars is compared with. 0 in a rollback. */
  matchedFaceValueMicrodollars: z.int(),
  matchedFaceValue: z.string(),
  expiredMicrodollars: z.int(),
  expired: z.string(),
  duePaidMicrodollars: z.int(),
  duePaid: z.string(),
  usersCorrected: z.int(),
  correctedMicrodollars: z.int(),
  corrected: z.string(),
  /** Users by the outcome of their line, and by flag. */
  outcomes: counts,
  flags: counts,
})

/** What is new in a dry run, compared with an earlier run. */
const newSince = z.object({
  runId: z.string(),
  users: z.int(),
  grants: z.int(),
  expiredMicrodollars: z.int(),
  expired: z.string(),
  /**
   * Users by the outcome because of which they are skipped, where the earlier run did not skip them because
   * of it.
   */
  skipped: counts,
})
export type NewSince = z.infer<typeof newSince>

/** What every invocation on a run returns, logs once and stores as summary.json: 3-contract, "Exit card". */
export const exitCardSchema = z.object({
  runId: z.string(),
  mode: z.string(),
  instant: z.string(),
  status: z.enum([
    'complete',
    'complete_with_errors',
    'incomplete',
    'stopped',
    'cancelled',
    'abandoned',
    'busy',
    'held',
    'refused',
  ]),
  why: z.string(),
  asked: z.object({
    by: z.string(),
    via: z.string(),
    reason: z.string().nullable(),
    plan: z.string().nullable(),
    payload: z.record(z.string(), z.unknown()),
  }),
  domains: z.array(z.string()),
  /** Of this job, that the run was opened with. */
  softwareVersion: z.string(),
  progress: z.object({
    usersDone: z.int(),
    usersTotal: z.int(),
    percent: z.int(),
    etaSeconds: z.int().nullable(),
  }),
  totals: cardTotals,
  /** The targeted grants by credit category, the largest amount first. */
  byCategory: z.array(
    z.object({
      category: z.string(),
      grants: z.int(),
      expiredMicrodollars: z.int(),
      expired: z.string(),
      faceValueMicrodollars: z.int(),
      faceValue: z.string(),
    }),
  ),
  /**
   * Of a dry run: what is new since the latest complete dry run of the same selection, and since the last
   * executed plan.
   */
  sincePrevious: newSince.nullable(),
  sinceExecuted: newSince.nullable(),
  /**
   * Of an execute: the runs that rolled it back, and for how many of the processed users. Of a rollback: the
   * run it rolls back.
   */
  rolledBackBy: z.array(z.string()),
  usersRolledBack: z.int(),
  rollsBack: z.string().nullable(),
  warnings: z.array(z.string()),
  logs: z.object({
    users: z.string(),
    mutations: z.string(),
    errors: z.string(),
    run: z.string(),
    report: z.string(),
    console: z.object({
      users: z.string(),
      mutations: z.string(),
      errors: z.string(),
      run: z.string(),
    }),
  }),
  /** The payload to send next, and what it does; null where there is nothing to do. */
  next: z.object({ text: z.string(), payload: z.record(z.string(), z.unknown()) }).nullable(),
})

export type ExitCard = z.infer<typeof exitCardSchema>
export type RunStatus = ExitCard['status']

const NOT_FINAL: ReadonlySet<RunStatus> = new Set(['incomplete', 'busy', 'held'])

/** Whether a card is the last one of its run. */
export function isFinal(status: RunStatus): boolean {
  return !NOT_FINAL.has(status)
}

/** Whether rollbacks left some of the users that a run processed as they are: it can be rolled back further. */
export function isPartlyRolledBack(usersRolledBack: number, usersProcessed: number): boolean {
  return usersRolledBack < usersProcessed
}

/** Whether a run went over all of its users. */
export function isComplete(status: RunStatus): boolean {
  return status === 'complete' || status === 'complete_with_errors'
}

/**
 * Microdollars as dollars with all their cents, and with more decimals only where the amount has them:
 * `$4,812.00`, `-$0.000001`.
 */
export function dollars(microdollars: number): string {
  const amount = BigInt(Math.abs(microdollars))
  const whole = (amount / 1_000_000n).toString().replace(/\B(?=(\d{3})+$)/g, ',')
  const fraction = (amount % 1_000_000n)
    .toString()
    .padStart(6, '0')
    .replace(/0{1,4}$/, '')
  return `${microdollars < 0 ? '-' : ''}$${whole}.${fraction}`
}

/** `1,234`. Not toLocaleString, whose first call takes longer than planning a page. */
export function grouped(number: number): string {
  return String(Number(number.toFixed(3))).replace(/\B(?<!\.\d*)(?=(\d{3})+(?!\d))/g, ',')
}

/** A configured amount in US dollars as microdollars. */
export function microdollarsOf(usd: number): number {
  return Math.round(usd * 1_000_000)
}

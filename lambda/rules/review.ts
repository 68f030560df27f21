import { matchesCategory } from './categories.ts'
import { isClosingRow, oldestFirst, ORB_CLOSING_CATEGORIES } from './grants.ts'
import { compareTimes, microsBelowMilli, millisOf } from './times.ts'
import type { LedgerTime, ReviewRow, RuleSettings, Transaction } from './types.ts'

/**
 * The review categories where the configuration names no others: the takings-back that the ledger's writers
 * use.
 */
export const DEFAULT_REVIEW_CATEGORIES: readonly string[] = [
  ...ORB_CLOSING_CATEGORIES,
  'kilo-pass-upgrade-bonus-reversal:*',
  'kilo-pass-store-refund:*',
  'admin-cancel-refund-kilo-pass',
  'admin-cancel-kilo-pass-no-refund',
  'manual_decrement',
  'orb_manual_decrement',
  'store-credit-refund:*',
]

/** What a person checks about a row of a `needs_review` user, as one sentence for messages and reports. */
export const WHAT_TO_CHECK: Readonly<Record<ReviewRow['why'], string>> = {
  reversal_without_link:
    'Check which grant this row took back. ' +
    'If that grant is still open, expiring it takes the same credit twice.',
  positive_closing_row:
    'Check why this closing row added credit. A closing row of a positive grant is zero or negative.',
}

/**
 * Whether a personal row, of any sign, free or paid, is younger than the minimum age at the run's instant.
 * The user's grant may then be between its two commits (1-ledger-rules, `too_recent`).
 * @throws UnusableValue for a time that cannot be compared
 */
export function hasRecentRow(rows: readonly Transaction[], settings: RuleSettings): boolean {
  const youngest = millisOf(settings.instant) - settings.minGrantAgeSeconds * 1000
  return rows.some((row) => row.organizationId === null && isAfter(row.createdAt, youngest))
}

function isAfter(time: LedgerTime, millis: number): boolean {
  const ours = millisOf(time)
  return ours > millis || (ours === millis && microsBelowMilli(time) > 0)
}

/**
 * The rows because of which a person has to look at the user before a run expires anything, oldest first
 * (1-ledger-rules, `needs_review`). `since` is the creation of the earliest targeted grant.
 * @throws UnusableValue for a time that cannot be compared
 */
export function reviewRows(
  rows: readonly Transaction[],
  settings: RuleSettings,
  since: LedgerTime,
): ReviewRow[] {
  const whyOf = whyToReview(rows, settings)
  return rows.toSorted(oldestFirst).flatMap((row): ReviewRow[] => {
    const why = whyOf(row)
    if (why === null || (why === 'reversal_without_link' && !concernsOpenGrants(row, since))) return []
    return [reviewRow(row, why)]
  })
}

/** Why a row of a user needs a review, whenever it was created; null where it needs none. */
function whyToReview(
  rows: readonly Transaction[],
  settings: RuleSettings,
): (row: Transaction) => ReviewRow['why'] | null {
  const grants = new Set(
    rows
      .filter((row) => isPersonal(row) && row.amountMicrodollars > 0 && !isClosingRow(row))
      .map(({ id }) => id),
  )
  return (row) => {
    if (isReversal(row, settings)) return 'reversal_without_link'
    const isDamaged =
      isClosingRow(row) && row.amountMicrodollars > 0 && grants.has(row.originalTransactionId ?? '')
    return isDamaged ? 'positive_closing_row' : null
  }
}

/**
 * Whether a row that needs a review is not among those `seen` by whoever named the user.
 */
export function hasNewReviewRow(
  rows: readonly Transaction[],
  settings: RuleSettings,
  seen: ReadonlySet<string>,
): boolean {
  const whyOf = whyToReview(rows, settings)
  return rows.some((row) => !seen.has(row.id) && whyOf(row) !== null)
}

/**
 * Whether a row may have taken a grant back: personal, without a link, not positive, of a review category.
 */
export function isReversal(row: Transaction, settings: RuleSettings): boolean {
  return (
    isPersonal(row) &&
    row.originalTransactionId === null &&
    row.amountMicrodollars <= 0 &&
    matchesCategory(row.creditCategory, settings.reviewCategories)
  )
}

/**
 * A reversal from before the earliest targeted grant is about another grant; an Orb row counts whenever
 * created.
 */
function concernsOpenGrants(row: Transaction, since: LedgerTime): boolean {
  return ORB_CLOSING_CATEGORIES.includes(row.creditCategory ?? '') || compareTimes(row.createdAt, since) >= 0
}

function isPersonal(row: Transaction): boolean {
  return row.organizationId === null
}

function reviewRow(row: Transaction, why: ReviewRow['why']): ReviewRow {
  const { id, creditCategory: category, amountMicrodollars, createdAt } = row
  return { id, category, amountMicrodollars, createdAt, why }
}

import { add } from './amounts.ts'
import { type Grants, isClosingRow, oldestFirst } from './grants.ts'
import { isReversal } from './review.ts'
import { compareTimes } from './times.ts'
import type {
  ClosingRow,
  Flag,
  FlagDetail,
  LedgerTime,
  LedgerUser,
  RuleSettings,
  Transaction,
} from './types.ts'

/** Under this final balance the application may charge a user's card at its next balance check: 5 USD. */
const AUTO_TOP_UP_MICRODOLLARS = 5_000_000

/** The flags that come from the change itself. @throws UnusableValue when a sum leaves ±(2^53 - 1) */
export function flagsOfChange(
  user: LedgerUser,
  finalBalanceMicrodollars: number,
  closings: readonly ClosingRow[],
): FlagDetail[] {
  const paidMicrodollars = closings
    .filter(({ grant }) => !grant.isFree)
    .reduce((sum, closing) => add(sum, -closing.amountMicrodollars), 0)
  const balanceMicrodollars = add(user.acquiredMicrodollars, -user.usedMicrodollars)
  const details: FlagDetail[] = []
  if (user.autoTopUpEnabled && finalBalanceMicrodollars < AUTO_TOP_UP_MICRODOLLARS)
    details.push({ flag: 'auto_top_up_risk', finalBalanceMicrodollars })
  if (paidMicrodollars > 0) details.push({ flag: 'due_paid_credit', amountMicrodollars: paidMicrodollars })
  if (balanceMicrodollars < 0) details.push({ flag: 'overdrawn_before', balanceMicrodollars })
  return details
}

/** The flags that hold whether or not the user is changed: a person should look at these rows. */
export function flagsOfGrants(grants: Grants): FlagDetail[] {
  const linkTaken = grants.linkTaken
    .toSorted((a, b) => oldestFirst(a.grant, b.grant))
    .map(({ grant, linkId }): FlagDetail => ({ flag: 'link_taken', grantId: grant.id, linkId }))
  const negativeDated = grants.negativeDated
    .toSorted(oldestFirst)
    .map(({ id, amountMicrodollars, expiryDate }): FlagDetail => ({
      flag: 'negative_dated',
      id,
      amountMicrodollars,
      expiryDate,
    }))
  return [...linkTaken, ...negativeDated]
}

/**
 * Credit that was spent past the usage counter: negative personal rows without a link and of no review
 * category, created at or after the earliest targeted grant (`since`). A row that a closing row has given
 * back is not among them.
 * @throws UnusableValue when the sum leaves ±(2^53 - 1), or for a time that cannot be compared
 */
export function unlinkedDeductions(
  rows: readonly Transaction[],
  settings: RuleSettings,
  since: LedgerTime,
): FlagDetail[] {
  const givenBack = new Set(rows.filter(isClosingRow).map((row) => row.originalTransactionId))
  const deductions = rows.filter(
    (row) =>
      row.organizationId === null &&
      row.amountMicrodollars < 0 &&
      row.originalTransactionId === null &&
      !givenBack.has(row.id) &&
      !isReversal(row, settings) &&
      compareTimes(row.createdAt, since) >= 0,
  )
  if (deductions.length === 0) return []
  const amountMicrodollars = deductions.reduce((sum, row) => add(sum, row.amountMicrodollars), 0)
  return [{ flag: 'unlinked_deduction', rows: deductions.length, amountMicrodollars }]
}

/** The names of flags, once each. */
export function flagNames(details: readonly FlagDetail[]): Flag[] {
  return [...new Set(details.map(({ flag }) => flag))]
}

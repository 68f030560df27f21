import { add } from './amounts.ts'
import { type Expired, expire, expiringSet } from './expiration.ts'
import { flagNames, flagsOfChange, flagsOfGrants, unlinkedDeductions } from './flags.ts'
import { CORRECTION_DESCRIPTION, excludedGrant, type Grants, oldestFirst, sortGrants } from './grants.ts'
import { hasRecentRow, reviewRows } from './review.ts'
import { earliest } from './times.ts'
import type {
  ChangePlan,
  Circumstances,
  ClosingRow,
  CorrectionRow,
  CreditLine,
  ExcludedGrant,
  FlagDetail,
  GrantChange,
  LedgerTime,
  LedgerUser,
  Plan,
  ReviewRow,
  RuleSettings,
  SkippedPlan,
  Transaction,
} from './types.ts'

/**
 * What happens to one user: 1-ledger-rules, "What happens to one user", as one pure function of the user, all
 * the user's rows (in any order; organization rows count only for their links), the settings and the
 * circumstances. The plan is data: the dry run, the intent, the SQL, the logs and the tests all read this
 * value.
 * @throws UnusableValue when a stored amount or time cannot be worked with exactly
 */
export function planUser(
  user: LedgerUser,
  rows: readonly Transaction[],
  settings: RuleSettings,
  circumstances: Circumstances,
): Plan {
  const grants = sortGrants(rows, settings, circumstances.takenLinks)
  if (circumstances.excluded) return skipped(user, 'excluded', { excluded: allExcluded(grants) })

  const { targeted } = grants
  const excluded = grants.excluded.toSorted(byId)
  const since = earliest(targeted.map(({ createdAt }) => createdAt))
  if (since === null) {
    const outcome = excluded.length > 0 ? 'excluded' : 'no_targeted_grant'
    return skipped(user, outcome, { excluded, details: flagsOfGrants(grants) })
  }
  const details = [...flagsOfGrants(grants), ...unlinkedDeductions(rows, settings, since)]
  if (hasRecentRow(rows, settings)) return skipped(user, 'too_recent', { excluded, details, targeted })
  const review = circumstances.named ? [] : reviewRows(rows, settings, since)
  if (review.length > 0) return skipped(user, 'needs_review', { excluded, details, targeted, review })
  return planChange(user, { ...grants, excluded }, settings.instant, details)
}

/**
 * For an excluded user every grant counts as excluded with the user, whatever else would have excluded it.
 */
function allExcluded(grants: Grants): ExcludedGrant[] {
  const others = grants.excluded.map((grant): ExcludedGrant => ({ ...grant, why: 'user_excluded' }))
  return [...grants.targeted.map((grant) => excludedGrant(grant, 'user_excluded')), ...others].toSorted(byId)
}

function byId(a: ExcludedGrant, b: ExcludedGrant): number {
  return a.id < b.id ? -1 : 1
}

type Skipped = {
  readonly excluded: readonly ExcludedGrant[]
  readonly details?: readonly FlagDetail[]
  readonly targeted?: readonly Transaction[]
  readonly review?: readonly ReviewRow[]
}

function skipped(
  user: LedgerUser,
  outcome: SkippedPlan['outcome'],
  { excluded, details = [], targeted = [], review = [] }: Skipped,
): SkippedPlan {
  return {
    user,
    outcome,
    flags: flagNames(details),
    details,
    credits: targeted
      .toSorted(oldestFirst)
      .map((grant) => creditLine(grant, true, grant.expirationBaselineMicrodollars, null)),
    grantsTargeted: targeted.length,
    excluded,
    review,
    change: null,
  }
}

function planChange(
  user: LedgerUser,
  grants: Grants,
  instant: LedgerTime,
  detailsOfRows: readonly FlagDetail[],
): ChangePlan {
  const set = expire(expiringSet(grants, instant), instant, user.usedMicrodollars)
  const expired = set.filter((member) => member.expiredMicrodollars !== null)
  const expiredMicrodollars = sumExpired(expired.filter((member) => member.targeted))
  const duePaidMicrodollars = sumExpired(expired.filter((member) => !member.targeted))
  const acquiredAfterExpiry = add(user.acquiredMicrodollars, -add(expiredMicrodollars, duePaidMicrodollars))
  const correction = correctionOf(add(acquiredAfterExpiry, -user.usedMicrodollars), user, instant)
  const acquiredMicrodollars = add(acquiredAfterExpiry, correction?.amountMicrodollars ?? 0)
  const closings = expired.map((member) => closingRow(member, user))
  const details = [
    ...flagsOfChange(user, acquiredMicrodollars - user.usedMicrodollars, closings),
    ...detailsOfRows,
  ]
  return {
    user,
    outcome: expiredMicrodollars > 0 ? 'expired' : 'nothing_to_expire',
    flags: flagNames(details),
    details,
    credits: expired.map((member) =>
      creditLine(member.grant, member.targeted, member.baselineMicrodollars, member.expiredMicrodollars),
    ),
    grantsTargeted: grants.targeted.length,
    excluded: grants.excluded,
    expiredMicrodollars,
    duePaidMicrodollars,
    change: {
      closings,
      grants: set.flatMap(grantChange),
      correction,
      acquiredMicrodollars,
      nextCreditExpirationAt: earliestOpenDate(set, grants),
    },
  }
}

function sumExpired(members: readonly Expired[]): number {
  return members.reduce((sum, member) => add(sum, member.expiredMicrodollars ?? 0), 0)
}

/** Step 4: a fully spent grant gets a row of 0 too, since the row is what closes it. */
function closingRow(member: Expired, user: LedgerUser): ClosingRow {
  return {
    grant: member.grant,
    amountMicrodollars: 0 - (member.expiredMicrodollars ?? 0),
    description: `Expired: ${member.grant.description ?? ''}`,
    createdAt: member.expiryDate,
    originalBaselineMicrodollars: user.usedMicrodollars,
  }
}

function grantChange({ grant, targeted, expiryDate, baselineMicrodollars }: Expired): GrantChange[] {
  if (!targeted && baselineMicrodollars === (grant.expirationBaselineMicrodollars ?? 0)) return []
  return [{ grant, targeted, expiryDate, expirationBaselineMicrodollars: baselineMicrodollars }]
}

/** Step 5: link_taken and negative dated ones stay open, so their dates still count. */
function earliestOpenDate(set: readonly Expired[], grants: Grants): LedgerTime | null {
  const notDue = set
    .filter((member) => member.expiredMicrodollars === null)
    .map((member) => member.expiryDate)
  const linkTaken = grants.linkTaken.map(({ grant }) => grant)
  const leftOpen = [...linkTaken, ...grants.negativeDated].flatMap((row) => row.expiryDate ?? [])
  return earliest([...notDue, ...leftOpen])
}

/** Step 6: no processed user ends negative, whatever the cause. */
function correctionOf(
  balanceMicrodollars: number,
  user: LedgerUser,
  instant: LedgerTime,
): CorrectionRow | null {
  if (balanceMicrodollars >= 0) return null
  return {
    amountMicrodollars: -balanceMicrodollars,
    description: CORRECTION_DESCRIPTION,
    createdAt: instant,
    originalBaselineMicrodollars: user.usedMicrodollars,
  }
}

/** What a line shows of a grant: its row as it was, and what was claimed and expired of it. */
export function creditLine(
  grant: Transaction,
  targeted: boolean,
  baselineMicrodollars: number | null,
  expiredMicrodollars: number | null,
): CreditLine {
  return {
    id: grant.id,
    creditCategory: grant.creditCategory,
    description: grant.description,
    createdAt: grant.createdAt,
    isFree: grant.isFree,
    targeted,
    amountMicrodollars: grant.amountMicrodollars,
    hadExpiryDate: grant.expiryDate,
    baselineMicrodollars,
    expiredMicrodollars,
  }
}

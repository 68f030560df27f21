import { add } from './amounts.ts'
import { type Expired, expire, expiringSet } from './expiration.ts'
import { CORRECTION_DESCRIPTION, type Grants, reasonToLeaveAlone, sortGrants } from './grants.ts'
import { compareTimes } from './times.ts'
import type {
  ChangePlan,
  Circumstances,
  ClosingRow,
  CorrectionRow,
  CreditLine,
  Flag,
  GrantChange,
  LedgerTime,
  LedgerUser,
  Plan,
  Rules,
  Transaction,
} from './types.ts'

/** Under this final balance the application may charge a user's card at its next balance check: 5 USD. */
const AUTO_TOP_UP_MICRODOLLARS = 5_000_000

/**
 * What happens to one user: 1-ledger-rules, "What happens to one user", as one pure function of the user, all
 * their rows (in any order; organization rows count only for their links), the rules and the circumstances.
 * The plan is data: the dry run, the intent, the SQL, the logs and the tests all read this value.
 * @throws UnusableValue when a stored amount or time cannot be worked with exactly
 */
export function planUser(
  user: LedgerUser,
  rows: readonly Transaction[],
  rules: Rules,
  circumstances: Circumstances,
): Plan {
  const grants = sortGrants(rows, rules, circumstances.takenLinks)
  const outcome =
    grants.targeted.length === 0 ? 'no_targeted_grant' : reasonToLeaveAlone(rows, rules, circumstances)
  if (outcome === null) return planChange(user, grants, rules)
  return {
    user,
    outcome,
    flags: flagsOfGrants(grants),
    credits: grants.targeted
      .toSorted((a, b) => compareTimes(a.createdAt, b.createdAt) || (a.id < b.id ? -1 : 1))
      .map((grant) => creditLine(grant, true, grant.expirationBaselineMicrodollars, null)),
    grantsTargeted: grants.targeted.length,
    change: null,
  }
}

function planChange(user: LedgerUser, grants: Grants, rules: Rules): ChangePlan {
  const set = expire(expiringSet(grants, rules.instant), rules.instant, user.usedMicrodollars)
  const expired = set.filter((member) => member.expiredMicrodollars !== null)
  const expiredMicrodollars = sumExpired(expired.filter((member) => member.targeted))
  const duePaidMicrodollars = sumExpired(expired.filter((member) => !member.targeted))
  const acquiredAfterExpiry = add(user.acquiredMicrodollars, -add(expiredMicrodollars, duePaidMicrodollars))
  const correction = correctionOf(add(acquiredAfterExpiry, -user.usedMicrodollars), user, rules.instant)
  const acquiredMicrodollars = add(acquiredAfterExpiry, correction?.amountMicrodollars ?? 0)

  return {
    user,
    outcome: expiredMicrodollars > 0 ? 'expired' : 'nothing_to_expire',
    flags: flagsOfChange(user, acquiredMicrodollars - user.usedMicrodollars, duePaidMicrodollars, grants),
    credits: expired.map((member) =>
      creditLine(member.grant, member.targeted, member.baselineMicrodollars, member.expiredMicrodollars),
    ),
    grantsTargeted: grants.targeted.length,
    expiredMicrodollars,
    duePaidMicrodollars,
    change: {
      closings: expired.map((member) => closingRow(member, user)),
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
  const leftOpen = [...grants.linkTaken, ...grants.negativeDated].flatMap((row) => row.expiryDate ?? [])
  return [...notDue, ...leftOpen].reduce<LedgerTime | null>(
    (earliest, date) => (earliest === null || compareTimes(date, earliest) < 0 ? date : earliest),
    null,
  )
}

/** Step 6: no processed user ends negative, whatever made them so. */
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

function flagsOfChange(user: LedgerUser, finalBalance: number, duePaid: number, grants: Grants): Flag[] {
  const flags: Flag[] = []
  if (user.autoTopUpEnabled && finalBalance < AUTO_TOP_UP_MICRODOLLARS) flags.push('auto_top_up_risk')
  if (duePaid > 0) flags.push('due_paid_credit')
  if (user.acquiredMicrodollars < user.usedMicrodollars) flags.push('overdrawn_before')
  return [...flags, ...flagsOfGrants(grants)]
}

/** The flags that hold whether or not the user is changed: somebody should look at these rows. */
function flagsOfGrants(grants: Grants): Flag[] {
  const flags: Flag[] = []
  if (grants.linkTaken.length > 0) flags.push('link_taken')
  if (grants.negativeDated.length > 0) flags.push('negative_dated')
  return flags
}

function creditLine(
  grant: Transaction,
  targeted: boolean,
  baselineMicrodollars: number | null,
  expiredMicrodollars: number | null,
): CreditLine {
  return {
    id: grant.id,
    creditCategory: grant.creditCategory,
    isFree: grant.isFree,
    targeted,
    amountMicrodollars: grant.amountMicrodollars,
    hadExpiryDate: grant.expiryDate,
    baselineMicrodollars,
    expiredMicrodollars,
  }
}

import { add } from './amounts.ts'
import { claimedWindows, type ClaimedWindow, type Expired, expire, expiringSet } from './expiration.ts'
import { sortGrants } from './grants.ts'
import type { Inputs } from './inputs.ts'
import { planUser } from './plan.ts'
import type { ChangePlan, RuleSettings } from './types.ts'

/** A grant whose claim moved the baseline of a later one. */
export type Raise = {
  readonly id: string
  /** Whether that grant was closed before the run, or expired in the same pass. */
  readonly when: 'before' | 'same_pass'
  /** The usage that it covered, and by how much that moved the baseline. */
  readonly claimedMicrodollars: number
  readonly byMicrodollars: number
}

/**
 * How one grant came to expire, in the order in which the grants of a user are expired: startBaseline + the
 * sum of raisedBy = baseline; claimed + expired = amount; balanceAfter = balanceBefore - expired.
 */
export type GrantExplanation = {
  readonly id: string
  readonly targeted: boolean
  readonly amountMicrodollars: number
  /** The baseline that was stored, before claims of other grants were counted; where it comes from. */
  readonly startBaselineMicrodollars: number
  readonly baselineFrom: 'expiration_baseline' | 'original_baseline' | 'nothing_stored'
  readonly raisedByMicrodollars: number
  /** The first grants that moved the baseline, at most RAISES_SHOWN. */
  readonly raisedBy: readonly Raise[]
  /** The usage from which the grant claimed, and how much of the user's usage it covered from there. */
  readonly baselineMicrodollars: number
  readonly claimedMicrodollars: number
  readonly expiredMicrodollars: number
  readonly balanceBeforeMicrodollars: number
  readonly balanceAfterMicrodollars: number
}

export const RAISES_SHOWN = 20

/**
 * A user with more grants gets no list of raises, only their sum: the list takes a comparison with every
 * earlier claim.
 */
const MOST_COMPARISONS = 4_000_000

/**
 * Explains every closing row that planning these inputs leads to (1-ledger-rules, steps 1 to 3), in the order
 * of the pass; empty where planning changes nothing. The figures are those of the plan itself; only the list
 * of raises follows the published algorithm step by step.
 * @throws UnusableValue when a stored amount or time cannot be worked with exactly
 */
export function explain({ user, rows, circumstances }: Inputs, settings: RuleSettings): GrantExplanation[] {
  const plan = planUser(user, rows, settings, circumstances)
  if (plan.change === null) return []
  const grants = sortGrants(rows, settings, circumstances.takenLinks)
  const passed = expire(expiringSet(grants, settings.instant), settings.instant, user.usedMicrodollars)
  const due = passed.filter(({ expiredMicrodollars }) => expiredMicrodollars !== null)
  const closed = claimedWindows(grants.closed)
  const listed = due.length * (due.length + closed.length) <= MOST_COMPARISONS
  let balance = balanceBefore(plan)
  const earlier: ClaimedWindow[] = []
  return due.map((member) => {
    const { grant, targeted, baselineMicrodollars } = member
    const expiredMicrodollars = member.expiredMicrodollars ?? 0
    const claimedMicrodollars = grant.amountMicrodollars - expiredMicrodollars
    const start = startOf(member)
    const isUndated = targeted && start.baselineFrom !== 'expiration_baseline'
    const raisedBy = listed ? raisesOf(start.startBaselineMicrodollars, isUndated ? closed : [], earlier) : []
    const balanceBeforeMicrodollars = balance
    balance = add(balance, -expiredMicrodollars)
    earlier.push({ grant, from: baselineMicrodollars, claimed: claimedMicrodollars })
    return {
      id: grant.id,
      targeted,
      amountMicrodollars: grant.amountMicrodollars,
      ...start,
      raisedByMicrodollars: baselineMicrodollars - start.startBaselineMicrodollars,
      raisedBy: raisedBy.slice(0, RAISES_SHOWN),
      baselineMicrodollars,
      claimedMicrodollars,
      expiredMicrodollars,
      balanceBeforeMicrodollars,
      balanceAfterMicrodollars: balance,
    }
  })
}

function balanceBefore({ user }: ChangePlan): number {
  return add(user.acquiredMicrodollars, -user.usedMicrodollars)
}

/** A grant that is dated already and not targeted starts at its stored baseline, null meaning 0. */
function startOf({ grant, targeted }: Expired) {
  const { expirationBaselineMicrodollars: expiration, originalBaselineMicrodollars: original } = grant
  if (expiration !== null)
    return { startBaselineMicrodollars: expiration, baselineFrom: 'expiration_baseline' as const }
  if (targeted && original !== null)
    return { startBaselineMicrodollars: original, baselineFrom: 'original_baseline' as const }
  return { startBaselineMicrodollars: 0, baselineFrom: 'nothing_stored' as const }
}

/**
 * The claims that moved a baseline, one after the other: raised by min(claimed, end of the claim - baseline).
 */
function raisesOf(
  startMicrodollars: number,
  closed: readonly ClaimedWindow[],
  earlier: readonly ClaimedWindow[],
): Raise[] {
  let baseline = startMicrodollars
  const raisesFrom = (windows: readonly ClaimedWindow[], when: Raise['when']): Raise[] =>
    windows.flatMap(({ grant, from, claimed }) => {
      const byMicrodollars = claimed > 0 ? Math.min(claimed, from + claimed - baseline) : 0
      if (byMicrodollars <= 0) return []
      baseline += byMicrodollars
      return [{ id: grant.id, when, claimedMicrodollars: claimed, byMicrodollars }]
    })
  return [...raisesFrom(closed, 'before'), ...raisesFrom(earlier, 'same_pass')]
}

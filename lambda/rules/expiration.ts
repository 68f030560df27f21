import { add } from './amounts.ts'
import { trackBaselines } from './baselines.ts'
import type { Grants } from './grants.ts'
import { microsBelowMilli, millisOf } from './times.ts'
import type { LedgerTime, Transaction } from './types.ts'

/** One member of the expiring set, with its date and its baseline in microdollars. */
export type Expiring = {
  readonly grant: Transaction
  readonly targeted: boolean
  readonly expiryDate: LedgerTime
  readonly baselineMicrodollars: number
}

/** A member after the pass: its final baseline, and what of it expired (null where it was not due). */
export type Expired = Expiring & { readonly expiredMicrodollars: number | null }

/**
 * Steps 1 and 2 of 1-ledger-rules, "What happens to one user": every targeted grant gets the instant as its
 * date and the baseline from which it may claim; every other dated one keeps its own.
 * @throws UnusableValue when an amount leaves the safe integers
 */
export function expiringSet(grants: Grants, instant: LedgerTime): Expiring[] {
  const undated = grants.targeted.filter((grant) => grant.expirationBaselineMicrodollars === null)
  const broughtUpToDate = baselinesOfUndated(undated, grants.closed)
  return [
    ...grants.targeted.map((grant) => ({
      grant,
      targeted: true,
      expiryDate: instant,
      baselineMicrodollars: grant.expirationBaselineMicrodollars ?? broughtUpToDate.get(grant) ?? 0,
    })),
    ...grants.otherDated.map((grant) => ({
      grant,
      targeted: false,
      expiryDate: grant.expiryDate ?? instant,
      baselineMicrodollars: grant.expirationBaselineMicrodollars ?? 0,
    })),
  ]
}

/**
 * Step 2 for grants that never had a date: what production would have computed if they had carried one since
 * they were issued.
 */
function baselinesOfUndated(
  undated: readonly Transaction[],
  closed: Grants['closed'],
): Map<Transaction, number> {
  const baselines = trackBaselines(undated.map((grant) => grant.originalBaselineMicrodollars ?? 0))
  for (const { from, claimed } of claimedWindows(closed)) baselines.raise(from, claimed)
  return new Map(undated.map((grant, index) => [grant, baselines.at(index)]))
}

/** The usage that a closed grant claimed, [from, from + claimed), in microdollars. */
export type ClaimedWindow = { readonly grant: Transaction; readonly from: number; readonly claimed: number }

/**
 * What closed grants claimed, in the order in which step 2 applies it: (expiry, baseline).
 * @throws UnusableValue when an amount leaves the safe integers
 */
export function claimedWindows(closed: Grants['closed']): ClaimedWindow[] {
  return closed
    .map(({ grant, closingMicrodollars }) => ({
      order: orderOf(grant, grant.expiryDate ?? grant.createdAt),
      window: {
        grant,
        from: grant.expirationBaselineMicrodollars ?? grant.originalBaselineMicrodollars ?? 0,
        claimed: Math.max(0, add(grant.amountMicrodollars, closingMicrodollars)),
      },
    }))
    .toSorted(
      (a, b) =>
        compareNumbers(a.order.expiryMillis, b.order.expiryMillis) ||
        a.window.from - b.window.from ||
        compareOrders(a.order, b.order),
    )
    .map(({ window }) => window)
}

/**
 * Step 3, the production algorithm: in order of (expiry at millisecond precision, created_at, id) every one
 * that is due claims the usage that lies in its window, and raises the baselines of all later ones, due or
 * not. Returns the set in that order. The order is part of the rule: grants of one date split claims by it.
 * @throws UnusableValue when an amount leaves the safe integers
 */
export function expire(set: readonly Expiring[], instant: LedgerTime, usedMicrodollars: number): Expired[] {
  const ordered = set
    .map((member) => ({ member, order: orderOf(member.grant, member.expiryDate) }))
    .toSorted((a, b) => compareOrders(a.order, b.order))
  const baselines = trackBaselines(ordered.map(({ member }) => member.baselineMicrodollars))
  const now = millisOf(instant)

  const passed = ordered.map(({ member, order }, index) => {
    if (order.expiryMillis > now) return { ...member, index, expiredMicrodollars: null }
    const baselineMicrodollars = baselines.at(index)
    const amount = member.grant.amountMicrodollars
    const claimed = Math.max(0, Math.min(amount, usedMicrodollars - baselineMicrodollars))
    baselines.raise(baselineMicrodollars, claimed)
    return { ...member, index, baselineMicrodollars, expiredMicrodollars: amount - claimed }
  })
  // Those not due are last in the order: no claim follows after their baselines are read here.
  return passed.map(({ index, ...member }) =>
    member.expiredMicrodollars === null ? { ...member, baselineMicrodollars: baselines.at(index) } : member,
  )
}

type Order = { expiryMillis: number; createdMillis: number; createdMicros: number; id: string }

function orderOf(grant: Transaction, expiry: LedgerTime): Order {
  return {
    expiryMillis: millisOf(expiry),
    createdMillis: millisOf(grant.createdAt),
    createdMicros: microsBelowMilli(grant.createdAt),
    id: grant.id,
  }
}

function compareOrders(a: Order, b: Order): number {
  return (
    compareNumbers(a.expiryMillis, b.expiryMillis) ||
    compareNumbers(a.createdMillis, b.createdMillis) ||
    a.createdMicros - b.createdMicros ||
    (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
  )
}

/** Subtraction would make NaN of two infinities. */
function compareNumbers(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1
}

import { describe, expect, test } from 'vitest'
import { expiringSet } from '../../lambda/rules/expiration.ts'
import { sortGrants } from '../../lambda/rules/grants.ts'
import type { LedgerUser, Transaction } from '../../lambda/rules/types.ts'
import { greatestCover } from './cover.ts'
import {
  dated,
  free,
  INSTANT,
  LAST_MONTH,
  linkTo,
  NEXT_MONTH,
  paid,
  planOf,
  SETTINGS,
  userWith,
} from './examples.ts'
import { oracle } from './oracle.ts'
import { comparable, inOraclesWords } from './outcome.ts'

type Ledger = { user: LedgerUser; rows: Transaction[] }

/** Scattered numbers that are the same each time. */
const scattered = (index: number, below: number): number => (index * 7_919) % below

/** One user with so many open grants, undated, dated and paid, with baselines all over the usage. */
function open(count: number): Ledger {
  const rows = Array.from({ length: count }, (_, index) => {
    const date = dated(index % 10 < 5 ? LAST_MONTH : NEXT_MONTH, scattered(index, count))
    const id = `grant ${scattered(index, count)} ${index}`
    if (index % 5 === 0) return paid(id, 3, date)
    return free(
      id,
      3,
      index % 5 < 3 ? date : { originalBaselineMicrodollars: date.originalBaselineMicrodollars ?? 0 },
    )
  })
  return { user: userWith(count * 0.7, count * 3), rows }
}

/** One user with so many grants: half of them closed and partly spent, half that never had a date. */
function halfClosed(count: number): Ledger {
  const rows = Array.from({ length: count / 2 }, (_, index) => {
    const closed = free(`closed ${index}`, 3, dated(LAST_MONTH, scattered(index, count)))
    const undated = free(`undated ${index}`, 2, {
      originalBaselineMicrodollars: scattered(index * 3, count) * 1_000_000,
    })
    return [closed, linkTo(closed, index % 4), undated]
  })
  return { user: userWith(count * 1.1, count * 3), rows: rows.flat() }
}

describe.each([
  ['open grants', open],
  ['closed and undated grants', halfClosed],
])('one user with tens of thousands of %s', (_, build) => {
  test('is planned by the rules, as three hundred of the same kind are', () => {
    const { user, rows } = build(300)
    expect(inOraclesWords(planOf(user, rows))).toEqual(
      comparable(oracle(user, rows, SETTINGS, { named: false, excluded: false, takenLinks: new Set() })),
    )
  })

  test('claims the greatest usage that can be covered', () => {
    const { user, rows } = build(50_000)
    const closings = planOf(user, rows).change?.closings ?? []
    const due = new Set(closings.map((row) => row.grant.id))
    const credits = expiringSet(sortGrants(rows, SETTINGS, new Set()), INSTANT)
      .filter((member) => due.has(member.grant.id))
      .map((member) => ({
        baseline: BigInt(member.baselineMicrodollars),
        amount: BigInt(member.grant.amountMicrodollars),
      }))
    const claimed = closings.reduce(
      (sum, row) => sum + row.grant.amountMicrodollars + row.amountMicrodollars,
      0,
    )
    expect(claimed).toBeGreaterThan(0)
    expect(BigInt(claimed)).toBe(greatestCover(BigInt(user.usedMicrodollars), credits))
  })
})

import { describe, expect, test } from 'vitest'
import type { LedgerTime, Transaction } from '../../lambda/rules/types.ts'
import {
  dated,
  expiredDollars,
  free,
  INSTANT,
  LAST_MONTH,
  NEXT_MONTH,
  paid,
  planOf,
  usd,
  userWith,
} from './examples.ts'

const grant = free('A', 10)
const withPaid = (date: LedgerTime): Transaction[] => [paid('P', 5, dated(date)), grant]

describe('due_paid_credit', () => {
  test('paid credit that expired is counted apart from free credit', () => {
    expect(planOf(userWith(3, 30), [paid('P', 20, dated(LAST_MONTH)), grant])).toMatchObject({
      flags: ['due_paid_credit'],
      expiredMicrodollars: usd(10),
      duePaidMicrodollars: usd(17),
    })
  })

  test('paid credit that was fully spent expires by nothing and raises no flag', () => {
    expect(planOf(userWith(20, 30), [paid('P', 20, dated(LAST_MONTH)), grant])).toMatchObject({
      flags: [],
      duePaidMicrodollars: 0,
    })
  })

  test('a user whose free grants are fully spent has nothing to expire, whatever paid credit was due', () => {
    const planned = planOf(userWith(10, 30), [paid('P', 20, dated(LAST_MONTH, 10)), grant])
    expect(planned).toMatchObject({
      outcome: 'nothing_to_expire',
      duePaidMicrodollars: usd(20),
      flags: ['due_paid_credit'],
    })
  })
})

describe('auto_top_up_risk', () => {
  const topUp = { autoTopUpEnabled: true }
  const flags = (acquired: number, fields = topUp): readonly string[] =>
    planOf(userWith(0, acquired, fields), [grant]).flags

  test('a final balance of exactly 5 USD is no risk', () => expect(flags(15)).toEqual([]))
  test('a microdollar below is one', () => expect(flags(14.999999)).toEqual(['auto_top_up_risk']))
  test('so is the zero of a correction', () => expect(flags(4)).toEqual(['auto_top_up_risk']))
  test('none without auto top-up', () => expect(flags(10, { autoTopUpEnabled: false })).toEqual([]))
})

describe('overdrawn_before', () => {
  test('an overdraft from before the run is corrected too, and said', () => {
    const planned = planOf(userWith(12, 10), [grant])
    expect(planned).toMatchObject({ outcome: 'nothing_to_expire', flags: ['overdrawn_before'] })
    expect(planned.change?.correction?.amountMicrodollars).toBe(usd(2))
    expect(planned.change?.acquiredMicrodollars).toBe(usd(12))
  })

  test('a balance of zero was no overdraft', () => {
    expect(planOf(userWith(10, 10), [grant]).flags).toEqual([])
  })
})

describe('negative_dated', () => {
  test.each<[number, string[]]>([
    [0, ['negative_dated']],
    [-5, ['negative_dated', 'unlinked_deduction']],
  ])('a dated row of %d dollars stays open, and its date counts', (dollars, flags) => {
    const planned = planOf(userWith(4, 10), [free('N', dollars, dated(LAST_MONTH)), grant])
    expect(expiredDollars(planned)).toEqual({ A: 6 })
    expect(planned.flags).toEqual(flags)
    expect(planned.change?.nextCreditExpirationAt).toBe(LAST_MONTH)
  })

  test('not one of an organization', () => {
    const row = free('N', -5, { ...dated(LAST_MONTH), organizationId: 'organization' })
    expect(planOf(userWith(0, 10), [row, grant])).toMatchObject({
      flags: [],
      change: { nextCreditExpirationAt: null },
    })
  })

  test('not one that is closed', () => {
    const row = free('N', -5, dated(LAST_MONTH))
    const closing = free('close', 5, {
      isFree: false,
      creditCategory: 'credits_expired',
      originalTransactionId: 'N',
    })
    expect(planOf(userWith(0, 10), [row, closing, grant])).toMatchObject({
      flags: [],
      change: { nextCreditExpirationAt: null },
    })
  })
})

describe('when credit is due', () => {
  test.each(['-infinity', LAST_MONTH, INSTANT, '2026-11-22T06:12:30.123999Z'])('%s is due', (date) => {
    const planned = planOf(userWith(0, 15), withPaid(date))
    expect(expiredDollars(planned)).toEqual({ A: 10, P: 5 })
    expect(planned.change?.nextCreditExpirationAt).toBeNull()
  })

  test.each(['2026-11-22T06:12:30.124000Z', NEXT_MONTH, '9999-12-31T23:59:59.999999Z', 'infinity'])(
    '%s is not',
    (date) => {
      const planned = planOf(userWith(0, 15), withPaid(date))
      expect(expiredDollars(planned)).toEqual({ A: 10 })
      expect(planned.change?.nextCreditExpirationAt).toBe(date)
    },
  )

  test('of two open dates in one millisecond the earlier one is next, with its microseconds', () => {
    const [first, second] = ['2027-01-01T00:00:00.000001Z', '2027-01-01T00:00:00.000002Z']
    const planned = planOf(userWith(0, 20), [paid('Q', 5, dated(second)), paid('P', 5, dated(first)), grant])
    expect(planned.change?.nextCreditExpirationAt).toBe(first)
  })

  test('of two open dates the earlier one is next, even where its text would sort behind', () => {
    const [first, second] = ['9999-12-31T00:00:00.000000Z', '10000-01-01T00:00:00.000000Z']
    const planned = planOf(userWith(0, 20), [paid('Q', 5, dated(second)), paid('P', 5, dated(first)), grant])
    expect(planned.change?.nextCreditExpirationAt).toBe(first)
  })

  test('what is dated for ever still has its baseline raised', () => {
    const planned = planOf(userWith(6, 15), withPaid('infinity'))
    expect(
      planned.change?.grants.map(({ grant: { id }, expirationBaselineMicrodollars }) => [
        id,
        expirationBaselineMicrodollars,
      ]),
    ).toEqual([
      ['A', 0],
      ['P', usd(6)],
    ])
  })
})

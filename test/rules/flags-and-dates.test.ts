import { describe, expect, test } from 'vitest'
import type { FlagDetail, LedgerTime, Transaction } from '../../lambda/rules/types.ts'
import {
  dated,
  expiredDollars,
  free,
  INSTANT,
  LAST_MONTH,
  linkTo,
  LISTED_CORRECTION,
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
      details: [{ flag: 'due_paid_credit', amountMicrodollars: usd(17) }],
      expiredMicrodollars: usd(10),
      duePaidMicrodollars: usd(17),
    })
  })

  test('a due correction is counted with it, and is no paid credit', () => {
    const correction = free('C', 4, {
      ...dated(LAST_MONTH),
      creditCategory: 'accounting_adjustment',
      description: LISTED_CORRECTION,
    })
    const planned = planOf(userWith(0, 34), [paid('P', 20, dated(LAST_MONTH)), correction, grant])
    expect(planned).toMatchObject({
      duePaidMicrodollars: usd(24),
      details: [{ flag: 'due_paid_credit', amountMicrodollars: usd(20) }],
    })
    expect(planOf(userWith(0, 14), [correction, grant])).toMatchObject({
      duePaidMicrodollars: usd(4),
      flags: [],
    })
  })

  test('paid credit that was fully spent expires by nothing and sets no flag', () => {
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
  test('it carries the final balance', () => {
    expect(planOf(userWith(0, 13, topUp), [grant]).details).toEqual([
      { flag: 'auto_top_up_risk', finalBalanceMicrodollars: usd(3) },
    ])
  })
  test('none without auto top-up', () => expect(flags(10, { autoTopUpEnabled: false })).toEqual([]))
})

describe('overdrawn_before', () => {
  test('an overdraft from before the run is corrected too, and flagged', () => {
    const planned = planOf(userWith(12, 10), [grant])
    expect(planned).toMatchObject({
      outcome: 'nothing_to_expire',
      flags: ['overdrawn_before'],
      details: [{ flag: 'overdrawn_before', balanceMicrodollars: usd(-2) }],
    })
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

  test('each row is named with its amount and its date, oldest first', () => {
    const rows = [
      free('N', -5, { ...dated(NEXT_MONTH), createdAt: LAST_MONTH }),
      free('M', 0, dated('infinity')),
      grant,
    ]
    const { details } = planOf(userWith(0, 10), rows)
    expect(details.filter(({ flag }) => flag === 'negative_dated')).toEqual([
      { flag: 'negative_dated', id: 'M', amountMicrodollars: 0, expiryDate: 'infinity' },
      { flag: 'negative_dated', id: 'N', amountMicrodollars: usd(-5), expiryDate: NEXT_MONTH },
    ])
  })

  test('flagged where the user is skipped too', () => {
    expect(planOf(userWith(0, 0), [free('N', -5, dated(LAST_MONTH))])).toMatchObject({
      outcome: 'no_targeted_grant',
      flags: ['negative_dated'],
    })
  })
})

describe('unlinked_deduction', () => {
  const since = { createdAt: grant.createdAt }
  const spent = (id: string, dollars: number, fields: Partial<Transaction> = {}): Transaction =>
    paid(id, -dollars, { creditCategory: 'kiloclaw-deduction', ...since, ...fields })
  const detailsOf = (...rows: Transaction[]): readonly FlagDetail[] =>
    planOf(userWith(0, 10), [grant, ...rows]).details

  test('carries the number and the sum of the rows; the amounts stay those of production', () => {
    const planned = planOf(userWith(0, 11), [grant, paid('P', 10), spent('S', 3), spent('T', 6)])
    expect(expiredDollars(planned)).toEqual({ A: 10 })
    expect(planned.details).toEqual([{ flag: 'unlinked_deduction', rows: 2, amountMicrodollars: usd(-9) }])
  })

  test.each<[string, Transaction]>([
    [
      'a row from before the earliest targeted grant',
      spent('S', 3, { createdAt: '2025-11-21T23:59:59.999999Z' }),
    ],
    ['a row with a link', spent('S', 3, { originalTransactionId: 'of another user' })],
    ['a row of zero', spent('S', 0)],
    ['a row of an organization', spent('S', 3, { organizationId: 'organization' })],
  ])('%s does not count', (_, row) => {
    expect(detailsOf(row)).toEqual([])
  })

  test('a row that its closing row has given back does not count', () => {
    const row = free('N', -5, dated(LAST_MONTH))
    expect(detailsOf(row, linkTo(row, -5))).toEqual([])
  })

  test('a row of a review category does not count: a person has looked at it', () => {
    const row = spent('S', 3, { creditCategory: 'manual_decrement' })
    expect(planOf(userWith(0, 10), [grant, row], { named: true })).toMatchObject({
      outcome: 'expired',
      details: [],
    })
  })

  test('is flagged where the user is skipped too, unless nothing is targeted', () => {
    const young = paid('P', 1, { createdAt: INSTANT })
    expect(detailsOf(spent('S', 3), young)).toEqual([
      { flag: 'unlinked_deduction', rows: 1, amountMicrodollars: usd(-3) },
    ])
    expect(planOf(userWith(0, 10), [spent('S', 3)]).details).toEqual([])
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

  test('credit that is never due still has its baseline raised', () => {
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

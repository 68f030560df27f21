import { describe, expect, test } from 'vitest'
import { UnusableValue } from '../../lambda/rules/amounts.ts'
import { CORRECTION_DESCRIPTION } from '../../lambda/rules/grants.ts'
import type { LedgerUser, Transaction } from '../../lambda/rules/types.ts'
import {
  dated,
  expiredDollars,
  free,
  INSTANT,
  LAST_MONTH,
  LAST_YEAR,
  linkTo,
  NEXT_MONTH,
  paid,
  planOf,
  usd,
  userWith,
  writtenBaselines,
} from './examples.ts'

const atBaseline = (dollars: number): Partial<Transaction> => ({ originalBaselineMicrodollars: usd(dollars) })
const closedLongAgo = free('closed', 10, dated(LAST_MONTH))

type Example = [
  name: string,
  user: LedgerUser,
  rows: Transaction[],
  expired: Record<string, number>,
  balance: number,
]

const workedExamples: Example[] = [
  ['an unused grant expires in full', userWith(0, 10), [free('A', 10)], { A: 10 }, 0],
  ['a partly spent grant expires by the rest', userWith(4, 10), [free('A', 10)], { A: 6 }, 0],
  ['a fully spent grant gets a row of 0', userWith(15, 15), [free('A', 10)], { A: 0 }, 0],
  [
    'two undated grants share the usage once',
    userWith(10, 20),
    [free('A', 10), free('B', 10)],
    { A: 0, B: 10 },
    0,
  ],
  [
    'usage that a closed grant claimed is not claimed again',
    userWith(10, 20),
    [closedLongAgo, linkTo(closedLongAgo, 0), free('B', 10)],
    { B: 10 },
    0,
  ],
  [
    'paid credit bought after the free one was used up stays',
    userWith(10, 20),
    [free('A', 10), paid('P', 10)],
    { A: 0 },
    10,
  ],
  [
    'a free grant issued after paid credit was used up',
    userWith(10, 20),
    [paid('P', 10), free('A', 10, atBaseline(10))],
    { A: 10 },
    0,
  ],
  [
    'paid credit that is due expires in the same pass',
    userWith(3, 30),
    [paid('P', 20, dated(LAST_MONTH)), free('A', 10)],
    { P: 17, A: 10 },
    0,
  ],
  [
    'paid credit of a later date has its baseline raised',
    userWith(6, 30),
    [free('A', 10), paid('P', 20, dated(NEXT_MONTH))],
    { A: 4 },
    20,
  ],
  ['a grant that was clawed back before is corrected to zero', userWith(0, 0), [free('A', 5)], { A: 5 }, 0],
]

describe('the worked examples', () => {
  test.each(workedExamples)('%s', (_, user, rows, expired, balance) => {
    const planned = planOf(user, rows)
    expect(expiredDollars(planned)).toEqual(expired)
    expect((planned.change?.acquiredMicrodollars ?? NaN) - user.usedMicrodollars).toBe(usd(balance))
  })

  test('the raised baseline of the paid credit is written, and its date still counts', () => {
    const planned = planOf(userWith(6, 30), [free('A', 10), paid('P', 20, dated(NEXT_MONTH))])
    expect(writtenBaselines(planned)).toEqual({ A: 0, P: 6 })
    expect(planned.change?.nextCreditExpirationAt).toBe(NEXT_MONTH)
  })

  test('the clawed back one gets a single correction of its 5 dollars', () => {
    expect(planOf(userWith(0, 0), [free('A', 5)]).change?.correction).toEqual({
      amountMicrodollars: usd(5),
      description: CORRECTION_DESCRIPTION,
      createdAt: INSTANT,
      originalBaselineMicrodollars: 0,
    })
  })
})

describe('the rows of a change', () => {
  test('a closing row says what expired, of what, when, and at which usage', () => {
    const grant = free('A', 10, dated(NEXT_MONTH))
    expect(planOf(userWith(4, 10), [grant]).change?.closings).toEqual([
      {
        grant,
        amountMicrodollars: usd(-6),
        description: 'Expired: Promo',
        createdAt: INSTANT,
        originalBaselineMicrodollars: usd(4),
      },
    ])
  })

  test('a targeted grant is dated with the instant, whatever its date was', () => {
    const rows = [free('none', 1), free('due', 1, dated(LAST_MONTH)), free('later', 1, dated(NEXT_MONTH))]
    const grants = planOf(userWith(0, 3), rows).change?.grants ?? []
    expect(grants.map(({ grant, expiryDate }) => [grant.id, expiryDate])).toEqual([
      ['due', INSTANT],
      ['later', INSTANT],
      ['none', INSTANT],
    ])
  })

  test('due paid credit keeps its date, microseconds included, and its closing row bears it', () => {
    const date = '2026-11-22T06:12:30.122999Z'
    const planned = planOf(userWith(0, 30), [paid('P', 20, dated(date)), free('A', 10)])
    expect(planned.change?.closings.map((row) => row.createdAt)).toEqual([date, INSTANT])
    expect(writtenBaselines(planned)).toEqual({ A: 0 })
  })

  test('a fully spent grant gets +0, never -0', () => {
    expect(planOf(userWith(10, 10), [free('A', 10)]).change?.closings[0]?.amountMicrodollars).toBe(0)
  })

  test('a grant without a description gets a description all the same', () => {
    expect(
      planOf(userWith(0, 10), [free('A', 10, { description: null })]).change?.closings[0]?.description,
    ).toBe('Expired: ')
  })

  test('no correction where the balance comes to exactly zero', () => {
    expect(planOf(userWith(4, 10), [free('A', 10)]).change?.correction).toBeNull()
  })

  test('a correction brings even a missing microdollar to exactly zero', () => {
    const planned = planOf(userWith(0, 0, { acquiredMicrodollars: usd(10) - 1 }), [free('A', 10)])
    expect(planned.change?.correction?.amountMicrodollars).toBe(1)
    expect(planned.change?.acquiredMicrodollars).toBe(0)
  })
})

describe('the order among grants of one date', () => {
  const earlier = { createdAt: '2026-01-01T00:00:00.000001Z' }
  const later = { createdAt: '2026-01-01T00:00:00.000002Z' }

  test('the one created first claims first, by the microsecond', () => {
    expect(expiredDollars(planOf(userWith(4, 10), [free('A', 5, later), free('B', 5, earlier)]))).toEqual({
      A: 5,
      B: 1,
    })
  })

  test('then the one with the lower id', () => {
    expect(expiredDollars(planOf(userWith(4, 10), [free('B', 5), free('A', 5)]))).toEqual({ A: 1, B: 5 })
  })

  test('an earlier date claims before an earlier creation', () => {
    const due = paid('P', 5, { ...dated(LAST_MONTH), createdAt: LAST_MONTH })
    expect(expiredDollars(planOf(userWith(4, 10), [free('A', 5, earlier), due]))).toEqual({ P: 1, A: 5 })
  })

  test('dates of one millisecond are one date', () => {
    const [first, second] = ['2026-10-01T00:00:00.000900Z', '2026-10-01T00:00:00.000100Z']
    const rows = [
      paid('P', 5, { ...dated(first), ...earlier }),
      paid('Q', 5, { ...dated(second), ...later }),
      free('A', 1),
    ]
    expect(expiredDollars(planOf(userWith(4, 11), rows))).toEqual({ P: 1, Q: 5, A: 1 })
  })
})

describe('a value that cannot be worked with exactly makes the user an error', () => {
  const most = Number.MAX_SAFE_INTEGER

  test.each<Example>([
    [
      'what expires in all leaves the safe integers',
      userWith(0, 0),
      [free('A', 0, { amountMicrodollars: most }), free('B', 1)],
      {},
      0,
    ],
    ['the balance leaves them', userWith(0, 0, { acquiredMicrodollars: -most }), [free('A', 10)], {}, 0],
    [
      'a claim of a closed grant leaves them',
      userWith(0, 0),
      [closedLongAgo, linkTo(closedLongAgo, 0, { amountMicrodollars: most }), free('A', 10)],
      {},
      0,
    ],
    [
      'a time that JavaScript cannot hold',
      userWith(0, 9),
      [free('A', 9, { createdAt: '294276-12-31T23:59:59.999999Z' })],
      {},
      0,
    ],
  ])('%s', (_, user, rows) => {
    expect(() => planOf(user, rows, { named: true })).toThrow(UnusableValue)
  })

  test('the largest amounts that are safe still come out exactly', () => {
    const rows = [free('A', 0, { amountMicrodollars: most - 1 })]
    const planned = planOf(userWith(0, 0, { acquiredMicrodollars: most, usedMicrodollars: 1 }), rows)
    expect(planned.change?.closings[0]?.amountMicrodollars).toBe(2 - most)
    expect(planned.change?.acquiredMicrodollars).toBe(2)
  })
})

test('a user whose grants are all closed is skipped, even if paid credit of the same user is due', () => {
  const rows = [closedLongAgo, linkTo(closedLongAgo, 3), paid('P', 5, dated(LAST_YEAR))]
  expect(planOf(userWith(0, 15), rows)).toMatchObject({
    outcome: 'no_targeted_grant',
    credits: [],
    change: null,
  })
})

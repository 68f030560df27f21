import { describe, expect, test } from 'vitest'
import type { ChangePlan, Transaction } from '../../lambda/rules/types.ts'
import { exceeds, type Exceeded, type ShownPlan } from '../../lambda/rules/within-plan.ts'
import { dated, free, LAST_MONTH, paid, planOf, usd, userWith } from './examples.ts'
import { fc, SEED } from './fuzz.ts'

const grant = free('A', 10)
const other = free('B', 5)
const due = paid('P', 20, dated(LAST_MONTH))

function changeOf(used: number, acquired: number, rows: readonly Transaction[]): ChangePlan {
  const plan = planOf(userWith(used, acquired), rows)
  if (!plan.change) throw new Error(`The plan is ${plan.outcome}.`)
  return plan
}

function shownBy(plan: ChangePlan): ShownPlan {
  return { ...plan, correctionMicrodollars: plan.change.correction?.amountMicrodollars ?? 0 }
}

test('a plan is within itself', () => {
  const plan = changeOf(3, 30, [grant, due])
  expect(exceeds(plan, shownBy(plan))).toEqual([])
})

describe('less than was shown is fine', () => {
  const shown = shownBy(changeOf(0, 35, [grant, other, due]))

  test('credit was spent meanwhile', () => {
    expect(exceeds(changeOf(12, 35, [grant, other, due]), shown)).toEqual([])
  })

  test('a grant is gone', () => {
    expect(exceeds(changeOf(0, 30, [grant, due]), shown)).toEqual([])
  })
})

describe('more than was shown exceeds the plan, and is named', () => {
  test('a targeted grant that was not there', () => {
    expect(exceeds(changeOf(15, 15, [grant, other]), shownBy(changeOf(15, 15, [grant])))).toEqual([
      { what: 'targeted_grant', id: 'B', shownMicrodollars: null, nowMicrodollars: 0 },
    ])
  })

  test('a closing row that was not there', () => {
    expect(exceeds(changeOf(0, 30, [grant, due]), shownBy(changeOf(0, 30, [grant])))).toEqual([
      { what: 'closing_row', id: 'P', shownMicrodollars: null, nowMicrodollars: usd(20) },
      { what: 'due_paid', id: null, shownMicrodollars: 0, nowMicrodollars: usd(20) },
    ])
  })

  test('a grant that was shown as due paid credit and is targeted now', () => {
    const shown = shownBy(changeOf(0, 30, [grant, due]))
    expect(exceeds(changeOf(0, 30, [grant, { ...due, isFree: true }]), shown)).toEqual([
      { what: 'targeted_grant', id: 'P', shownMicrodollars: null, nowMicrodollars: usd(20) },
      { what: 'expired', id: null, shownMicrodollars: usd(10), nowMicrodollars: usd(30) },
    ])
  })

  test('a grant that was shown of a skipped user, without an amount', () => {
    const plan = changeOf(0, 10, [grant])
    const skipped = planOf(userWith(0, 10), [grant], { minGrantAgeSeconds: 1e9 })
    const shown = {
      expiredMicrodollars: 0,
      duePaidMicrodollars: 0,
      correctionMicrodollars: 0,
      credits: skipped.credits,
    }
    expect(exceeds(plan, shown)).toEqual([
      { what: 'targeted_grant', id: 'A', shownMicrodollars: null, nowMicrodollars: usd(10) },
      { what: 'expired', id: null, shownMicrodollars: 0, nowMicrodollars: usd(10) },
    ])
  })

  test.each<[Exceeded['what'], ChangePlan, ChangePlan, number, number]>([
    ['expired', changeOf(2, 10, [grant]), changeOf(1, 10, [grant]), 8, 9],
    ['due_paid', changeOf(30, 60, [grant, due]), changeOf(3, 60, [due, { ...grant }]), 0, 17],
    ['correction', changeOf(0, 8, [grant]), changeOf(0, 7, [grant]), 2, 3],
  ])('more of %s', (what, before, now, shownUsd, nowUsd) => {
    expect(exceeds(now, shownBy(before))).toContainEqual({
      what,
      id: null,
      shownMicrodollars: usd(shownUsd),
      nowMicrodollars: usd(nowUsd),
    })
  })

  test('every closing row of a user who was not shown', () => {
    expect(exceeds(changeOf(10, 10, [grant]), null)).toEqual([
      { what: 'targeted_grant', id: 'A', shownMicrodollars: null, nowMicrodollars: 0 },
    ])
  })
})

test(`usage between plan and run never exceeds, where nothing else changed (FC_SEED=${SEED})`, () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 5 }), (used, more) => {
      const acquired = used + more
      const rows = [grant, other]
      expect(exceeds(changeOf(used + more, acquired, rows), shownBy(changeOf(used, acquired, rows)))).toEqual(
        [],
      )
    }),
  )
})

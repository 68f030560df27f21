import { describe, expect, test } from 'vitest'
import { UnusableValue } from '../../lambda/rules/amounts.ts'
import { isCategoryPattern, matchesCategory, totalsByCategory } from '../../lambda/rules/categories.ts'
import { dated, free, LAST_MONTH, paid, planOf, usd, userWith } from './examples.ts'

describe('a category fits a pattern', () => {
  test.each<[string, string[]]>([
    ['promo', ['promo']],
    ['promo', ['x', 'promo']],
    ['promo', ['promo*']],
    ['promo', ['*']],
    ['', ['*']],
    ['kilo-pass-bonus', ['kilo-pass-*']],
    ['a.b', ['a.*']],
  ])('%s: %j', (category, patterns) => {
    expect(matchesCategory(category, patterns)).toBe(true)
  })

  test.each<[string | null, string[]]>([
    ['promo', []],
    ['promo', ['Promo']],
    ['promo', ['prom']],
    ['promo', ['promo-*']],
    ['axb', ['a.b']],
    ['axb', ['a_b', 'a%']],
    [null, ['*', '']],
  ])('%s does not: %j', (category, patterns) => {
    expect(matchesCategory(category, patterns)).toBe(false)
  })
})

test.each(['promo', 'promo*', '*', 'store-credit-refund:*', 'with blanks'])('"%s" is a pattern', (text) => {
  expect(isCategoryPattern(text)).toBe(true)
})

test.each(['', ' ', ' promo', 'promo ', '*promo', 'pro*mo', 'promo**'])('"%s" is none', (text) => {
  expect(isCategoryPattern(text)).toBe(false)
})

describe('totals by category', () => {
  test('count the targeted grants, their face value and what expires of them', () => {
    const rows = [
      free('A', 10),
      free('B', 5),
      free('C', 3, { creditCategory: null }),
      free('D', 2, { creditCategory: 'accounting_adjustment' }),
      paid('P', 20, { ...dated(LAST_MONTH), creditCategory: 'promo' }),
    ]
    const { credits } = planOf(userWith(22, 40), rows)
    expect(totalsByCategory(credits)).toEqual([
      { creditCategory: null, grants: 1, faceValueMicrodollars: usd(3), expiredMicrodollars: usd(3) },
      {
        creditCategory: 'accounting_adjustment',
        grants: 1,
        faceValueMicrodollars: usd(2),
        expiredMicrodollars: usd(2),
      },
      { creditCategory: 'promo', grants: 2, faceValueMicrodollars: usd(15), expiredMicrodollars: usd(13) },
    ])
  })

  test('of a skipped user show the face value, and nothing that expires', () => {
    const { credits } = planOf(userWith(0, 10), [free('A', 10)], { minGrantAgeSeconds: 1e9 })
    expect(totalsByCategory(credits)).toEqual([
      { creditCategory: 'promo', grants: 1, faceValueMicrodollars: usd(10), expiredMicrodollars: 0 },
    ])
  })

  test('are exact or an error', () => {
    const [credit] = planOf(userWith(0, 10), [free('A', 10)]).credits
    if (!credit) throw new Error('The plan has no credit.')
    const most = { ...credit, amountMicrodollars: Number.MAX_SAFE_INTEGER }
    expect(() => totalsByCategory([most, credit])).toThrow(UnusableValue)
  })
})

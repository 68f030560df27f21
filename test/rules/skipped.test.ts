import { describe, expect, test } from 'vitest'
import { WHAT_TO_CHECK } from '../../lambda/rules/review.ts'
import type { SkippedPlan, Transaction } from '../../lambda/rules/types.ts'
import {
  dated,
  expiredDollars,
  free,
  LAST_MONTH,
  linkTo,
  NEXT_MONTH,
  paid,
  planOf,
  usd,
  userWith,
} from './examples.ts'

const grant = free('A', 10, { createdAt: '2026-01-01T00:00:00.000000Z' })
const unlinked = (creditCategory: string, fields: Partial<Transaction> = {}): Transaction =>
  free('N', -5, { creditCategory, createdAt: '2026-03-01T00:00:00.000000Z', ...fields })
const outcome = (...rows: Transaction[]): string => planOf(userWith(0, 10), [grant, ...rows]).outcome

describe('too_recent', () => {
  const aMinuteOld = { createdAt: '2026-11-22T06:11:30.123000Z' }
  const younger = { createdAt: '2026-11-22T06:11:30.123001Z' }

  test.each<[string, Transaction]>([
    ['a free grant', free('B', 1, younger)],
    ['paid credit', paid('B', 1, younger)],
    ['a row below zero', free('B', -1, younger)],
    ['a row of zero', free('B', 0, younger)],
    ['a closing row', linkTo(free('B', 1), 1, younger)],
    ['a row from after the instant', free('B', 1, { createdAt: '2026-11-22T06:13:00.000000Z' })],
    ['a row of the infinite future', free('B', 1, { createdAt: 'infinity' })],
  ])('%s keeps the user for the next run', (_, row) => {
    expect(outcome(row)).toBe('too_recent')
  })

  test('a row of exactly the minimum age does not', () => {
    expect(outcome(paid('B', 1, aMinuteOld))).toBe('expired')
  })

  test('an organization row does not', () => {
    expect(outcome(paid('B', 1, { ...younger, organizationId: 'organization' }))).toBe('expired')
  })

  test('the minimum age is a setting', () => {
    const rows = [grant, paid('B', 1, younger)]
    expect(planOf(userWith(0, 10), rows, { minGrantAgeSeconds: 59 }).outcome).toBe('expired')
    expect(planOf(userWith(0, 10), [grant], { minGrantAgeSeconds: 400 * 86_400 }).outcome).toBe('too_recent')
  })

  test('naming the user does not help: the row may still be between its two commits', () => {
    expect(planOf(userWith(0, 10), [grant, paid('B', 1, younger)], { named: true }).outcome).toBe(
      'too_recent',
    )
  })

  test('it comes before a review: the next run decides on that', () => {
    expect(planOf(userWith(0, 10), [grant, unlinked('manual_decrement', younger)])).toMatchObject({
      outcome: 'too_recent',
      review: [],
    })
  })

  test('the log line shows the grants that wait, oldest first', () => {
    const rows = [
      free('B', 2, younger),
      free('C', 3, { ...dated(LAST_MONTH, 4), createdAt: LAST_MONTH }),
      grant,
    ]
    expect(planOf(userWith(0, 10), rows)).toMatchObject({
      outcome: 'too_recent',
      grantsTargeted: 3,
      change: null,
      credits: [
        { id: 'A', baselineMicrodollars: null, expiredMicrodollars: null, hadExpiryDate: null },
        { id: 'C', baselineMicrodollars: usd(4), expiredMicrodollars: null, hadExpiryDate: LAST_MONTH },
        { id: 'B' },
      ],
    })
  })
})

describe('needs_review', () => {
  test.each([
    'orb_credit_expired',
    'orb_credit_voided',
    'kilo-pass-upgrade-bonus-reversal:2026-03',
    'kilo-pass-store-refund:app_store:1',
    'admin-cancel-refund-kilo-pass',
    'admin-cancel-kilo-pass-no-refund',
    'manual_decrement',
    'orb_manual_decrement',
    'store-credit-refund:',
  ])('a row of category %s without a link needs a person', (creditCategory) => {
    expect(outcome(unlinked(creditCategory))).toBe('needs_review')
  })

  test.each([
    'manual_decrement_2',
    'manual',
    'Manual_Decrement',
    'kilo-pass-store-refund',
    'kilo-pass-bonus',
    'credits_expired',
  ])('one of category %s does not', (creditCategory) => {
    expect(outcome(unlinked(creditCategory))).toBe('expired')
  })

  test('the rows are named, oldest first, with what to check', () => {
    const closed = free('C', 5, dated(LAST_MONTH))
    const damage = linkTo(closed, -1, { createdAt: '2026-02-01T00:00:00.000000Z' })
    const plan = planOf(userWith(0, 10), [unlinked('manual_decrement'), grant, closed, damage]) as SkippedPlan
    expect(plan).toMatchObject({ outcome: 'needs_review', change: null, grantsTargeted: 1 })
    expect(plan.review).toEqual([
      {
        id: 'C link',
        category: 'credits_expired',
        amountMicrodollars: usd(1),
        createdAt: '2026-02-01T00:00:00.000000Z',
        why: 'positive_closing_row',
      },
      {
        id: 'N',
        category: 'manual_decrement',
        amountMicrodollars: usd(-5),
        createdAt: '2026-03-01T00:00:00.000000Z',
        why: 'reversal_without_link',
      },
    ])
    for (const { why } of plan.review) expect(WHAT_TO_CHECK[why]).toMatch(/^Check .*\.$/)
  })

  test('naming the user says that a person has looked', () => {
    const closed = free('C', 5, dated(LAST_MONTH))
    const rows = [grant, unlinked('orb_credit_voided'), closed, linkTo(closed, -1)]
    expect(planOf(userWith(0, 10), rows, { named: true }).outcome).toBe('expired')
  })

  test('the categories are a setting', () => {
    const rows = [grant, unlinked('manual_decrement')]
    expect(planOf(userWith(0, 10), rows, { reviewCategories: [] }).outcome).toBe('expired')
    expect(planOf(userWith(0, 10), rows, { reviewCategories: ['manual*'] }).outcome).toBe('needs_review')
  })

  test('a row of zero needs it, a positive one does not', () => {
    expect(outcome(unlinked('manual_decrement', { amountMicrodollars: 0 }))).toBe('needs_review')
    expect(outcome(unlinked('orb_manual_decrement', { amountMicrodollars: 1 }))).toBe('expired')
  })

  test('a row from before the earliest targeted grant is about another grant, to the microsecond', () => {
    const before = { createdAt: '2025-12-31T23:59:59.999999Z' }
    expect(outcome(unlinked('manual_decrement', before))).toBe('expired')
    expect(outcome(unlinked('manual_decrement', { createdAt: grant.createdAt }))).toBe('needs_review')
    expect(outcome(unlinked('manual_decrement', before), free('B', 1, before))).toBe('needs_review')
  })

  test('an Orb row counts whenever it was created', () => {
    expect(outcome(unlinked('orb_credit_voided', { createdAt: '-infinity' }))).toBe('needs_review')
    expect(outcome(unlinked('orb_manual_decrement', { createdAt: '-infinity' }))).toBe('expired')
  })

  test('a row of an organization does not count: organization rows count only for their links', () => {
    expect(outcome(unlinked('orb_credit_voided', { organizationId: 'organization' }))).toBe('expired')
  })

  test('a row with a link does not count', () => {
    expect(outcome(linkTo(free('old', 5), 5, { creditCategory: 'manual_decrement' }))).toBe('expired')
  })

  test('a positive closing row is damage only where it closes a positive personal grant', () => {
    const closingOf = (original: Transaction): string => outcome(original, linkTo(original, -1))
    expect(closingOf(paid('C', 5))).toBe('needs_review')
    expect(closingOf(free('C', -5, dated(LAST_MONTH)))).toBe('expired')
    expect(closingOf(free('C', 0, dated(LAST_MONTH)))).toBe('expired')
    expect(closingOf(free('C', 5, { organizationId: 'organization' }))).toBe('expired')
    expect(outcome(linkTo(free('of another user', 5), -1))).toBe('expired')
  })

  test('a closing row of 0 is no damage: a fully spent grant has one', () => {
    const closed = free('C', 5, dated(LAST_MONTH))
    expect(outcome(closed, linkTo(closed, 0))).toBe('expired')
  })

  test('a user without a targeted grant does not need it', () => {
    expect(planOf(userWith(0, 0), [unlinked('orb_credit_voided')]).outcome).toBe('no_targeted_grant')
  })
})

describe('excluded', () => {
  const promo = free('P', 4)
  const referral = free('R', 6, { creditCategory: 'referral' })
  const why = (plan: ReturnType<typeof planOf>): Record<string, string> =>
    Object.fromEntries(plan.excluded.map((row) => [row.id, row.why]))

  test('an excluded user is not touched, and every grant is shown as excluded', () => {
    const plan = planOf(userWith(0, 10), [promo, referral], { excluded: true, named: true })
    expect(plan).toMatchObject({
      outcome: 'excluded',
      change: null,
      grantsTargeted: 0,
      credits: [],
      flags: [],
    })
    expect(plan.excluded).toEqual([
      { id: 'P', creditCategory: 'promo', amountMicrodollars: usd(4), why: 'user_excluded' },
      { id: 'R', creditCategory: 'referral', amountMicrodollars: usd(6), why: 'user_excluded' },
    ])
  })

  test('an excluded user has this outcome without any grant too', () => {
    expect(planOf(userWith(0, 10), [], { excluded: true })).toMatchObject({
      outcome: 'excluded',
      excluded: [],
    })
  })

  test('a grant of an excluded category is not targeted, and counted', () => {
    const plan = planOf(userWith(0, 10), [promo, referral], { excludedCategories: ['ref*'] })
    expect(expiredDollars(plan)).toEqual({ P: 4 })
    expect(plan.grantsTargeted).toBe(1)
    expect(why(plan)).toEqual({ R: 'category_excluded' })
  })

  test('so is a grant of a category that is not selected, or without a category', () => {
    const none = free('N', 1, { creditCategory: null })
    const plan = planOf(userWith(0, 11), [promo, referral, none], { categories: ['referral'] })
    expect(expiredDollars(plan)).toEqual({ R: 6 })
    expect(why(plan)).toEqual({ P: 'category_not_selected', N: 'category_not_selected' })
  })

  test('exclusion comes before selection: a category can be selected and excluded', () => {
    const plan = planOf(userWith(0, 10), [promo, referral], {
      categories: ['*'],
      excludedCategories: ['promo'],
    })
    expect(expiredDollars(plan)).toEqual({ R: 6 })
    expect(why(plan)).toEqual({ P: 'category_excluded' })
  })

  test('a user whose targeted grants are all excluded by category is excluded', () => {
    const plan = planOf(userWith(0, 4), [promo], { excludedCategories: ['promo'] })
    expect(plan).toMatchObject({ outcome: 'excluded', change: null, grantsTargeted: 0 })
    expect(why(plan)).toEqual({ P: 'category_excluded' })
  })

  test('a user without a grant that could be targeted is not: there is nothing to exclude', () => {
    const closed = free('C', 5)
    const rows = [closed, linkTo(closed, 5), paid('D', 5)]
    expect(planOf(userWith(0, 4), rows, { categories: ['x'] })).toMatchObject({
      outcome: 'no_targeted_grant',
      excluded: [],
    })
  })

  test('a due grant of an excluded category expires as production would, among other closing rows', () => {
    const due = free('R', 6, { creditCategory: 'referral', ...dated(LAST_MONTH) })
    const plan = planOf(userWith(1, 10), [promo, due], { excludedCategories: ['referral'] })
    expect(expiredDollars(plan)).toEqual({ R: 5, P: 4 })
    expect(plan).toMatchObject({ expiredMicrodollars: usd(4), duePaidMicrodollars: usd(5), flags: [] })
    expect(plan.credits.map(({ id, targeted }) => [id, targeted])).toEqual([
      ['R', false],
      ['P', true],
    ])
    expect(why(plan)).toEqual({ R: 'category_excluded' })
  })

  test('one with a date to come keeps it, and has its baseline raised', () => {
    const later = free('R', 6, { creditCategory: 'referral', ...dated(NEXT_MONTH) })
    const plan = planOf(userWith(1, 10), [promo, later], { excludedCategories: ['referral'] })
    expect(expiredDollars(plan)).toEqual({ P: 3 })
    expect(plan.change?.nextCreditExpirationAt).toBe(NEXT_MONTH)
    expect(plan.change?.grants.find(({ grant: { id } }) => id === 'R')).toMatchObject({
      expiryDate: NEXT_MONTH,
      expirationBaselineMicrodollars: usd(1),
    })
  })

  test('it does not set the time from which a reversal counts', () => {
    const old = free('R', 6, { creditCategory: 'referral', createdAt: '2025-01-01T00:00:00.000000Z' })
    const rows = [grant, old, unlinked('manual_decrement', { createdAt: '2025-06-01T00:00:00.000000Z' })]
    expect(planOf(userWith(0, 11), rows).outcome).toBe('needs_review')
    expect(planOf(userWith(0, 11), rows, { excludedCategories: ['referral'] }).outcome).toBe('expired')
  })
})

describe('no_targeted_grant', () => {
  test.each<[string, Transaction[]]>([
    ['no row at all', []],
    ['only undated paid credit', [paid('P', 5)]],
    ['paid credit that is due', [paid('P', 5, dated(LAST_MONTH))]],
    [
      'a row so young that it would be too recent',
      [paid('P', 5, { createdAt: '2026-11-22T06:12:30.000000Z' })],
    ],
  ])('%s', (_, rows) => {
    expect(planOf(userWith(7, 5), rows)).toMatchObject({
      outcome: 'no_targeted_grant',
      flags: [],
      credits: [],
      excluded: [],
      review: [],
      change: null,
    })
  })
})

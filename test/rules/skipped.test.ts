import { describe, expect, test } from 'vitest'
import type { Transaction } from '../../lambda/rules/types.ts'
import { dated, free, LAST_MONTH, linkTo, paid, planOf, usd, userWith } from './examples.ts'

const grant = free('A', 10)
const unlinked = (creditCategory: string): Transaction => free('orb', -5, { creditCategory })
const outcome = (row: Transaction): string => planOf(userWith(0, 10), [grant, row]).outcome

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
    ['a row of the endless future', free('B', 1, { createdAt: 'infinity' })],
  ])('%s leaves the user for the next run', (_, row) => {
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

  test('the log line shows the grants that wait, oldest first', () => {
    const rows = [free('B', 2, younger), free('C', 3, dated(LAST_MONTH, 4)), grant]
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
  test.each(['orb_credit_expired', 'orb_credit_voided'])(
    '%s without a link needs a person',
    (creditCategory) => {
      expect(outcome(unlinked(creditCategory))).toBe('needs_review')
    },
  )

  test('naming the user says that a person has looked', () => {
    expect(planOf(userWith(0, 10), [grant, unlinked('orb_credit_voided')], { named: true }).outcome).toBe(
      'expired',
    )
  })

  test('one of an organization does not need it: organization rows count only for their links', () => {
    expect(outcome({ ...unlinked('orb_credit_voided'), organizationId: 'organization' })).toBe('expired')
  })

  test('one with a link does not need it', () => {
    expect(outcome(linkTo(free('old', 5), 5, { creditCategory: 'orb_credit_voided' }))).toBe('expired')
  })

  test('nor does a closing row of our own without a link', () => {
    expect(outcome(unlinked('credits_expired'))).toBe('expired')
  })

  test('nobody needs it who has nothing targeted', () => {
    expect(planOf(userWith(0, 0), [unlinked('orb_credit_voided')]).outcome).toBe('no_targeted_grant')
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
      change: null,
    })
  })
})

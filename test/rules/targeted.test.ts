import { describe, expect, test } from 'vitest'
import { CORRECTION_DESCRIPTION } from '../../lambda/rules/grants.ts'
import type { Transaction } from '../../lambda/rules/types.ts'
import {
  dated,
  expiredDollars,
  free,
  LAST_MONTH,
  LISTED_CORRECTION,
  linkTo,
  NEXT_MONTH,
  paid,
  planOf,
  usd,
  userWith,
  writtenBaselines,
} from './examples.ts'

const grant = free('A', 10)
const other = free('B', 5)
const adjustment = (description: string | null): Transaction =>
  free('A', 10, { creditCategory: 'accounting_adjustment', description })

/** The ids of the targeted grants, of a user who is changed or skipped. */
function targetedIds(rows: Transaction[], takenLinks: string[] = []): string[] {
  const { credits, grantsTargeted } = planOf(userWith(0, 100), rows, { takenLinks })
  const ids = credits.filter((credit) => credit.targeted).map((credit) => credit.id)
  expect(ids).toHaveLength(grantsTargeted)
  return ids
}

describe('a grant is targeted', () => {
  test.each<[string, Transaction]>([
    ['undated', grant],
    ['with a date to come', free('A', 10, dated(NEXT_MONTH))],
    ['with a date gone by', free('A', 10, dated(LAST_MONTH))],
    ['with a date that is never due', free('A', 10, dated('infinity'))],
    ['of one microdollar', free('A', 0.000001)],
    ['without category and description', free('A', 10, { creditCategory: null, description: null })],
  ])('%s', (_, row) => {
    expect(targetedIds([row])).toEqual(['A'])
  })
})

describe('a row is not targeted', () => {
  test.each<[string, Transaction]>([
    ['that was paid', paid('A', 10)],
    ['of an organization', free('A', 10, { organizationId: 'organization' })],
    ['of zero', free('A', 0)],
    ['below zero', free('A', -10)],
    ['that production made of a dated row below zero', linkTo(free('N', -10, dated(LAST_MONTH)), -10)],
    ['of a closing category, even without a link', free('A', 10, { creditCategory: 'credits_expired' })],
  ])('%s', (_, row) => {
    expect(planOf(userWith(0, 10), [row]).outcome).toBe('no_targeted_grant')
  })
})

describe('a grant is closed', () => {
  test.each(['credits_expired', 'orb_credit_expired', 'orb_credit_voided'])(
    'by a row of category %s',
    (creditCategory) => {
      expect(targetedIds([grant, linkTo(grant, 10, { creditCategory }), other])).toEqual(['B'])
    },
  )

  test('by an organization row', () => {
    expect(targetedIds([grant, linkTo(grant, 10, { organizationId: 'organization' }), other])).toEqual(['B'])
  })

  test('not by a closing row of another grant', () => {
    expect(targetedIds([grant, linkTo(other, 5), other])).toEqual(['A'])
  })
})

describe('a grant whose link is taken is skipped, and its user flagged', () => {
  test.each<[string, Transaction]>([
    ['by a refund of the user', linkTo(grant, 10, { creditCategory: 'refund' })],
    ['by a row without category', linkTo(grant, 10, { creditCategory: null })],
    [
      'by an organization row',
      linkTo(grant, 10, { creditCategory: 'refund', organizationId: 'organization' }),
    ],
  ])('%s', (_, link) => {
    expect(targetedIds([grant, link, other])).toEqual(['B'])
    expect(planOf(userWith(0, 15), [grant, link, other])).toMatchObject({
      flags: ['link_taken'],
      details: [{ flag: 'link_taken', grantId: 'A', linkId: 'A link' }],
    })
  })

  test('as the database says', () => {
    expect(targetedIds([grant, other], ['A'])).toEqual(['B'])
    expect(planOf(userWith(0, 15), [grant, other], { takenLinks: ['A'] }).details).toEqual([
      { flag: 'link_taken', grantId: 'A', linkId: null },
    ])
  })

  test('unless it is closed: then the database only says that it saw the closing row', () => {
    expect(planOf(userWith(0, 15), [grant, linkTo(grant, 10), other], { takenLinks: ['A'] }).flags).toEqual(
      [],
    )
  })

  test('flagged even where nothing else is targeted', () => {
    const rows = [grant, linkTo(grant, 10, { creditCategory: 'refund' })]
    expect(planOf(userWith(0, 10), rows)).toMatchObject({
      outcome: 'no_targeted_grant',
      flags: ['link_taken'],
      change: null,
    })
  })

  test('paid credit that is due does not expire, and its date stays open', () => {
    const due = paid('P', 20, dated(LAST_MONTH))
    const planned = planOf(userWith(3, 25), [due, linkTo(due, 20, { creditCategory: 'refund' }), other])
    expect(expiredDollars(planned)).toEqual({ B: 2 })
    expect(planned.change?.nextCreditExpirationAt).toBe(LAST_MONTH)
    expect(planned.flags).toEqual(['link_taken'])
  })

  test('its baseline is not raised by what others claim', () => {
    const later = paid('P', 20, dated(NEXT_MONTH))
    const planned = planOf(userWith(3, 25), [later, linkTo(later, 20, { creditCategory: 'refund' }), other])
    expect(writtenBaselines(planned)).toEqual({ B: 0 })
  })

  test('a grant that is excluded by its category is not flagged, unless it has a date', () => {
    const link = linkTo(grant, 10, { creditCategory: 'refund' })
    const flags = (row: Transaction): readonly string[] =>
      planOf(userWith(0, 15), [row, link, free('B', 5, { creditCategory: 'x' })], { categories: ['x'] }).flags
    expect(flags(grant)).toEqual([])
    expect(flags({ ...grant, ...dated(LAST_MONTH) })).toEqual(['link_taken'])
  })

  test('undated paid credit with a refund is nothing to look at: it would not have expired', () => {
    const refunded = paid('P', 20)
    expect(
      planOf(userWith(0, 5), [refunded, linkTo(refunded, 20, { creditCategory: 'refund' }), other]).flags,
    ).toEqual([])
  })
})

describe('a correction', () => {
  test.each([CORRECTION_DESCRIPTION, LISTED_CORRECTION])('is never targeted: %s', (description) => {
    expect(targetedIds([adjustment(description), other])).toEqual(['B'])
  })

  test.each(['Goodwill', null, CORRECTION_DESCRIPTION.toUpperCase()])(
    'described as %s it is an ordinary grant',
    (description) => {
      expect(targetedIds([adjustment(description)])).toEqual(['A'])
    },
  )

  test('is one only in its category', () => {
    expect(targetedIds([free('A', 10, { description: CORRECTION_DESCRIPTION })])).toEqual(['A'])
  })

  test('with a date that is due expires as production would have it, and is not counted as targeted', () => {
    const correction = { ...adjustment(CORRECTION_DESCRIPTION), ...dated(LAST_MONTH) }
    const planned = planOf(userWith(0, 15), [correction, other])
    expect(planned).toMatchObject({
      grantsTargeted: 1,
      expiredMicrodollars: usd(5),
      duePaidMicrodollars: usd(10),
    })
  })
})

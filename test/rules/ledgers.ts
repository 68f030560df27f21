import type {
  Circumstances,
  LedgerTime,
  LedgerUser,
  RuleSettings,
  Transaction,
} from '../../lambda/rules/types.ts'
import { CORRECTION_DESCRIPTION } from '../../lambda/rules/grants.ts'
import {
  INSTANT,
  LAST_MONTH,
  LAST_YEAR,
  LISTED_CORRECTION,
  NEXT_MONTH,
  SETTINGS,
  usd,
  userWith,
} from './examples.ts'
import { fc } from './fuzz.ts'

/** One user's ledger, what else is known, and the settings of the run. */
export type Ledger = {
  user: LedgerUser
  rows: Transaction[]
  circumstances: Circumstances
  settings: RuleSettings
}

/** Few dates, so that many are alike, or alike but for their microseconds. */
const oldDates = [LAST_YEAR, LAST_MONTH, '2026-10-22T00:00:00.000001Z', '2026-10-22T00:00:00.001000Z']
const dates = [
  ...oldDates,
  INSTANT,
  '2026-11-22T06:12:30.123999Z',
  '2026-11-22T06:12:30.124000Z',
  NEXT_MONTH,
  'infinity',
  '-infinity',
]
const creations = [...oldDates, '-infinity', '2026-11-22T06:11:30.123000Z']
const categories = [
  'promo',
  'accounting_adjustment',
  'credits_expired',
  'orb_credit_expired',
  'orb_credit_voided',
  'refund',
  'manual_decrement',
  'kilo-pass-store-refund:app_store:1',
  'kilo-pass-bonus',
  'kiloclaw-deduction',
]
const descriptions = ['Promo', CORRECTION_DESCRIPTION, LISTED_CORRECTION]

const often = <Value>(common: Value, rare: fc.Arbitrary<Value>, weight = 6): fc.Arbitrary<Value> =>
  fc.oneof({ weight, arbitrary: fc.constant(common) }, { weight: 1, arbitrary: rare })
const dollars = (min: number, max: number): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min, max }).map(usd) },
    { weight: 1, arbitrary: fc.integer({ min: usd(min), max: usd(max) }) },
  )
const baseline = fc.option(
  fc.oneof({ weight: 9, arbitrary: dollars(0, 20) }, { weight: 1, arbitrary: dollars(-9, 0) }),
)
const time = (some: LedgerTime[]): fc.Arbitrary<LedgerTime> => fc.constantFrom(...some)

const row = fc.record({
  amountMicrodollars: fc.oneof(
    { weight: 5, arbitrary: dollars(1, 12) },
    { weight: 1, arbitrary: dollars(-5, 0) },
  ),
  expirationBaselineMicrodollars: baseline,
  originalBaselineMicrodollars: baseline,
  isFree: fc.boolean(),
  description: fc.option(fc.constantFrom(...descriptions), { freq: 6 }),
  creditCategory: often<string | null>('promo', fc.option(fc.constantFrom(...categories)), 4),
  expiryDate: fc.option(time(dates), { freq: 2 }),
  createdAt: often(LAST_YEAR, often(LAST_MONTH, time([...creations, '2026-11-22T06:11:30.123001Z'])), 2),
  organizationId: often<string | null>(null, fc.constant('organization'), 9),
})

/** What links to a row: nothing, a row that closes it by a part of it, or one that takes its link. */
const link = fc.option(
  fc.record({
    part: fc.integer({ min: -1, max: 12 }),
    category: fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom('credits_expired', 'orb_credit_expired', 'orb_credit_voided') },
      { weight: 1, arbitrary: fc.constantFrom(null, 'refund') },
    ),
    organizationId: often<string | null>(null, fc.constant('organization'), 9),
  }),
  { freq: 2 },
)

/** Categories as the configuration or a payload selects them. */
const patterns = fc.subarray(['promo', 'kilo-*', 'refund', 'accounting_adjustment', '*'], {
  minLength: 1,
  maxLength: 2,
})

/** Any ledger that the database's constraints allow, likely or not. */
export const ledgers: fc.Arbitrary<Ledger> = fc
  .record({
    used: dollars(0, 40),
    acquired: fc.oneof({ weight: 3, arbitrary: dollars(0, 60) }, { weight: 1, arbitrary: dollars(-9, 9) }),
    autoTopUpEnabled: fc.boolean(),
    nextCreditExpirationAt: fc.option(time(dates)),
    named: fc.boolean(),
    excluded: often(false, fc.constant(true), 12),
    categories: often<string[] | null>(null, patterns, 4),
    excludedCategories: often<string[]>([], patterns, 4),
    grants: fc.array(
      fc.record({ row, link, isTaken: often(false, fc.constant(true), 20), rank: fc.nat(99) }),
      { maxLength: 10 },
    ),
  })
  .map(
    ({ used, acquired, autoTopUpEnabled, nextCreditExpirationAt, named, excluded, grants, ...selected }) => {
      const withIds = grants.map((grant, index) => ({ ...grant, id: `grant ${grant.rank} ${index}` }))
      const rows = withIds.map((grant): Transaction => ({
        ...grant.row,
        id: grant.id,
        originalTransactionId: null,
      }))
      const links = withIds.flatMap(({ id, row: grant, link: closing }): Transaction[] =>
        closing === null
          ? []
          : [
              {
                ...grant,
                id: `link of ${id}`,
                amountMicrodollars: usd(-closing.part),
                description: null,
                creditCategory: closing.category,
                originalTransactionId: id,
                expiryDate: null,
                organizationId: closing.organizationId,
              },
            ],
      )
      return {
        user: {
          ...userWith(0, 0, { autoTopUpEnabled, nextCreditExpirationAt }),
          usedMicrodollars: used,
          acquiredMicrodollars: acquired,
        },
        rows: [...rows, ...links],
        circumstances: {
          named,
          excluded,
          takenLinks: new Set(withIds.filter((grant) => grant.isTaken).map((grant) => grant.id)),
        },
        settings: { ...SETTINGS, ...selected },
      }
    },
  )

import type { Sql } from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { seedSampleLedger } from '../../bin/sandbox/sample/ledger.ts'
import { STORIES } from '../../bin/sandbox/sample/stories.ts'
import { dump, freshDatabase } from '../support/ledger.ts'

const NOW = new Date('2026-11-22T06:12:30.123Z')

let sql: Sql
let drop: () => Promise<void>
beforeAll(async () => {
  ;({ sql, drop } = await freshDatabase())
  await seedSampleLedger(sql, { now: NOW })
})
afterAll(() => drop())

async function count(from: string): Promise<number> {
  const [row] = await sql.unsafe<{ count: number }[]>(`SELECT count(*)::int AS count FROM ${from}`)
  return row?.count ?? 0
}

const INTERNAL = `(SELECT * FROM kilocode_users WHERE google_user_email ~* '@(kilo|kilocode)\\.ai$' AND google_user_email NOT LIKE '%İ%') AS u`
const OF_INTERNAL = `${INTERNAL} JOIN credit_transactions AS t ON t.kilo_user_id = u.id`
const PERSONAL_SUM = `coalesce((SELECT sum(amount_microdollars) FROM credit_transactions AS t
  WHERE t.kilo_user_id = u.id AND t.organization_id IS NULL), 0)`
const CLOSED = `EXISTS (SELECT FROM credit_transactions AS c WHERE c.original_transaction_id = t.id
  AND c.credit_category IN ('credits_expired', 'orb_credit_expired', 'orb_credit_voided'))`

test('there are 600 users, 60 of them internal', async () => {
  expect(await count('kilocode_users')).toBe(600)
  expect(await count(INTERNAL)).toBe(60)
})

describe('the internal users have', () => {
  test.each([
    [
      'undated free grants',
      `${OF_INTERNAL} WHERE t.is_free AND t.expiry_date IS NULL AND t.amount_microdollars > 0`,
      60,
    ],
    [
      'dated free grants',
      `${OF_INTERNAL} WHERE t.is_free AND t.expiry_date > '2026-11-22' AND NOT ${CLOSED}`,
      5,
    ],
    [
      'grants of welcome, promotion, referral and bonus',
      `(SELECT DISTINCT credit_category FROM ${OF_INTERNAL}
      WHERE t.credit_category IN ('automatic-welcome-credits', 'conference-booth-2026', 'referral-referring-bonus',
      'first-top-up-bonus')) AS categories`,
      4,
    ],
    [
      'paid top-ups',
      `${OF_INTERNAL} WHERE NOT t.is_free AND t.stripe_payment_id IS NOT NULL AND t.amount_microdollars > 0`,
      15,
    ],
    [
      'a paid credit that is due',
      `${OF_INTERNAL} WHERE NOT t.is_free AND t.expiry_date < '2026-11-22' AND NOT ${CLOSED}`,
      1,
    ],
    [
      'a paid credit with a date to come',
      `${OF_INTERNAL} WHERE NOT t.is_free AND t.expiry_date > '2026-11-23'`,
      1,
    ],
    ['closed grants', `${OF_INTERNAL} WHERE t.credit_category = 'credits_expired'`, 10],
    [
      'a fully spent grant',
      `${INTERNAL} WHERE u.microdollars_used > 0 AND u.microdollars_used = u.total_microdollars_acquired`,
      1,
    ],
    ['clawed-back totals', `${INTERNAL} WHERE u.total_microdollars_acquired < ${PERSONAL_SUM}`, 3],
    ['a negative balance', `${INTERNAL} WHERE u.total_microdollars_acquired < u.microdollars_used`, 1],
    ['an address in other letters', `${INTERNAL} WHERE u.google_user_email LIKE '%@Kilo.AI'`, 1],
    [
      'an address with a quote and a per cent sign',
      `${INTERNAL} WHERE u.google_user_email LIKE '%''%!%%' ESCAPE '!'`,
      1,
    ],
    ['organization grants', `${OF_INTERNAL} WHERE t.organization_id IS NOT NULL`, 2],
    ['auto top-up', `${INTERNAL} WHERE u.auto_top_up_enabled`, 2],
    [
      'an unlinked Orb row',
      `${OF_INTERNAL} WHERE t.credit_category LIKE 'orb%' AND t.original_transaction_id IS NULL`,
      1,
    ],
    [
      'a linked Orb row',
      `${OF_INTERNAL} WHERE t.credit_category LIKE 'orb%' AND t.original_transaction_id IS NOT NULL`,
      1,
    ],
    [
      'a refund row that takes the link of a grant',
      `${OF_INTERNAL} WHERE t.credit_category = 'refund'
      AND t.original_transaction_id IN (SELECT id FROM credit_transactions WHERE is_free AND amount_microdollars > 0)`,
      1,
    ],
    [
      'a negative row with a date',
      `${OF_INTERNAL} WHERE t.amount_microdollars < 0 AND t.expiry_date IS NOT NULL`,
      1,
    ],
    [
      'a user without any row',
      `${INTERNAL} WHERE NOT EXISTS (SELECT FROM credit_transactions AS t WHERE t.kilo_user_id = u.id)`,
      1,
    ],
    [
      'a grant of the last seconds',
      `${OF_INTERNAL} WHERE t.created_at > timestamptz '2026-11-22T06:12:30Z' - interval '10 s'`,
      1,
    ],
    ['a date at infinity', `${INTERNAL} WHERE u.next_credit_expiration_at = 'infinity'`, 1],
    [
      'a correction of the earlier script',
      `${OF_INTERNAL} WHERE t.description LIKE 'Correction to $0 after%'`,
      1,
    ],
    ['a bot', `${INTERNAL} WHERE u.is_bot`, 1],
    [
      'a bonus that was taken back without a link',
      `${OF_INTERNAL} WHERE t.credit_category LIKE 'kilo-pass-upgrade-bonus-reversal:%' AND ` +
        't.original_transaction_id IS NULL',
      1,
    ],
    [
      'spending past the usage counter',
      `${OF_INTERNAL} WHERE t.credit_category = 'kiloclaw-subscription' AND t.amount_microdollars < 0`,
      1,
    ],
    [
      'a positive closing row of a positive grant, and one of a negative row',
      `${OF_INTERNAL} WHERE t.credit_category = 'credits_expired' AND t.amount_microdollars > 0`,
      2,
    ],
    [
      'a grant to which another table points',
      `${OF_INTERNAL} JOIN kilo_pass_issuance_items AS i ON i.credit_transaction_id = t.id`,
      1,
    ],
  ])('%s', async (_what, from, atLeast) => {
    expect(await count(from)).toBeGreaterThanOrEqual(atLeast)
  })
})

test('addresses that only look internal have free credit too', async () => {
  const free = `credit_transactions AS t JOIN kilocode_users AS u ON u.id = t.kilo_user_id WHERE t.is_free`
  for (const domain of ['notkilo.ai', 'eu.kilo.ai', 'kilo.ai.example.com']) {
    expect(await count(`${free} AND u.google_user_email LIKE '%@${domain}'`)).toBeGreaterThan(0)
  }
})

test('totals are the sum of the personal rows, apart from claw-backs', async () => {
  const off = await sql.unsafe(`SELECT google_user_email AS email FROM kilocode_users AS u
    WHERE u.total_microdollars_acquired <> ${PERSONAL_SUM} ORDER BY email`)
  expect(off.map(({ email }) => String(email))).toEqual([
    'hugo@kilo.ai',
    'ines@kilocode.ai',
    'viktor@kilocode.ai',
  ])
})

test('the next expiration is the earliest date that is open', async () => {
  const wrong = await count(`kilocode_users AS u WHERE u.next_credit_expiration_at IS DISTINCT FROM
    (SELECT min(expiry_date) FROM credit_transactions AS t
     WHERE t.kilo_user_id = u.id AND t.organization_id IS NULL AND NOT ${CLOSED})`)
  expect(wrong).toBe(0)
})

test('a closing row takes something between nothing and everything', async () => {
  const wrong =
    await count(`credit_transactions AS c JOIN credit_transactions AS t ON t.id = c.original_transaction_id
    WHERE c.credit_category = 'credits_expired' AND (c.amount_microdollars > 0 OR c.amount_microdollars < -t.amount_microdollars
    OR c.created_at <> t.expiry_date OR c.is_free <> t.is_free)
    AND t.amount_microdollars > 0 AND c.kilo_user_id <> (SELECT id FROM kilocode_users WHERE google_user_email = 'mariana@kilo.ai')`)
  expect(wrong).toBe(0)
})

test('the same time gives the same ledger', async () => {
  const again = await freshDatabase()
  await seedSampleLedger(again.sql, { now: NOW })
  expect(await dump(again.sql)).toEqual(await dump(sql))
  await again.drop()
})

test('an outsider whose domain some locales would fold to kilo.ai', async () => {
  expect(await count(`kilocode_users WHERE google_user_email = 'dee@K\u0130LO.AI'`)).toBe(1)
})

test('every story occurs once and says what it shows', () => {
  expect(new Set(STORIES.map(({ email }) => email)).size).toBe(STORIES.length)
  expect(STORIES.filter(({ shows }) => shows === '')).toEqual([])
})

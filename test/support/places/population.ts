import type { Sql } from 'postgres'
import type { Ledger } from '../../rules/ledgers.ts'

/** The instant that the random ledgers of test/rules are made for: the clock of a test must be set to it. */
export const LEDGERS_INSTANT = '2026-11-22T06:12:30.123Z'

/**
 * Stores random ledgers of test/rules, one user each (`user-000`, `user-001`, …, all internal), with ids that
 * the database takes. `takenLinks` also stores rows of an outsider that link to the grants which a ledger
 * calls taken.
 */
export async function insertLedgers(
  sql: Sql,
  ledgers: readonly Ledger[],
  { takenLinks = false } = {},
): Promise<void> {
  const users = ledgers.map(({ user }, index) => ({
    id: userIdOf(index),
    google_user_email: `${userIdOf(index)}@kilo.ai`,
    microdollars_used: user.usedMicrodollars,
    total_microdollars_acquired: user.acquiredMicrodollars,
    next_credit_expiration_at: user.nextCreditExpirationAt,
    auto_top_up_enabled: user.autoTopUpEnabled,
  }))
  const transactions = ledgers.flatMap(({ rows, circumstances }, index) => {
    const ids = new Map(rows.map(({ id }, place) => [id, uuidOf(index, place)]))
    const linked = new Set(rows.map((row) => row.originalTransactionId))
    const taken = takenLinks
      ? [...circumstances.takenLinks].filter((id) => ids.has(id) && !linked.has(id))
      : []
    return [
      ...rows.map((row) => ({
        id: ids.get(row.id),
        kilo_user_id: userIdOf(index),
        amount_microdollars: row.amountMicrodollars,
        expiration_baseline_microdollars_used: row.expirationBaselineMicrodollars,
        original_baseline_microdollars_used: row.originalBaselineMicrodollars,
        is_free: row.isFree,
        description: row.description,
        original_transaction_id:
          row.originalTransactionId === null ? null : ids.get(row.originalTransactionId),
        credit_category: row.creditCategory,
        expiry_date: row.expiryDate,
        created_at: row.createdAt,
        organization_id: row.organizationId === null ? null : uuidOf(9999, 1),
      })),
      ...taken.map((id, place) => ({
        id: uuidOf(index, 900 + place),
        kilo_user_id: 'outsider',
        amount_microdollars: -1,
        is_free: false,
        original_transaction_id: ids.get(id),
        credit_category: 'refund',
        created_at: '2025-01-01T00:00:00Z',
      })),
    ]
  })
  await sql`
    INSERT INTO kilocode_users (id, google_user_email, google_user_name, google_user_image_url, stripe_customer_id,
      microdollars_used, total_microdollars_acquired, next_credit_expiration_at, auto_top_up_enabled)
    SELECT id, google_user_email, 'Ada', '', 'cus', microdollars_used, total_microdollars_acquired, next_credit_expiration_at, auto_top_up_enabled
    FROM jsonb_populate_recordset(NULL::kilocode_users, ${JSON.stringify(users)}::text::jsonb)`
  await sql`
    INSERT INTO credit_transactions
    SELECT * FROM jsonb_populate_recordset(NULL::credit_transactions, ${JSON.stringify(
      transactions.map((row) => ({ check_category_uniqueness: false, ...row })),
    )}::text::jsonb)`
}

function userIdOf(index: number): string {
  return `user-${String(index).padStart(3, '0')}`
}

function uuidOf(user: number, place: number): string {
  return `${String(user).padStart(8, '0')}-0000-4000-8000-${String(place).padStart(12, '0')}`
}

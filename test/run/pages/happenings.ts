import type { Sql } from 'postgres'
import { insertTransaction, type TransactionRow } from '../../support/ledger.ts'
import { productionPass } from '../../support/places/production.ts'

/**
 * Something that the application, or a person, does to a user; `forbids` where an earlier run cannot be
 * rolled back after it.
 */
export type Happening = {
  readonly what: string
  readonly forbids: boolean
  readonly act: (sql: Sql, userId: string, microdollars: number) => Promise<unknown>
}

const DUE = '2026-11-22T20:00:00.000321Z'
const NOW = '2026-11-23T06:00:00.000Z'

/** A transaction as the application writes it: the row first, the user afterwards, in two commits. */
async function give(
  sql: Sql,
  userId: string,
  amount: number,
  given: Partial<TransactionRow> = {},
): Promise<void> {
  const { expiry_date: expiry } = await insertTransaction(sql, {
    kilo_user_id: userId,
    amount_microdollars: amount,
    created_at: '2026-11-22T12:00:00Z',
    ...given,
  })
  await sql`
    UPDATE kilocode_users
    SET total_microdollars_acquired = total_microdollars_acquired + ${amount}, updated_at = now(),
      next_credit_expiration_at = LEAST(next_credit_expiration_at, ${expiry}::text::timestamptz)
    WHERE id = ${userId}`
}

/** The rows that this job inserted for a user: their ids are UUIDs of version 5. */
const OURS = `kilo_user_id = $1 AND credit_category = 'credits_expired' AND substr(id::text, 15, 1) = '5'`

export const HAPPENINGS: readonly Happening[] = [
  {
    what: 'usage',
    forbids: false,
    act: (sql, id, amount) =>
      sql`UPDATE kilocode_users SET microdollars_used = microdollars_used + ${amount} WHERE id = ${id}`,
  },
  { what: 'a grant', forbids: false, act: (sql, id, amount) => give(sql, id, amount) },
  {
    what: 'a dated grant',
    forbids: false,
    act: (sql, id, amount) =>
      give(sql, id, amount, {
        expiry_date: '2026-12-01T00:00:00.000007Z',
        expiration_baseline_microdollars_used: 0,
      }),
  },
  {
    what: 'a top-up',
    forbids: false,
    act: (sql, id, amount) => give(sql, id, amount, { is_free: false, credit_category: null }),
  },
  {
    what: 'a clawback',
    forbids: false,
    act: (sql, id, amount) => give(sql, id, -amount, { is_free: false, credit_category: 'refund' }),
  },
  {
    what: 'the production pass, over a grant that became due',
    forbids: true,
    act: async (sql, id, amount) => {
      await give(sql, id, amount, {
        is_free: false,
        expiry_date: DUE,
        expiration_baseline_microdollars_used: 0,
      })
      if (!(await productionPass(sql, id, NOW))) throw new Error(`The production pass did not take ${id}.`)
    },
  },
  {
    what: 'a row of another table that points at an inserted row',
    forbids: true,
    act: (sql, id) =>
      sql.unsafe(`INSERT INTO receipts SELECT id FROM credit_transactions WHERE ${OURS} LIMIT 1`, [id]),
  },
  {
    what: 'an inserted row is changed by hand',
    forbids: true,
    act: (sql, id) =>
      sql.unsafe(`UPDATE credit_transactions SET description = 'looked at' WHERE ${OURS}`, [id]),
  },
]

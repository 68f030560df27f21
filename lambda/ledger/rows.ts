import { fromPostgres } from '../rules/times.ts'
import type { LedgerTime } from '../rules/types.ts'
import { arrayOf } from './arrays.ts'
import type { LedgerTransaction } from './connection/connect.ts'

/** The columns of an inserted row that are left to their defaults, as far as a rollback compares them. */
export const DEFAULTS = {
  expiration_baseline_microdollars_used: null,
  stripe_payment_id: null,
  coinbase_credit_block_id: null,
  expiry_date: null,
  organization_id: null,
  check_category_uniqueness: false,
  created_by_kilo_user_id: null,
} as const

/**
 * For statements that change rows: triggers of the application may write to tables with row-level security, of
 * which this job reads nothing. What it reads itself is read with `off`, before (beginWith) and after
 * (compareWritten).
 */
export async function forTriggers(tx: LedgerTransaction): Promise<void> {
  await tx`set local row_security = on`
}

/**
 * Locks the rows of users in id order, so that two of this job's transactions never wait for each other.
 * `skip` leaves out rows that another transaction has locked, so that one busy user delays no other; `wait`
 * waits for them, up to the lock timeout. Returns the users whose rows are locked now. Not against FOR KEY
 * SHARE: foreign keys stay usable.
 */
export async function lockUsers(
  sql: LedgerTransaction,
  userIds: readonly string[],
  locked: 'skip' | 'wait',
): Promise<ReadonlySet<string>> {
  const ids = arrayOf(userIds)
  const rows =
    locked === 'skip'
      ? await sql<{ id: string }[]>`
          -- lock users
          select id
          from kilocode_users
          where id = any (${ids}::text[])
          order by id
          for no key update skip locked
        `
      : await sql<{ id: string }[]>`
          -- lock users, waiting
          select id
          from kilocode_users
          where id = any (${ids}::text[])
          order by id
          for no key update
        `
  return new Set(rows.map((row) => row.id))
}

/** Which of these users have a row. */
export async function findUsers(
  sql: LedgerTransaction,
  userIds: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await sql<{ id: string }[]>`
    -- find users
    select id
    from kilocode_users
    where id = any (${arrayOf(userIds)}::text[])
  `
  return new Set(rows.map((row) => row.id))
}

/** Which of these credit transactions are there. */
export async function findTransactions(
  sql: LedgerTransaction,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await sql<{ id: string }[]>`
    -- find transactions
    select id
    from credit_transactions
    where id = any (${arrayOf(ids)}::uuid[])
  `
  return new Set(rows.map((row) => row.id))
}

/** The expiry dates of those of these credit transactions that are there. */
export async function findExpiryDates(
  sql: LedgerTransaction,
  ids: readonly string[],
): Promise<ReadonlyMap<string, LedgerTime | null>> {
  const rows = await sql<{ id: string; expiry_date: string | null }[]>`
    -- find expiry dates
    select id, expiry_date::text as expiry_date
    from credit_transactions
    where id = any (${arrayOf(ids)}::uuid[])
  `
  return new Map(rows.map((row) => [row.id, row.expiry_date === null ? null : fromPostgres(row.expiry_date)]))
}

/**
 * Which of these credit transactions another row links to, whoever owns that row: what a unique violation on
 * original_transaction_id was about.
 */
export async function findTakenLinks(
  sql: LedgerTransaction,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await sql<{ id: string }[]>`
    -- find taken links
    select original_transaction_id as id
    from credit_transactions
    where original_transaction_id = any (${arrayOf(ids)}::uuid[])
  `
  return new Set(rows.map((row) => row.id))
}

import { parseMicrodollars, UnusableValue } from '../rules/amounts.ts'
import { fromPostgres } from '../rules/times.ts'
import type { LedgerUser, Transaction as LedgerRow } from '../rules/types.ts'
import { arrayOf } from './arrays.ts'
import type { LedgerTransaction } from './connection/connect.ts'

/** One user with all their rows; or the value in them that cannot be worked with. */
export type Reading =
  | { readonly user: LedgerUser; readonly rows: readonly LedgerRow[] }
  | { readonly unusable: UnusableValue; readonly email: string }

type UserRow = {
  id: string
  email: string
  used: string
  acquired: string
  next_expiration: string | null
  auto_top_up_enabled: boolean
}

type CreditRow = {
  kilo_user_id: string
  id: string
  amount: string
  expiration_baseline: string | null
  original_baseline: string | null
  is_free: boolean
  description: string | null
  credit_category: string | null
  original_transaction_id: string | null
  expiry_date: string | null
  created_at: string
  organization_id: string | null
}

/**
 * Reads users by id with all their rows, within a transaction. A user who is not in the result is gone. Which
 * grants are closed is found in memory: as an anti-join in SQL the plan falls apart while the run itself
 * inserts closing rows that the planner's statistics don't know.
 * @throws LedgerUnavailable
 */
export async function readUsers(
  sql: LedgerTransaction,
  userIds: readonly string[],
): Promise<Map<string, Reading>> {
  const ids = arrayOf(userIds)
  const [users, credits] = await Promise.all([selectUsers(sql, ids), selectCredits(sql, ids)])
  return toReadings(users, credits)
}

function selectUsers(sql: LedgerTransaction, ids: string) {
  return sql<UserRow[]>`
    -- read users
    select
      id,
      google_user_email as email,
      microdollars_used as used,
      total_microdollars_acquired as acquired,
      next_credit_expiration_at::text as next_expiration,
      auto_top_up_enabled
    from kilocode_users
    where id = any (${ids}::text[])
  `
}

function selectCredits(sql: LedgerTransaction, ids: string) {
  return sql<CreditRow[]>`
    -- read transactions
    select
      kilo_user_id,
      id,
      amount_microdollars as amount,
      expiration_baseline_microdollars_used as expiration_baseline,
      original_baseline_microdollars_used as original_baseline,
      is_free,
      description,
      credit_category,
      original_transaction_id,
      expiry_date::text as expiry_date,
      created_at::text as created_at,
      organization_id
    from credit_transactions
    where kilo_user_id = any (${ids}::text[])
  `
}

function toReadings(users: readonly UserRow[], credits: readonly CreditRow[]): Map<string, Reading> {
  const byUser = new Map<string, CreditRow[]>(users.map((user) => [user.id, []]))
  for (const credit of credits) byUser.get(credit.kilo_user_id)?.push(credit)
  return new Map(users.map((user) => [user.id, toReading(user, byUser.get(user.id) ?? [])]))
}

function toReading(user: UserRow, credits: readonly CreditRow[]): Reading {
  try {
    return { user: toUser(user), rows: credits.map(toTransaction) }
  } catch (error) {
    if (error instanceof UnusableValue) return { unusable: error, email: user.email }
    throw error
  }
}

function toUser(row: UserRow): LedgerUser {
  return {
    id: row.id,
    email: row.email,
    usedMicrodollars: parseMicrodollars('microdollars_used', row.used),
    acquiredMicrodollars: parseMicrodollars('total_microdollars_acquired', row.acquired),
    nextCreditExpirationAt: row.next_expiration === null ? null : fromPostgres(row.next_expiration),
    autoTopUpEnabled: row.auto_top_up_enabled,
  }
}

function toTransaction(row: CreditRow): LedgerRow {
  return {
    id: row.id,
    amountMicrodollars: parseMicrodollars(`amount_microdollars of ${row.id}`, row.amount),
    expirationBaselineMicrodollars: optionalMicrodollars(
      `expiration_baseline of ${row.id}`,
      row.expiration_baseline,
    ),
    originalBaselineMicrodollars: optionalMicrodollars(
      `original_baseline of ${row.id}`,
      row.original_baseline,
    ),
    isFree: row.is_free,
    description: row.description,
    creditCategory: row.credit_category,
    originalTransactionId: row.original_transaction_id,
    expiryDate: row.expiry_date === null ? null : fromPostgres(row.expiry_date),
    createdAt: fromPostgres(row.created_at),
    organizationId: row.organization_id,
  }
}

function optionalMicrodollars(column: string, text: string | null): number | null {
  return text === null ? null : parseMicrodollars(column, text)
}

import { randomBytes, randomUUID } from 'node:crypto'
import postgres from 'postgres'
import type { Sql } from 'postgres'
import { inject } from 'vitest'
import { useTestClock } from './clock.ts'

/** A row of kilocode_users as a test gives it: bigints as numbers or text, times as ISO text. */
export type UserRow = {
  id: string
  google_user_email: string
  google_user_name: string
  google_user_image_url: string
  stripe_customer_id: string
  created_at: string
  updated_at: string
  microdollars_used: number | string
  total_microdollars_acquired: number | string
  next_credit_expiration_at: string | null
  auto_top_up_enabled: boolean
  is_admin: boolean
  is_bot: boolean
  email_domain: string | null
  blocked_reason: string | null
}

/** A row of credit_transactions as a test gives it: bigints as numbers or text, times as ISO text. */
export type TransactionRow = {
  id: string
  kilo_user_id: string
  amount_microdollars: number | string
  expiration_baseline_microdollars_used: number | string | null
  original_baseline_microdollars_used: number | string | null
  is_free: boolean
  description: string | null
  original_transaction_id: string | null
  stripe_payment_id: string | null
  coinbase_credit_block_id: string | null
  credit_category: string | null
  expiry_date: string | null
  created_at: string
  organization_id: string | null
  check_category_uniqueness: boolean
  created_by_kilo_user_id: string | null
}

type TextRow = Record<string, string | null>
type RawRows = (Buffer | null)[][] & { columns: { name: string }[] }

/** Both tables as rows of text, in the order of their ids. */
export type LedgerDump = { users: TextRow[]; transactions: TextRow[] }

const DAY_MS = 86_400_000

/** Kept for all files of a worker: connecting takes as long as creating a database. */
let keptAdmin: Sql | undefined

/**
 * A new database with the ledger's empty tables, or a copy of another one, with its clock. `drop` closes `sql`
 * and removes the database, also while another client is still connected to it.
 */
export async function freshDatabase(
  template?: string,
): Promise<{ url: string; sql: Sql; drop: () => Promise<void> }> {
  const name = `ledger_${randomBytes(6).toString('hex')}`
  const admin = (keptAdmin ??= postgres(inject('postgresUrl'), {
    max: 1,
    idle_timeout: 20,
    fetch_types: false,
    onnotice: () => undefined,
  }))
  // Copying files takes half the time of copying through the write-ahead log.
  await admin`
    CREATE DATABASE ${admin(name)} TEMPLATE ${admin(template ?? inject('templateDatabase'))} STRATEGY file_copy`
  // The settings of a database are not copied with it.
  if (template !== undefined) await useTestClock(admin, name)
  const url = inject('postgresUrl').replace(/\/[^/]*$/, `/${name}`)
  // The types of arrays are not needed, and asking for them takes a fifth of the time of connecting.
  const sql = postgres(url, { max: 5, fetch_types: false, onnotice: () => undefined })
  const drop = async () => {
    await sql.end()
    await admin`DROP DATABASE ${admin(name)} WITH (FORCE)`
  }
  return { url, sql, drop }
}

/** Inserts a user: internal, a month old, without credit, unless `given` says otherwise. */
export async function insertUser(sql: Sql, given: Partial<UserRow> = {}): Promise<UserRow> {
  const id = given.id ?? randomUUID()
  const aMonthAgo = new Date(Date.now() - 30 * DAY_MS).toISOString()
  const user: UserRow = {
    id,
    google_user_email: `${id}@kilo.ai`,
    google_user_name: 'Ada Example',
    google_user_image_url: 'https://example.com/ada.png',
    stripe_customer_id: 'cus_example',
    created_at: aMonthAgo,
    updated_at: aMonthAgo,
    microdollars_used: 0,
    total_microdollars_acquired: 0,
    next_credit_expiration_at: null,
    auto_top_up_enabled: false,
    is_admin: false,
    is_bot: false,
    email_domain: null,
    blocked_reason: null,
    ...given,
  }
  await sql`
    INSERT INTO kilocode_users
    SELECT * FROM jsonb_populate_record(NULL::kilocode_users, ${JSON.stringify(user)}::text::jsonb)`
  return user
}

/**
 * Inserts a transaction of a user: a free, undated, personal welcome grant of 10 USD, a month old, unless
 * `given` says otherwise. It does not change the user's total.
 */
export async function insertTransaction(
  sql: Sql,
  given: Partial<TransactionRow> & Pick<TransactionRow, 'kilo_user_id'>,
): Promise<TransactionRow> {
  const transaction: TransactionRow = {
    id: randomUUID(),
    amount_microdollars: 10_000_000,
    expiration_baseline_microdollars_used: null,
    original_baseline_microdollars_used: 0,
    is_free: true,
    description: 'Welcome credits',
    original_transaction_id: null,
    stripe_payment_id: null,
    coinbase_credit_block_id: null,
    credit_category: 'automatic-welcome-credits',
    expiry_date: null,
    created_at: new Date(Date.now() - 30 * DAY_MS).toISOString(),
    organization_id: null,
    check_category_uniqueness: false,
    created_by_kilo_user_id: null,
    ...given,
  }
  await sql`
    INSERT INTO credit_transactions
    SELECT * FROM jsonb_populate_record(NULL::credit_transactions, ${JSON.stringify(transaction)}::text::jsonb)`
  return transaction
}

/**
 * Both tables in the text that PostgreSQL gives (times in UTC with microseconds), to compare two states byte
 * for byte; `updatedAt: false` leaves the users' updated_at out.
 */
export function dump(sql: Sql, { updatedAt = true }: { updatedAt?: boolean } = {}): Promise<LedgerDump> {
  return sql.begin('isolation level repeatable read read only', async (tx) => {
    await tx`SET LOCAL TimeZone = 'UTC'`
    await tx`SET LOCAL DateStyle = 'ISO'`
    const users = textRows(await tx`SELECT * FROM kilocode_users ORDER BY id`.raw())
    const transactions = textRows(await tx`SELECT * FROM credit_transactions ORDER BY id`.raw())
    if (!updatedAt) for (const user of users) delete user['updated_at']
    return { users, transactions }
  })
}

function textRows(rows: RawRows): TextRow[] {
  const names = rows.columns.map(({ name }) => name)
  return rows.map((row) =>
    Object.fromEntries(row.map((value, index) => [names[index] ?? '', value && String(value)])),
  )
}

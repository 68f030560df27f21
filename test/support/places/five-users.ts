import { afterAll, beforeAll, beforeEach, expect } from 'vitest'
import { startS3, type S3Server } from '../../../bin/sandbox/s3.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { freshBucket, type TestBucket } from '../bucket.ts'
import { invokeJob } from '../job.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from '../ledger.ts'
import { readLogs } from '../logs.ts'

export const USD = 1_000_000
const DUE = '2026-01-01T00:00:00.000123Z'

export let s3: S3Server
export let bucket: TestBucket
export let sql: Awaited<ReturnType<typeof freshDatabase>>['sql']
let database: Awaited<ReturnType<typeof freshDatabase>>
/** The transactions that were there before the test. */
let known: ReadonlySet<unknown>

/**
 * Ada in the middle of a page of five users, each with an undated and a due grant of 10 USD and 4 USD spent.
 */
export function useFiveUsers(): void {
  beforeAll(async () => {
    s3 = await startS3()
    database = await freshDatabase()
    sql = database.sql
  })
  afterAll(async () => {
    await database.drop()
    await s3.stop()
  })
  beforeEach(async () => {
    await sql`TRUNCATE kilocode_users, credit_transactions CASCADE`
    bucket = await freshBucket(s3.endpoint)
    for (const id of ['aaron', 'abel', 'ada', 'bea', 'bob']) {
      await insertUser(sql, {
        id,
        microdollars_used: 4 * USD,
        total_microdollars_acquired: 20 * USD,
        next_credit_expiration_at: DUE,
      })
      await insertTransaction(sql, { kilo_user_id: id })
      await insertTransaction(sql, {
        kilo_user_id: id,
        expiry_date: DUE,
        expiration_baseline_microdollars_used: 0,
      })
    }
    known = new Set((await dump(sql)).transactions.map(({ id }) => id))
  })
}

/** Adds users with one undated grant of 10 USD each. */
export async function addUsers(prefix: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const id = `${prefix}-${String(n).padStart(2, '0')}`
    await insertUser(sql, { id, total_microdollars_acquired: 10 * USD })
    await insertTransaction(sql, { kilo_user_id: id })
  }
}

export async function execute(event: object = {}, timeLeft?: () => number): Promise<ExitCard> {
  const place = { databaseUrl: database.url, bucket }
  return invokeJob(place, { execute: true, ...event }, timeLeft && { timeLeft })
}

export async function resume(runId: string): Promise<ExitCard> {
  return invokeJob({ databaseUrl: database.url, bucket }, { resume: runId })
}

/** Every user's total is the sum of their rows, and no balance is negative, whoever wrote what. */
export async function expectTheMoneyToAddUp(): Promise<void> {
  const { users, transactions } = await dump(sql)
  for (const { id, total_microdollars_acquired: total, microdollars_used: used } of users) {
    const rows = transactions.filter((row) => row.kilo_user_id === id)
    const sum = rows.reduce((all, row) => all + BigInt(row.amount_microdollars ?? 0), 0n)
    expect({ id, total: BigInt(total ?? 0) }).toEqual({ id, total: sum })
    expect(BigInt(total ?? 0)).toBeGreaterThanOrEqual(BigInt(used ?? 0))
  }
}

/** The mutation log names every row that the job inserted during the test, once, and no other row. */
export async function expectTheLogToBeTrue(runId: string): Promise<void> {
  const { mutations } = await readLogs(bucket, runId)
  const { transactions } = await dump(sql)
  const logged = mutations
    .filter(({ type }) => String(type).endsWith('_insert'))
    .map(({ row_id }) => String(row_id))
  const inserted = transactions
    .filter(({ id }) => !known.has(id) && id?.[14] === '5')
    .map(({ id }) => String(id))
  expect(logged.toSorted()).toEqual(inserted.toSorted())
}

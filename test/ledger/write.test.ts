import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { compareWritten } from '../../lambda/ledger/compare.ts'
import { lockUsers } from '../../lambda/ledger/rows.ts'
import { writeTransaction } from '../../lambda/ledger/connection/transaction.ts'
import { type PlannedUser, writeExpirations, writtenBy } from '../../lambda/ledger/write.ts'
import { connect, type Sql } from '../../lambda/ledger/connection/connect.ts'
import { databaseClock } from '../../lambda/ledger/preflight/clock.ts'
import { freshDatabase, insertTransaction, insertUser, dump, type TransactionRow } from '../support/ledger.ts'
import { applyPlans, NEXT_YEAR, readAndPlan, withIds } from '../support/plans.ts'
import { productionPass } from '../support/places/production.ts'

const USD = 1_000_000

let database: Awaited<ReturnType<typeof freshDatabase>>
let other: typeof database.sql
let job: Sql
let grant: TransactionRow
let dueGrant: TransactionRow

beforeAll(async () => {
  database = await freshDatabase()
  other = database.sql
  job = connect({ url: database.url }, 2)
})
afterAll(async () => {
  await job.end()
  await database.drop()
})

/** Ada changes in between, and Bob does not. Ada has an undated and a dated grant, due. */
beforeEach(async () => {
  await other`TRUNCATE kilocode_users, credit_transactions CASCADE`
  await insertUser(other, {
    id: 'ada',
    total_microdollars_acquired: 20 * USD,
    microdollars_used: 4 * USD,
    next_credit_expiration_at: '2026-01-01T00:00:00.000123Z',
  })
  grant = await insertTransaction(other, { kilo_user_id: 'ada' })
  dueGrant = await insertTransaction(other, {
    kilo_user_id: 'ada',
    expiry_date: '2026-01-01T00:00:00.000123Z',
    expiration_baseline_microdollars_used: 0,
  })
  await insertUser(other, { id: 'bob', total_microdollars_acquired: 10 * USD })
  await insertTransaction(other, { kilo_user_id: 'bob' })
})

async function plan(userIds: string[] = ['ada', 'bob']): Promise<PlannedUser[]> {
  return withIds((await readAndPlan(job, userIds, await databaseClock(job))).values())
}

async function of(userId: string): Promise<unknown> {
  const { users, transactions } = await dump(other)
  return {
    user: users.find(({ id }) => id === userId),
    rows: transactions.filter(({ kilo_user_id }) => kilo_user_id === userId),
  }
}

test('an undisturbed write takes effect for every user', async () => {
  expect(await applyPlans(job, await plan(), NEXT_YEAR)).toEqual(new Set(['ada', 'bob']))
  expect(await plan()).toEqual([])
  const { users } = await dump(other)
  expect(users).toMatchObject([
    { id: 'ada', total_microdollars_acquired: String(4 * USD), next_credit_expiration_at: null },
    { id: 'bob', total_microdollars_acquired: '0', next_credit_expiration_at: null },
  ])
})

const userChanges: [string, (sql: typeof other) => Promise<unknown>][] = [
  [
    'usage',
    (sql) => sql`UPDATE kilocode_users SET microdollars_used = microdollars_used + 1 WHERE id = 'ada'`,
  ],
  [
    'total',
    (sql) =>
      sql`UPDATE kilocode_users SET total_microdollars_acquired = total_microdollars_acquired + 1 WHERE id = 'ada'`,
  ],
  [
    'next expiration',
    (sql) =>
      sql`UPDATE kilocode_users SET next_credit_expiration_at = next_credit_expiration_at + interval '1 microsecond' WHERE id = 'ada'`,
  ],
  [
    'next expiration taken away',
    (sql) => sql`UPDATE kilocode_users SET next_credit_expiration_at = NULL WHERE id = 'ada'`,
  ],
  ['e-mail', (sql) => sql`UPDATE kilocode_users SET google_user_email = 'ada@example.com' WHERE id = 'ada'`],
  ['the user, who is gone', (sql) => sql`DELETE FROM kilocode_users WHERE id = 'ada'`],
  ['the production pass', (sql) => productionPass(sql, 'ada')],
]

test.each(userChanges)(
  '%s changes between read and write: that user is not changed, the others are',
  async (_what, change) => {
    const planned = await plan()
    await change(other)
    const before = await of('ada')
    expect(await applyPlans(job, planned, NEXT_YEAR)).toEqual(new Set(['bob']))
    expect(await of('ada')).toEqual(before)
    expect(await plan(['bob'])).toEqual([])
  },
)

const grantChanges: [string, (sql: typeof other) => Promise<unknown>][] = [
  [
    'date of an undated grant',
    (sql) => sql`UPDATE credit_transactions SET expiry_date = '2027-01-01' WHERE id = ${grant.id}`,
  ],
  [
    'date, by a microsecond,',
    (sql) =>
      sql`UPDATE credit_transactions SET expiry_date = expiry_date + interval '1 microsecond' WHERE id = ${dueGrant.id}`,
  ],
  [
    'baseline',
    (sql) =>
      sql`UPDATE credit_transactions SET expiration_baseline_microdollars_used = 1 WHERE id = ${dueGrant.id}`,
  ],
  [
    'original baseline',
    (sql) =>
      sql`UPDATE credit_transactions SET original_baseline_microdollars_used = 1 WHERE id = ${grant.id}`,
  ],
  ['amount', (sql) => sql`UPDATE credit_transactions SET amount_microdollars = 1 WHERE id = ${grant.id}`],
  ['owner', (sql) => sql`UPDATE credit_transactions SET kilo_user_id = 'bob' WHERE id = ${grant.id}`],
  [
    'organization',
    (sql) => sql`UPDATE credit_transactions SET organization_id = gen_random_uuid() WHERE id = ${grant.id}`,
  ],
  [
    'kind, free to paid,',
    (sql) => sql`UPDATE credit_transactions SET is_free = false WHERE id = ${grant.id}`,
  ],
  ['the grant, which is gone', (sql) => sql`DELETE FROM credit_transactions WHERE id = ${grant.id}`],
]

test.each(grantChanges)(
  '%s of a grant changes between read and write: everything is rolled back, and the next attempt is right',
  async (_what, change) => {
    const planned = await plan()
    await change(other)
    const before = await dump(other)
    await expect(applyPlans(job, planned, NEXT_YEAR)).rejects.toMatchObject({ name: 'GuardConflict' })
    expect(await dump(other)).toEqual(before)
    const again = await plan()
    expect(await applyPlans(job, again, NEXT_YEAR)).toEqual(new Set(again.map((one) => one.plan.user.id)))
  },
)

test('a grant closed in between by a link: the unique index refuses, and nothing is written', async () => {
  const planned = await plan()
  await insertTransaction(other, {
    kilo_user_id: 'ada',
    amount_microdollars: -1,
    credit_category: 'refund',
    original_transaction_id: grant.id,
  })
  const before = await dump(other)
  await expect(applyPlans(job, planned, NEXT_YEAR)).rejects.toMatchObject({ cause: { code: '23505' } })
  expect(await dump(other)).toEqual(before)
})

test('a grant that another transaction is changing: the job waits, sees the change, and rolls back', async () => {
  const planned = await plan()
  const applied = await other.begin(async (tx) => {
    await tx`UPDATE credit_transactions SET expiration_baseline_microdollars_used = 7 WHERE id = ${grant.id}`
    const attempt = applyPlans(job, planned, NEXT_YEAR).then(
      () => 'applied',
      (error: unknown) => error,
    )
    await waitsFor(other, 'transactionid')
    return { attempt }
  })
  expect(await applied.attempt).toMatchObject({ name: 'GuardConflict' })
  expect(await plan(['ada'])).not.toEqual([])
})

test('a grant locked for longer: the job ends its wait before PostgreSQL looks for a deadlock', async () => {
  const planned = await plan()
  const before = await dump(other)
  await other.begin(async (tx) => {
    await tx`SELECT FROM credit_transactions WHERE id = ${grant.id} FOR UPDATE`
    await expect(applyPlans(job, planned, NEXT_YEAR)).rejects.toMatchObject({ cause: { code: '55P03' } })
  })
  expect(await dump(other)).toEqual(before)
})

test('a user locked by another transaction is skipped, and delays no other', async () => {
  const planned = await plan()
  const before = await of('ada')
  await other.begin(async (tx) => {
    await tx`SELECT FROM kilocode_users WHERE id = 'ada' FOR UPDATE`
    expect(await applyPlans(job, planned, NEXT_YEAR)).toEqual(new Set(['bob']))
  })
  expect(await of('ada')).toEqual(before)
  expect(await applyPlans(job, planned, NEXT_YEAR)).toEqual(new Set(['ada']))
})

test('past its lease the job commits nothing', async () => {
  const planned = await plan()
  const before = await dump(other)
  const now = await databaseClock(job)
  await expect(applyPlans(job, planned, now)).rejects.toMatchObject({ name: 'LeaseExpired' })
  expect(await dump(other)).toEqual(before)
})

test('usage that comes in under the lock waits, and is there afterwards', async () => {
  const usage = await writeTransaction(job, async (tx) => {
    await lockUsers(tx, ['ada'], 'wait')
    const [one] = await plan(['ada'])
    if (!one) throw new Error('Ada has a grant to expire.')
    const spending =
      other`UPDATE kilocode_users SET microdollars_used = microdollars_used + 5 WHERE id = 'ada'`.execute()
    await waitsFor(other, 'transactionid')
    expect(await writeExpirations(tx, [one])).toEqual(new Set(['ada']))
    await compareWritten(tx, [writtenBy(one)], NEXT_YEAR)
    return { spending }
  })
  await usage.spending
  expect(await of('ada')).toMatchObject({
    user: { microdollars_used: String(4 * USD + 5), total_microdollars_acquired: String(4 * USD) },
  })
})

/** Until a connection of this database waits for a lock of this kind. */
async function waitsFor(sql: typeof other, event: string): Promise<void> {
  for (;;) {
    const waiting =
      await sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = ${event}`
    if (waiting.length > 0) return
  }
}

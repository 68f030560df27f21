import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { setTimeout as pause } from 'node:timers/promises'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { startS3, type S3Server } from '../../../bin/sandbox/s3.ts'
import { betweenReadAndWrite, isIntent } from '../../support/between.ts'
import { freshBucket, type TestBucket } from '../../support/bucket.ts'
import { invokeJob } from '../../support/job.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from '../../support/ledger.ts'
import { readIntents, readLogs } from '../../support/logs.ts'
import { productionPass } from '../../support/production.ts'

const USD = 1_000_000
const DUE = '2026-01-01T00:00:00.000123Z'

let s3: S3Server
let database: Awaited<ReturnType<typeof freshDatabase>>
let bucket: TestBucket
let sql: typeof database.sql

beforeAll(async () => {
  s3 = await startS3()
  database = await freshDatabase()
  sql = database.sql
})
afterAll(async () => {
  await database.drop()
  await s3.stop()
})

/** Ada in the middle of a page of five: an undated and a due grant of 10 USD each, 4 USD spent. */
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
})

const execute = (event: object = {}) =>
  invokeJob({ databaseUrl: database.url, bucket }, { execute: true, ...event })

/** What must hold of every user, whoever did what: the total is what the rows say, and the balance is not negative. */
async function expectTheMoneyToAddUp(): Promise<void> {
  const { users, transactions } = await dump(sql)
  for (const { id, total_microdollars_acquired: total, microdollars_used: used } of users) {
    const rows = transactions.filter((row) => row.kilo_user_id === id)
    const sum = rows.reduce((all, row) => all + BigInt(row.amount_microdollars ?? 0), 0n)
    expect({ id, total: BigInt(total ?? 0) }).toEqual({ id, total: sum })
    expect(BigInt(total ?? 0)).toBeGreaterThanOrEqual(BigInt(used ?? 0))
  }
}

/** Every row that the run inserted is in the mutation log, once, and nothing else is. */
async function expectTheLogToBeTrue(runId: string, known: ReadonlySet<unknown>): Promise<void> {
  const { mutations } = await readLogs(bucket, runId)
  const { transactions } = await dump(sql)
  const logged = mutations
    .filter(({ type }) => String(type).endsWith('_insert'))
    .map(({ row_id }) => String(row_id))
  const ofTheJob = transactions
    .filter(({ id }) => !known.has(id) && id?.[14] === '5')
    .map(({ id }) => String(id))
  expect(logged.length).toBe(new Set(logged).size)
  expect(new Set(logged)).toEqual(new Set(ofTheJob))
}

const changes: [string, () => Promise<unknown>, { final: number }][] = [
  [
    'spends',
    () => sql`UPDATE kilocode_users SET microdollars_used = microdollars_used + ${USD} WHERE id = 'ada'`,
    { final: 0 },
  ],
  ['is expired by production', () => productionPass(sql, 'ada'), { final: 0 }],
  [
    'buys credit',
    async () => {
      await insertTransaction(sql, { kilo_user_id: 'ada', is_free: false, amount_microdollars: 7 * USD })
      await sql`UPDATE kilocode_users SET total_microdollars_acquired = total_microdollars_acquired + ${7 * USD} WHERE id = 'ada'`
    },
    { final: 7 },
  ],
  [
    'has a grant taken down to half',
    () =>
      sql.begin(async (tx) => {
        await tx`UPDATE credit_transactions SET amount_microdollars = ${5 * USD} WHERE kilo_user_id = 'ada' AND expiry_date IS NULL`
        await tx`UPDATE kilocode_users SET total_microdollars_acquired = ${15 * USD} WHERE id = 'ada'`
      }),
    { final: 0 },
  ],
  [
    'has a grant dated',
    () =>
      sql`UPDATE credit_transactions SET expiry_date = '2099-01-01', expiration_baseline_microdollars_used = 0 WHERE kilo_user_id = 'ada' AND expiry_date IS NULL`,
    { final: 0 },
  ],
]

test.each(changes)(
  'a user who %s between read and apply gets nothing in that attempt, and ends right in a later one',
  async (_what, change, { final }) => {
    const known = new Set((await dump(sql)).transactions.map(({ id }) => id))
    const afterChange: unknown[] = []
    betweenReadAndWrite(s3, bucket, async (nth) => {
      if (nth === 1) await change()
      afterChange.push((await dump(sql)).users.find(({ id }) => id === 'ada'))
    })
    const card = await execute()
    expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 5, usersFailed: 0 } })
    // The second attempt begins with Ada as the change left her.
    expect(afterChange[1]).toEqual(afterChange[0])
    const { users } = await readLogs(bucket, card.runId)
    expect(users.find((line) => line.user_id === 'ada')).toMatchObject({
      final_balance_microdollars: final * USD,
      correction_microdollars: 0,
    })
    await expectTheMoneyToAddUp()
    await expectTheLogToBeTrue(card.runId, known)
  },
)

test('everybody else on the page goes through in the first attempt', async () => {
  betweenReadAndWrite(s3, bucket, async (nth) => {
    if (nth === 1)
      await sql`UPDATE kilocode_users SET microdollars_used = microdollars_used + 1 WHERE id = 'ada'`
  })
  const { runId } = await execute()
  expect(await readIntents(bucket, runId)).toEqual([
    { key: '000000-0001-00001-intent.jsonl', userIds: ['aaron', 'abel', 'ada', 'bea', 'bob'] },
    { key: '000000-0001-00002-intent.jsonl', userIds: ['ada'] },
  ])
})

test('a user who leaves the company in between is left alone', async () => {
  betweenReadAndWrite(s3, bucket, async (nth) => {
    if (nth === 1) await sql`UPDATE kilocode_users SET google_user_email = 'ada@example.com' WHERE id = 'ada'`
  })
  const before = (await dump(sql)).transactions.filter(({ kilo_user_id }) => kilo_user_id === 'ada')
  const card = await execute()
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 4, usersSkipped: 1 } })
  const { users } = await readLogs(bucket, card.runId)
  expect(users.find((line) => line.user_id === 'ada')).toMatchObject({
    outcome: 'not_internal',
    email: 'ada@example.com',
  })
  expect((await dump(sql)).transactions.filter(({ kilo_user_id }) => kilo_user_id === 'ada')).toEqual(before)
})

test('a user who spends all the time is expired exactly, under the lock', async () => {
  const usage = { goesOn: true, spent: 4 * USD }
  const spender = (async () => {
    for (; usage.goesOn; usage.spent++)
      await sql`UPDATE kilocode_users SET microdollars_used = microdollars_used + 1 WHERE id = 'ada'`
  })()
  betweenReadAndWrite(s3, bucket, async () => {
    // At least one more usage between read and apply, unless the row is locked.
    const next = usage.spent + 1
    for (let waited = 0; usage.spent < next && waited < 50; waited++) await pause(2)
  })
  const known = new Set((await dump(sql)).transactions.map(({ id }) => id))
  const card = await execute()
  usage.goesOn = false
  await spender
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 5 } })
  const { users } = await readLogs(bucket, card.runId)
  const line = users.find(({ user_id }) => user_id === 'ada')
  expect(line).toMatchObject({ outcome: 'expired', final_balance_microdollars: 0 })
  const { users: rows, transactions } = await dump(sql)
  const ada = rows.find(({ id }) => id === 'ada')
  expect(ada).toMatchObject({
    microdollars_used: String(usage.spent),
    total_microdollars_acquired: String(line?.used_microdollars),
  })
  const sum = transactions
    .filter((row) => row.kilo_user_id === 'ada')
    .reduce((all, row) => all + Number(row.amount_microdollars), 0)
  expect(sum).toBe(line?.used_microdollars)
  await expectTheLogToBeTrue(card.runId, known)
  expect(
    (await readIntents(bucket, card.runId)).filter(({ userIds }) => userIds.includes('ada')).length,
  ).toBeGreaterThan(1)
})

test('a user locked throughout holds up nobody, and ends in the error log with the reason', async () => {
  const before = await dump(sql, { updatedAt: false })
  const card = await sql.begin(async (tx) => {
    await tx`SELECT FROM kilocode_users WHERE id = 'ada' FOR UPDATE`
    return execute()
  })
  expect(card).toMatchObject({
    status: 'complete_with_errors',
    totals: { usersProcessed: 4, usersFailed: 1, usersMatched: 5 },
  })
  const { users, errors, mutations } = await readLogs(bucket, card.runId)
  expect(errors).toMatchObject([
    {
      user_id: 'ada',
      page: 0,
      sqlstate: '55P03',
      message: expect.stringContaining('lock'),
      attempts: expect.any(Number),
    },
  ])
  expect(users.find(({ user_id }) => user_id === 'ada')).toMatchObject({ outcome: 'failed' })
  expect(mutations.filter(({ user_id }) => user_id === 'ada')).toEqual([])
  const after = await dump(sql, { updatedAt: false })
  expect(after.users.find(({ id }) => id === 'ada')).toEqual(before.users.find(({ id }) => id === 'ada'))
  // The next run takes her.
  expect(await execute()).toMatchObject({ status: 'complete', totals: { usersProcessed: 1 } })
})

test('when the time is up, a page of locked users is not tried user by user: the next invocation goes on with it', async () => {
  for (let n = 0; n < 20; n++) {
    await insertUser(sql, { id: `locked-${n}`, total_microdollars_acquired: 10 * USD })
    await insertTransaction(sql, { kilo_user_id: `locked-${n}` })
  }
  let attempts = 0
  s3.setHooks(bucket.bucket, { before: (request) => void (attempts += isIntent(request) ? 1 : 0) })
  const stopped = await sql.begin(async (tx) => {
    await tx`SELECT FROM kilocode_users WHERE id LIKE 'locked%' FOR UPDATE`
    return invokeJob(
      { databaseUrl: database.url, bucket },
      { execute: true },
      { timeLeft: () => (attempts === 0 ? 900_000 : 0) },
    )
  })
  expect(stopped).toMatchObject({ status: 'incomplete', totals: { usersProcessed: 0, usersFailed: 0 } })
  expect(attempts).toBe(1)
  const card = await invokeJob({ databaseUrl: database.url, bucket }, { resume: stopped.runId })
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 25, usersFailed: 0 } })
  const { users } = await readLogs(bucket, card.runId)
  expect(users.filter((line) => line.recovered === true)).toHaveLength(5)
})

test('a poison user ends alone in the error log; everybody else goes through', async () => {
  await sql.unsafe(`
    CREATE FUNCTION refuse_ada() RETURNS trigger LANGUAGE plpgsql
      AS $$ BEGIN RAISE EXCEPTION 'ada@kilo.ai is not to be touched' USING ERRCODE = 'P0001'; END $$;
    CREATE TRIGGER refuse_ada BEFORE INSERT ON credit_transactions FOR EACH ROW WHEN (new.kilo_user_id = 'ada') EXECUTE FUNCTION refuse_ada();
  `)
  try {
    const card = await execute()
    expect(card).toMatchObject({
      status: 'complete_with_errors',
      totals: { usersProcessed: 4, usersFailed: 1 },
    })
    const { errors, mutations } = await readLogs(bucket, card.runId)
    expect(errors).toMatchObject([
      {
        run_id: card.runId,
        user_id: 'ada',
        page: 0,
        stage: 'apply',
        error: 'PostgresError',
        sqlstate: 'P0001',
        message: expect.stringContaining('not to be touched'),
      },
    ])
    expect(new Set(mutations.map(({ user_id }) => user_id))).toEqual(new Set(['aaron', 'abel', 'bea', 'bob']))
    await expectTheMoneyToAddUp()
  } finally {
    await sql`DROP FUNCTION refuse_ada CASCADE`
  }
})

test('a link that only the database knows: the grant is left alone and flagged, its user goes on', async () => {
  const { transactions } = await dump(sql)
  const grant = transactions.find((row) => row.kilo_user_id === 'ada' && row.expiry_date === null)
  await insertTransaction(sql, {
    kilo_user_id: 'outsider',
    amount_microdollars: -1,
    credit_category: 'refund',
    original_transaction_id: grant?.id ?? null,
  })
  const card = await execute()
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 5, usersFailed: 0 } })
  const { users } = await readLogs(bucket, card.runId)
  expect(users.find(({ user_id }) => user_id === 'ada')).toMatchObject({
    outcome: 'expired',
    flags: ['link_taken'],
    expired_microdollars: 6 * USD,
  })
})

test('connections that go, again and again: what is committed is logged, and the money adds up', async () => {
  const known = new Set((await dump(sql)).transactions.map(({ id }) => id))
  for (let n = 10; n < 40; n++) {
    await insertUser(sql, { id: `user-${n}`, total_microdollars_acquired: 10 * USD })
    await insertTransaction(sql, { kilo_user_id: `user-${n}` })
  }
  betweenReadAndWrite(s3, bucket, async (nth) => {
    if (nth % 3 === 0 || nth > 16) return
    await pause(nth % 7)
    await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'credit-expiry'`
  })
  const card = await untilClosed({ batchSize: 3, concurrency: 4 })
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 35, usersFailed: 0 } })
  await expectTheMoneyToAddUp()
  await expectTheLogToBeTrue(card.runId, known)
})

/** Sends the same payload again while the database cannot be worked with. */
async function untilClosed(event: object): Promise<ExitCard> {
  for (let invocation = 1; ; invocation++) {
    try {
      return await execute(event)
    } catch (error) {
      if (!(error instanceof Error && error.name === 'LedgerUnavailable') || invocation === 20) throw error
    }
  }
}

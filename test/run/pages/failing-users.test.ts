import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { betweenReadAndWrite, isIntent } from '../../support/between.ts'
import {
  addUsers,
  bucket,
  execute,
  expectTheLogToBeTrue,
  expectTheMoneyToAddUp,
  resume,
  s3,
  sql,
  USD,
  useFiveUsers,
} from '../../support/places/five-users.ts'
import { dump, insertTransaction } from '../../support/ledger.ts'
import { readLogs } from '../../support/logs.ts'

/** Users whose write fails, and connections that are lost: the rest of the page is still written. */
useFiveUsers()

test('a user who stays locked does not block the page, and is in the error log with the reason', async () => {
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
  // Planned, and not written: the line says from what.
  expect(users.find(({ user_id }) => user_id === 'ada')).toMatchObject({
    outcome: 'failed',
    email: 'ada@kilo.ai',
    inputs: expect.any(Array),
    expired_microdollars: 0,
  })
  expect(mutations.filter(({ user_id }) => user_id === 'ada')).toEqual([])
  const after = await dump(sql, { updatedAt: false })
  expect(after.users.find(({ id }) => id === 'ada')).toEqual(before.users.find(({ id }) => id === 'ada'))
  // The next run expires the rest.
  expect(await execute()).toMatchObject({ status: 'complete', totals: { usersProcessed: 1 } })
})

// With 9 s left, a try that meets silence, and the report of it, would outlast the invocation.
test.each([0, 9_000])(
  'with %i ms left, locked users are not tried one by one; the next invocation resumes the page',
  async (left) => {
    await addUsers('locked', 20)
    let attempts = 0
    s3.setHooks(bucket.bucket, { before: (request) => void (attempts += isIntent(request) ? 1 : 0) })
    const stopped = await sql.begin(async (tx) => {
      await tx`SELECT FROM kilocode_users WHERE id LIKE 'locked%' FOR UPDATE`
      return execute({}, () => (attempts === 0 ? 900_000 : left))
    })
    expect(stopped).toMatchObject({ status: 'incomplete', totals: { usersProcessed: 0, usersFailed: 0 } })
    expect(attempts).toBe(1)
    const card = await resume(stopped.runId)
    expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 25, usersFailed: 0 } })
    const { users } = await readLogs(bucket, card.runId)
    expect(users.filter((line) => line.recovered === true)).toHaveLength(5)
  },
)

test('out of time between two transactions of a page: what was committed stays, and the next invocation does the rest', async () => {
  await addUsers('more', 40)
  let intents = 0
  s3.setHooks(bucket.bucket, { before: (request) => void (intents += isIntent(request) ? 1 : 0) })
  // 45 users at 20 a transaction.
  const stopped = await execute({ gentle: true }, () => (intents === 0 ? 900_000 : 9_000))
  expect(stopped).toMatchObject({ status: 'incomplete', totals: { usersProcessed: 0 } })
  const card = await resume(stopped.runId)
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 45, usersFailed: 0 } })
  const { users } = await readLogs(bucket, card.runId)
  expect(users.filter((line) => line.recovered === true)).toHaveLength(20)
  await expectTheMoneyToAddUp()
})

test('a user without grants whose balance cannot be logged exactly is failed, and the log stays readable', async () => {
  await sql`DELETE FROM credit_transactions WHERE kilo_user_id = 'ada'`
  await sql`UPDATE kilocode_users SET microdollars_used = -9007199254740991, total_microdollars_acquired = 9007199254740991 WHERE id = 'ada'`
  const card = await execute()
  expect(card).toMatchObject({
    status: 'complete_with_errors',
    totals: { usersProcessed: 4, usersFailed: 1 },
  })
  const { users, errors } = await readLogs(bucket, card.runId)
  expect(errors).toMatchObject([{ user_id: 'ada', error: 'UnusableValue' }])
  expect(users.find(({ user_id }) => user_id === 'ada')).toMatchObject({ balance_before_microdollars: null })
})

test('a user whose rows are refused is alone in the error log; the other users are expired', async () => {
  await sql.unsafe(`
    CREATE FUNCTION refuse_ada() RETURNS trigger LANGUAGE plpgsql
      AS $$ BEGIN RAISE EXCEPTION 'ada@kilo.ai is not to be touched' USING ERRCODE = 'P0001'; END $$;
    CREATE TRIGGER refuse_ada BEFORE INSERT ON credit_transactions
      FOR EACH ROW WHEN (new.kilo_user_id = 'ada') EXECUTE FUNCTION refuse_ada();
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
        error: 'LedgerRefused',
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

test("a grant that another user's row links to is flagged, and only the other grant expires", async () => {
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

test('connections that are lost repeatedly: what is committed is logged, and the money adds up', async () => {
  await addUsers('user', 15)
  betweenReadAndWrite(s3, bucket, async (nth) => {
    if (nth % 3 === 0 || nth > 16) return
    await pause(nth % 7)
    await sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'credit-expiry'`
  })
  const card = await untilClosed({ batchSize: 3, concurrency: 4 })
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 20, usersFailed: 0 } })
  await expectTheMoneyToAddUp()
  await expectTheLogToBeTrue(card.runId)
})

/** Sends the same payload again as long as the ledger is unavailable. */
async function untilClosed(event: object): Promise<ExitCard> {
  for (let invocation = 1; ; invocation++) {
    try {
      return await execute(event)
    } catch (error) {
      if (!(error instanceof Error && error.name === 'LedgerUnavailable') || invocation === 20) throw error
    }
  }
}

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { auditRun } from '../../support/audit-run.ts'
import { freshBucket, keys, type TestBucket } from '../../support/bucket.ts'
import { invokeJob } from '../../support/job.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from '../../support/ledger.ts'
import { readDocument, readIntents, readStoredCursor } from '../../support/logs.ts'
import { timeForPages } from '../../support/stops.ts'

const USD = 1_000_000

let database: Awaited<ReturnType<typeof freshDatabase>>
let bucket: TestBucket
let sql: typeof database.sql

beforeAll(async () => {
  database = await freshDatabase()
  sql = database.sql
  await sql.unsafe(`
    CREATE TABLE poison (id text, message text);
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE poisoned poison;
      BEGIN
        SELECT * INTO poisoned FROM poison WHERE id = new.kilo_user_id;
        IF FOUND THEN RAISE EXCEPTION '%', poisoned.message; END IF;
        RETURN new;
      END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON credit_transactions FOR EACH ROW EXECUTE FUNCTION refuse();
  `)
})
afterAll(() => database.drop())
beforeEach(async () => {
  await sql`TRUNCATE kilocode_users, credit_transactions, poison CASCADE`
  bucket = await freshBucket()
})

const invoke = (event: object, env: Record<string, string> = {}): Promise<ExitCard> =>
  invokeJob({ databaseUrl: database.url, bucket, env }, { execute: true, concurrency: 1, ...event })
const idOf = (n: number): string => `user-${String(n).padStart(3, '0')}`

async function addUsers(count: number, given: Partial<Parameters<typeof insertUser>[1]> = {}): Promise<void> {
  for (let n = 0; n < count; n++) {
    await insertUser(sql, { id: idOf(n), total_microdollars_acquired: 10 * USD, ...given })
    await insertTransaction(sql, { kilo_user_id: idOf(n) })
  }
}

async function poison(numbers: number[], message: (n: number) => string): Promise<void> {
  for (const n of numbers) await sql`INSERT INTO poison VALUES (${idOf(n)}, ${message(n)})`
}

/**
 * The run is consistent in itself, and the users who changed in the database are those with mutations in the
 * log.
 */
async function expectLoggedAsChanged({ runId }: ExitCard): Promise<void> {
  const { users } = await dump(sql)
  const { mutations } = await auditRun(bucket, runId, sql)
  const changed = users.filter(
    (user) =>
      user.total_microdollars_acquired === '0' || user.total_microdollars_acquired === user.microdollars_used,
  )
  expect(new Set(mutations.map((line) => line.user_id))).toEqual(new Set(changed.map(({ id }) => id)))
}

describe('the error threshold', () => {
  test('more failed users than allowed: stopped, with the numbers, and closed in good order', async () => {
    await addUsers(30)
    await poison([1, 3, 5, 7, 9, 11], (n) => `refused ${n}`)
    const card = await invoke({ batchSize: 4 }, { MAX_FAILED_USERS: '3' })
    expect(card).toMatchObject({
      status: 'stopped',
      why: expect.stringContaining('4 of 8 users failed, more than 3 '),
      totals: { usersProcessed: 4, usersFailed: 4, usersNotReached: 22 },
    })
    await expectLoggedAsChanged(card)
    expect(await readDocument(bucket, 'control/writer.json')).toMatchObject({ runId: null })
    expect(await readDocument(bucket, `runs/${card.runId}/cursor.json`)).toMatchObject({
      state: 'closed',
      lease: null,
      finalStatus: { status: 'stopped' },
    })
    expect(await invoke({ resume: card.runId, execute: undefined, concurrency: undefined })).toEqual(card)
  })

  test('the greater of number and share counts', async () => {
    await addUsers(20)
    await poison([1, 5, 9], (n) => `refused ${n}`)
    const card = await invoke({ batchSize: 20 }, { MAX_FAILED_USERS: '0', MAX_FAILED_PERCENT: '15' })
    expect(card).toMatchObject({
      status: 'complete_with_errors',
      totals: { usersProcessed: 17, usersFailed: 3 },
    })
  })

  test('the same error for five users in a row stops; over a page boundary too', async () => {
    await addUsers(12)
    await poison([2, 3, 4, 5, 6], () => 'the same for all')
    const card = await invoke({ batchSize: 4 })
    expect(card).toMatchObject({
      status: 'stopped',
      why: expect.stringMatching(/the same error hit 5 users in a row: .*the same for all/),
      totals: { usersFailed: 5, usersProcessed: 3, usersNotReached: 4 },
    })
  })

  test('the same error with other ids and amounts is the same error', async () => {
    await addUsers(12)
    const row = (n: number) => `0b5e9c1a-0000-4000-8000-${String(n).padStart(12, '0')}`
    await poison([0, 1, 2, 3, 4, 5], (n) => `row ${row(n)} has ${n * 1000} microdollars`)
    const card = await invoke({ batchSize: 4 })
    expect(card).toMatchObject({
      status: 'stopped',
      why: expect.stringMatching(/the same error hit 5 users in a row: .*row … has … microdollars/),
      totals: { usersFailed: 6 },
    })
    const { errors } = await auditRun(bucket, card.runId, sql)
    expect(errors[1]).toMatchObject({ message: expect.stringContaining(`row ${row(1)} has 1000 `) })
  })

  test('a user who does not fail in between starts the count again', async () => {
    await addUsers(12)
    await poison([0, 1, 2, 3, 5, 6, 7, 8], () => 'the same for all')
    const card = await invoke({ batchSize: 12 })
    expect(card).toMatchObject({
      status: 'complete_with_errors',
      totals: { usersFailed: 8, usersProcessed: 4 },
    })
  })
})

describe('the corrections limit', () => {
  /** Each is overdrawn by one dollar after expiry, and is corrected by it. */
  const overdrawn = { microdollars_used: 1 * USD, total_microdollars_acquired: 9 * USD }

  test('the run stops before the page that would exceed it', async () => {
    await addUsers(9, overdrawn)
    const card = await invoke({ batchSize: 3, limits: { correctionsUsd: 7 } })
    expect(card).toMatchObject({
      status: 'stopped',
      why: expect.stringContaining('corrections of $9.00 would exceed the limit of $7.00'),
      totals: { usersProcessed: 6, usersCorrected: 6, correctedMicrodollars: 6 * USD, usersNotReached: 3 },
    })
    await expectLoggedAsChanged(card)
  })

  test('pages in flight count: never more than the limit, whatever their number', async () => {
    await addUsers(24, overdrawn)
    const card = await invoke({ batchSize: 2, concurrency: 8, limits: { correctionsUsd: 7 } })
    expect(card.status).toBe('stopped')
    expect(card.totals.correctedMicrodollars).toBeLessThanOrEqual(7 * USD)
    const { transactions } = await dump(sql)
    const corrected = transactions.filter((row) => row.credit_category === 'accounting_adjustment').length
    expect(corrected * USD).toBe(card.totals.correctedMicrodollars)
    await expectLoggedAsChanged(card)
  })

  test('a correction that was refused does not count', async () => {
    await addUsers(6, overdrawn)
    await poison([0], () => 'refused')
    expect(await invoke({ batchSize: 3, limits: { correctionsUsd: 5 } })).toMatchObject({
      status: 'complete_with_errors',
      totals: { usersCorrected: 5, usersFailed: 1 },
    })
  })

  test('a dry run whose corrections would exceed it is complete, and warns that an execute would stop', async () => {
    await addUsers(3, overdrawn)
    const warning =
      'an execute would stop: corrections of $3.00 would exceed the limit of $2.00 ' +
      '(LIMIT_CORRECTIONS_USD, limits.correctionsUsd)'
    const dry = { execute: undefined }
    expect(await invoke({ ...dry, limits: { correctionsUsd: 2 } })).toMatchObject({
      status: 'complete',
      warnings: expect.arrayContaining([warning]),
    })
    expect((await invoke({ ...dry, limits: { correctionsUsd: 3 } })).warnings.join()).not.toContain(
      'would stop',
    )
  })

  test('0 means zero, and exactly the limit goes through', async () => {
    await addUsers(2, overdrawn)
    expect(await invoke({ limits: { correctionsUsd: 0 } })).toMatchObject({
      status: 'stopped',
      totals: { usersProcessed: 0, usersNotReached: 2 },
    })
    expect(await invoke({ limits: { correctionsUsd: 2 } })).toMatchObject({
      status: 'complete',
      totals: { corrected: '$2.00' },
    })
  })

  test('a stop holds, even when the invocation is cut off right after it', async () => {
    await addUsers(9, overdrawn)
    const event = { execute: true, concurrency: 1, batchSize: 3, limits: { correctionsUsd: 2 } }
    const cutOff = () => {
      throw new Error('cut off')
    }
    await expect(
      invokeJob({ databaseUrl: database.url, bucket }, event, { host: { onProgress: cutOff } }),
    ).rejects.toThrow('cut off')
    const card = await invoke(event)
    expect(card).toMatchObject({
      status: 'stopped',
      why: expect.stringContaining('the limit of $2.00'),
      totals: { usersProcessed: 0, usersNotReached: 9 },
    })
  })

  test('what earlier invocations of the run corrected counts', async () => {
    await addUsers(9, overdrawn)
    const event = { execute: true, concurrency: 1, batchSize: 3, limits: { correctionsUsd: 7 } }
    const first = await invokeJob({ databaseUrl: database.url, bucket }, event, timeForPages(1))
    expect(first).toMatchObject({ status: 'incomplete' })
    const card = await invoke(event)
    expect(card).toMatchObject({ runId: first.runId, status: 'stopped', totals: { usersCorrected: 6 } })
  })
})

test('corrections whose sum could not be logged exactly stop the run before they are written', async () => {
  const overdrawn = { microdollars_used: 9_007_199_254_740_000, total_microdollars_acquired: 10 * USD }
  await addUsers(2, overdrawn)
  const card = await invoke({ batchSize: 1 }, { LIMIT_CORRECTIONS_USD: '1000000000000' })
  expect(card).toMatchObject({
    status: 'stopped',
    why: expect.stringContaining('totals.correctedMicrodollars would exceed 2^53'),
    totals: { usersCorrected: 1, usersNotReached: 1 },
  })
  await auditRun(bucket, card.runId, sql)
})

test('a stopped run names every page that it began, and its keys are all of one run', async () => {
  await addUsers(8)
  await poison([0, 1], (n) => `refused ${n}`)
  const { runId } = await invoke(
    { batchSize: 2, concurrency: 3 },
    { MAX_FAILED_USERS: '1', MAX_FAILED_PERCENT: '0' },
  )
  const { pages } = await readStoredCursor(bucket, runId)
  const begun = (await readIntents(bucket, runId)).map(({ attempt }) => Number(attempt.slice(0, 5)))
  expect(pages.map(({ page }) => page)).toEqual(expect.arrayContaining(begun))
  expect((await keys(bucket)).filter((key) => !key.startsWith('control/') && !key.includes(runId))).toEqual(
    [],
  )
})

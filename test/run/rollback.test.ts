import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { seedSampleLedger } from '../../bin/sandbox/sample-ledger.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { freshBucket, readLines, type TestBucket } from '../support/bucket.ts'
import { invokeJob, type JobPlace } from '../support/job.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'

const USD = 1_000_000
type UserLine = { user_id: string; outcome: string; changed?: string[] }

let database: Awaited<ReturnType<typeof freshDatabase>>
let bucket: TestBucket
let place: JobPlace

beforeEach(async () => {
  database = await freshDatabase()
  bucket = await freshBucket()
  // Runs follow each other at once here, and a run's own closing rows are young personal rows too.
  place = { databaseUrl: database.url, bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }
})
afterEach(async () => database.drop())

const state = () => dump(database.sql, { updatedAt: false })
const execute = () => invokeJob(place, { execute: true })
const rollBack = (runId: string) => invokeJob(place, { rollback: runId, execute: true })
const total = (dumped: Awaited<ReturnType<typeof state>>) =>
  Number(dumped.users[0]?.total_microdollars_acquired)
const linesOf = async (card: ExitCard) =>
  (await readLines(bucket, `logs/users/${card.runId}.jsonl`)) as UserLine[]

/** One user with a free grant of 10 USD, of which 3 are spent. */
async function oneUser(id = 'ada'): Promise<string> {
  await insertUser(database.sql, { id, microdollars_used: 3 * USD, total_microdollars_acquired: 10 * USD })
  return (await insertTransaction(database.sql, { kilo_user_id: id })).id
}

test('execute and rollback leave both tables byte for byte as they were, updated_at apart', async () => {
  await seedSampleLedger(database.sql, { now: new Date() })
  const before = await state()
  const run = await execute()
  const after = await state()
  expect(after).not.toEqual(before)

  const shown = await invokeJob(place, { rollback: run.runId })
  expect(shown).toMatchObject({
    mode: 'rollback-dry-run',
    status: 'complete',
    totals: { usersProcessed: run.totals.usersProcessed },
  })
  expect(await state()).toEqual(after)
  expect(shown.next?.payload).toEqual({ rollback: run.runId, execute: true })

  const undone = await rollBack(run.runId)
  expect(undone).toMatchObject({ mode: 'rollback', status: 'complete' })
  expect(undone.totals.expiredMicrodollars).toBe(-run.totals.expiredMicrodollars)
  expect(undone.totals.correctedMicrodollars).toBe(-run.totals.correctedMicrodollars)
  expect(await state()).toEqual(before)

  const twice = await rollBack(run.runId)
  expect(twice.totals).toMatchObject({ usersProcessed: 0, usersLeftAlone: run.totals.usersProcessed })
  expect(twice.totals.outcomes).toEqual({ already_rolled_back: run.totals.usersProcessed })
  expect(await state()).toEqual(before)
})

test('two runs are rolled back in reverse order; the other order leaves the user alone and says why', async () => {
  await oneUser()
  const before = await state()
  const first = await execute()
  const between = await state()
  await insertTransaction(database.sql, { kilo_user_id: 'ada', amount_microdollars: 5 * USD })
  await database.sql`update kilocode_users set total_microdollars_acquired = total_microdollars_acquired + 5000000 where id = 'ada'`
  const second = await execute()

  const wrongOrder = await rollBack(first.runId)
  const [line] = await linesOf(wrongOrder)
  expect(line).toMatchObject({ outcome: 'changed_since' })
  expect(line?.changed?.join()).toMatch(/undo that one first/)

  await rollBack(second.runId)
  await rollBack(first.runId)
  await database.sql`delete from credit_transactions where amount_microdollars = 5000000`
  await database.sql`update kilocode_users set total_microdollars_acquired = total_microdollars_acquired - 5000000`
  expect(await state()).toEqual(before)
  expect(between).not.toEqual(before)
})

/** Another table with a row that points at the closing row of ada's grant. */
const pointing = (action: string) =>
  database.sql.unsafe(`
    create table receipts (credit_id uuid constraint receipts_credit references credit_transactions (id) ${action});
    insert into receipts select id from credit_transactions where kilo_user_id = 'ada' and credit_category = 'credits_expired';
  `)

describe('what happened in between', () => {
  const rolledBack = async (happening: () => PromiseLike<unknown>) => {
    const grant = await oneUser()
    const run = await execute()
    await happening()
    const before = await state()
    const card = await rollBack(run.runId)
    const [line] = await linesOf(card)
    return { grant, line, before, after: await state() }
  }

  test('spending: the run is undone, and what was spent stays spent', async () => {
    const { line, after } = await rolledBack(
      () => database.sql`update kilocode_users set microdollars_used = microdollars_used + 1000000`,
    )
    expect(line?.outcome).toBe('rolled_back')
    expect(after.users[0]).toMatchObject({
      microdollars_used: String(4 * USD),
      total_microdollars_acquired: String(10 * USD),
    })
  })

  test('a top-up and a clawback: the total moves back by what the run took, relative to what it is now', async () => {
    for (const amount of [20 * USD, -2 * USD]) {
      const { line, before, after } = await rolledBack(async () => {
        await insertTransaction(database.sql, {
          kilo_user_id: 'ada',
          is_free: false,
          amount_microdollars: amount,
          credit_category: null,
        })
        await database.sql`update kilocode_users set total_microdollars_acquired = total_microdollars_acquired + ${amount}`
      })
      expect(line?.outcome).toBe('rolled_back')
      expect(total(after) - total(before)).toBe(7 * USD)
      await database.sql`delete from credit_transactions`
      await database.sql`delete from kilocode_users`
    }
  })

  test('a dated grant: its date stays the next one to expire', async () => {
    const { line, after } = await rolledBack(async () => {
      await insertTransaction(database.sql, {
        kilo_user_id: 'ada',
        expiry_date: '2999-01-01T00:00:00.000001Z',
      })
      await database.sql`
        update kilocode_users
        set total_microdollars_acquired = total_microdollars_acquired + 10000000, next_credit_expiration_at = '2999-01-01T00:00:00.000001Z'`
    })
    expect(line?.outcome).toBe('rolled_back')
    expect(after.users[0]?.next_credit_expiration_at).toBe('2999-01-01 00:00:00.000001+00')
  })

  test.each([
    [
      'an inserted row was changed',
      (sql: typeof database.sql) =>
        sql`update credit_transactions set description = 'other' where credit_category = 'credits_expired'`,
      /not as it was inserted/,
    ],
    [
      'an inserted row was deleted',
      (sql: typeof database.sql) =>
        sql`delete from credit_transactions where credit_category = 'credits_expired'`,
      /is gone/,
    ],
    [
      'a grant has another date',
      (sql: typeof database.sql) =>
        sql`update credit_transactions set expiry_date = '2030-01-01' where amount_microdollars > 0`,
      /not what the run left/,
    ],
    [
      'a row links to an inserted row',
      (sql: typeof database.sql) =>
        sql`insert into credit_transactions (kilo_user_id, amount_microdollars, is_free, original_transaction_id) select 'bob', -1, true, id from credit_transactions where credit_category = 'credits_expired'`,
      /links to/,
    ],
    [
      'the production pass closed something',
      (sql: typeof database.sql) =>
        sql`insert into credit_transactions (kilo_user_id, amount_microdollars, is_free, credit_category) values ('ada', 0, true, 'credits_expired')`,
      /closing rows or corrections/,
    ],
  ])('%s: the user is left alone, and the line says what changed', async (_, happening, what) => {
    const { line, before, after } = await rolledBack(() => happening(database.sql))
    expect(line?.outcome).toBe('changed_since')
    expect(line?.changed?.join('; ')).toMatch(what)
    expect(after).toEqual(before)
  })
})

describe('rows of other tables that point at an inserted row', () => {
  test.each(['on delete restrict', 'on delete no action'])('%s refuses that user alone', async (action) => {
    await oneUser('ada')
    await oneUser('bob')
    const run = await execute()
    await pointing(action)
    const card = await rollBack(run.runId)
    expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 1, usersLeftAlone: 1 } })
    const lines = await linesOf(card)
    expect(lines.find(({ user_id }) => user_id === 'ada')).toMatchObject({ outcome: 'changed_since' })
    expect(lines.find(({ user_id }) => user_id === 'ada')?.changed?.join()).toMatch(/receipts/)
  })

  test.each(['on delete cascade', 'on delete set null'])(
    '%s refuses the rollback by name, unless it is accepted',
    async (action) => {
      await oneUser()
      const run = await execute()
      await pointing(action)
      const before = await state()
      await expect(rollBack(run.runId)).rejects.toThrow(/receipts_credit/)
      expect(await state()).toEqual(before)
      const shown = await invokeJob(place, { rollback: run.runId })
      expect(shown.warnings.join()).toMatch(/receipts_credit/)
      const accepted = await invokeJob(
        { ...place, env: { ...place.env, ACCEPTED_FOREIGN_KEYS: 'receipts_credit' } },
        { rollback: run.runId, execute: true },
      )
      expect(accepted).toMatchObject({ status: 'complete', totals: { usersProcessed: 1 } })
    },
  )
})

test('only a closed execute run can be rolled back', async () => {
  await oneUser()
  const dry = await invokeJob(place, {})
  await expect(rollBack(dry.runId)).rejects.toThrow(/only an execute run changes the ledger/)
  await expect(rollBack('2026-01-01T00-00-00-000Z-execute-aaaa')).rejects.toThrow(/knows no such run/)
})

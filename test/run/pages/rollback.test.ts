import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { seedSampleLedger } from '../../../bin/sandbox/sample/ledger.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { auditRun } from '../../support/audit-run.ts'
import { freshBucket, keys, putText, readText, type TestBucket } from '../../support/bucket.ts'
import { failureOf, invokeJob, type JobPlace } from '../../support/job.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from '../../support/ledger.ts'

const USD = 1_000_000
type Changed = { table: string; row: string; column: string; expected: unknown; found: unknown }
type UserLine = { user_id: string; outcome: string; changed?: Changed[] }

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
  (await auditRun(bucket, card.runId, database.sql)).users as UserLine[]

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

  const rolledBack = await rollBack(run.runId)
  expect(rolledBack).toMatchObject({ mode: 'rollback', status: 'complete' })
  expect(rolledBack.totals.expiredMicrodollars).toBe(-run.totals.expiredMicrodollars)
  expect(rolledBack.totals.correctedMicrodollars).toBe(-run.totals.correctedMicrodollars)
  expect(await state()).toEqual(before)

  const twice = await rollBack(run.runId)
  expect(twice.totals).toMatchObject({ usersProcessed: 0, usersSkipped: run.totals.usersProcessed })
  expect(twice.totals.outcomes).toEqual({ already_rolled_back: run.totals.usersProcessed })
  expect(await state()).toEqual(before)
})

test('two runs are rolled back in reverse order; in the other order the user is skipped with the reason', async () => {
  await oneUser()
  const before = await state()
  const first = await execute()
  const between = await state()
  await insertTransaction(database.sql, { kilo_user_id: 'ada', amount_microdollars: 5 * USD })
  await database.sql`update kilocode_users set total_microdollars_acquired = total_microdollars_acquired + 5000000 where id = 'ada'`
  const second = await execute()

  const [line] = await linesOf(await rollBack(first.runId))
  expect(line).toMatchObject({ outcome: 'changed_since' })
  expect(line?.changed).toContainEqual({
    table: 'credit_transactions',
    row: 'ada',
    column: 'closings',
    expected: 0,
    found: 1,
  })

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

test('"latest" is the newest run that wrote something: one that changed nothing, or was refused, is passed over', async () => {
  await oneUser()
  const before = await state()
  const empty = await invokeJob(place, { execute: true, categories: ['none'] })
  expect(await invokeJob(place, { rollback: 'latest' })).toMatchObject({ rollsBack: empty.runId })
  const run = await execute()
  await execute()
  await oneUser('bob')
  await failureOf(invokeJob(place, { execute: true, limits: { users: 0 } }))
  expect(await invokeJob(place, { rollback: 'latest' })).toMatchObject({ rollsBack: run.runId })
  expect(await invokeJob(place, { rollback: 'latest', execute: true })).toMatchObject({
    rollsBack: run.runId,
    totals: { usersProcessed: 1 },
  })
  expect((await state()).users[0]).toEqual(before.users[0])
})

test.each([
  ['onto another column than the id', 'payment text REFERENCES credit_transactions (stripe_payment_id)'],
  [
    'onto the id beside another column',
    'who text, credit uuid, FOREIGN KEY (who, credit) REFERENCES credit_transactions (kilo_user_id, id)',
  ],
])('a foreign key %s does not keep a run from being rolled back', async (_what, columns) => {
  await database.sql.unsafe(`
    ALTER TABLE credit_transactions ADD UNIQUE (kilo_user_id, id);
    CREATE TABLE receipts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), ${columns});
  `)
  await oneUser()
  const before = await state()
  const run = await execute()
  expect(await invokeJob(place, { rollback: run.runId })).toMatchObject({ totals: { usersProcessed: 1 } })
  expect(await rollBack(run.runId)).toMatchObject({ status: 'complete', totals: { usersProcessed: 1 } })
  expect(await state()).toEqual(before)
})

test('dots and quotes in the names of a referencing table and its column are part of the names', async () => {
  await database.sql.unsafe(`
    CREATE TABLE "kilo.receipts ""new""" (id text,
      "credit.id" uuid REFERENCES credit_transactions (id) ON DELETE SET NULL)`)
  await oneUser()
  await oneUser('bob')
  const run = await execute()
  await database.sql.unsafe(`
    INSERT INTO "kilo.receipts ""new"""
    SELECT 'r1', id FROM credit_transactions WHERE kilo_user_id = 'ada' AND credit_category = 'credits_expired'`)
  const lines = await linesOf(await rollBack(run.runId))
  expect(lines).toMatchObject([
    { user_id: 'ada', outcome: 'changed_since', changed: [{ row: 'r1', column: 'credit.id' }] },
    { user_id: 'bob', outcome: 'rolled_back' },
  ])
})

test('a foreign key that would delete rows by another column than the id refuses the rollback', async () => {
  await database.sql.unsafe(`
    ALTER TABLE credit_transactions ADD UNIQUE (kilo_user_id, created_at);
    CREATE TABLE receipts (id text, who text, at timestamptz,
      FOREIGN KEY (who, at) REFERENCES credit_transactions (kilo_user_id, created_at) ON DELETE CASCADE);
  `)
  await oneUser()
  const run = await execute()
  expect(await failureOf(rollBack(run.runId))).toMatchObject({
    name: 'RunRefused',
    message: expect.stringContaining('receipts_who_at_fkey does not refer to them by their id'),
  })
})

test('a row that refers to an inserted one by two columns is found', async () => {
  await database.sql.unsafe(`
    ALTER TABLE credit_transactions ADD UNIQUE (kilo_user_id, id);
    CREATE TABLE receipts (id text, who text, credit uuid,
      FOREIGN KEY (who, credit) REFERENCES credit_transactions (kilo_user_id, id));
  `)
  await oneUser()
  const run = await execute()
  await database.sql`
    INSERT INTO receipts SELECT 'r1', kilo_user_id, id FROM credit_transactions WHERE credit_category = 'credits_expired'`
  const [line] = await linesOf(await rollBack(run.runId))
  expect(line).toMatchObject({
    outcome: 'changed_since',
    changed: [{ table: 'receipts', row: 'r1', column: 'credit' }],
  })
})

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

  test('spending: the run is rolled back, and what was spent stays spent', async () => {
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
      { column: 'description', found: 'other' },
    ],
    [
      'an inserted row was deleted',
      (sql: typeof database.sql) =>
        sql`delete from credit_transactions where credit_category = 'credits_expired'`,
      { column: 'id', found: null },
    ],
    [
      'a grant has another date',
      (sql: typeof database.sql) =>
        sql`update credit_transactions set expiry_date = '2030-01-01' where amount_microdollars > 0`,
      { column: 'expiry_date', found: '2030-01-01T00:00:00.000000Z' },
    ],
    [
      'a grant became one of an organization',
      (sql: typeof database.sql) =>
        sql`update credit_transactions set organization_id = gen_random_uuid() where amount_microdollars > 0`,
      { column: 'organization_id', expected: null, found: expect.any(String) },
    ],
    [
      'a row links to an inserted row',
      (sql: typeof database.sql) =>
        sql`insert into credit_transactions (kilo_user_id, amount_microdollars, is_free, original_transaction_id) select 'bob', -1, true, id from credit_transactions where credit_category = 'credits_expired'`,
      { table: 'credit_transactions', column: 'original_transaction_id' },
    ],
    [
      'the production pass closed something',
      (sql: typeof database.sql) =>
        sql`insert into credit_transactions (kilo_user_id, amount_microdollars, is_free, credit_category) values ('ada', 0, true, 'credits_expired')`,
      { column: 'closings', expected: 0, found: 1 },
    ],
  ])('%s: the user is skipped, and the line says what changed', async (_, happening, what) => {
    const { line, before, after } = await rolledBack(() => happening(database.sql))
    expect(line?.outcome).toBe('changed_since')
    expect(line?.changed).toContainEqual(expect.objectContaining(what))
    expect(after).toEqual(before)
  })
})

describe('a row of another table that refers to an inserted row', () => {
  test.each(['on delete restrict', 'on delete no action', 'on delete set null', 'on delete cascade'])(
    '%s: only that user is skipped, with table and row; accepted by name, the user is rolled back, unless ' +
      'the key would refuse that',
    async (action) => {
      await oneUser('ada')
      await oneUser('bob')
      const run = await execute()
      await pointing(action)
      const card = await rollBack(run.runId)
      expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 1, usersSkipped: 1 } })
      const skipped = {
        outcome: 'changed_since',
        changed: [
          { table: 'receipts', column: 'credit_id', row: expect.any(String), found: expect.any(String) },
        ],
      }
      const lineOfAda = async (of: ExitCard) => (await linesOf(of)).find(({ user_id }) => user_id === 'ada')
      expect(await lineOfAda(card)).toMatchObject(skipped)
      const accepted = await invokeJob(
        { ...place, env: { ...place.env, ACCEPTED_REFERENCES: 'receipts_credit' } },
        { rollback: run.runId, execute: true },
      )
      const isDeletable = action.endsWith('cascade') || action.endsWith('null')
      expect(accepted).toMatchObject({ status: 'complete', totals: { usersFailed: 0 } })
      expect(await lineOfAda(accepted)).toMatchObject(isDeletable ? { outcome: 'rolled_back' } : skipped)
    },
  )

  test('only the users named are rolled back, the others afterwards; another name is refused', async () => {
    for (const id of ['ada', 'bob', 'eve']) await oneUser(id)
    await insertUser(database.sql, { id: 'without-grants' })
    const before = await state()
    const run = await execute()
    const some = await invokeJob(place, { rollback: run.runId, execute: true, userIds: ['bob'] })
    expect(some).toMatchObject({ status: 'complete', totals: { usersMatched: 1, usersProcessed: 1 } })
    expect((await linesOf(some)).map(({ user_id }) => user_id)).toEqual(['bob'])
    expect(await invokeJob(place, { status: run.runId })).toMatchObject({
      why: `every page is done; 1 of 3 users rolled back by ${some.runId}`,
      usersRolledBack: 1,
      next: { payload: { rollback: run.runId } },
    })
    const preview = { rollback: run.runId, userIds: ['eve'], reason: 'a look' }
    expect((await invokeJob(place, preview)).next?.payload).toEqual({ ...preview, execute: true })
    await expect(
      invokeJob(place, { rollback: run.runId, execute: true, userIds: ['bob', 'without-grants'] }),
    ).rejects.toThrow(/wrote nothing for 1 of these users: without-grants/)
    const rest = await rollBack(run.runId)
    expect(rest.totals.outcomes).toEqual({ rolled_back: 2, already_rolled_back: 1 })
    expect(await state()).toEqual(before)
    expect(await invokeJob(place, { status: run.runId })).toMatchObject({
      why: `every page is done; rolled back by ${some.runId} and ${rest.runId}`,
      rolledBackBy: [some.runId, rest.runId],
      usersRolledBack: 3,
      next: null,
    })
  })
})

test('an edited mutation log refuses the rollback, naming the part; nothing is written', async () => {
  await oneUser()
  const run = await execute()
  const [key = ''] = await keys(bucket, `logs/mutations/${run.runId}/`)
  const good = await readText(bucket, key)
  await putText(
    bucket,
    key,
    good.replace('"expiry_date":null', '"expiry_date":"2020-01-01T00:00:00.000000Z"'),
  )
  const before = await state()
  const refused = await failureOf(rollBack(run.runId))
  expect(refused.name).toBe('ArchiveCorrupt')
  expect(refused.message).toContain(key)
  expect(await state()).toEqual(before)
})

test('only a closed execute run can be rolled back', async () => {
  await oneUser()
  const dry = await invokeJob(place, {})
  await expect(rollBack(dry.runId)).rejects.toThrow(/only an execute changes the ledger/)
  await expect(rollBack('2026-01-01T00-00-00-000Z-execute-aaaa')).rejects.toThrow(/No run 2026-01-01/)
})

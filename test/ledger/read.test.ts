import postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect, type Sql } from '../../lambda/ledger/connection/connect.ts'
import { databaseClock } from '../../lambda/ledger/preflight/clock.ts'
import type { Reading } from '../../lambda/ledger/read.ts'
import { freshDatabase, insertTransaction, insertUser, dump } from '../support/ledger.ts'
import { applyPlans, NEXT_YEAR, readAndPlan, readNow, withIds } from '../support/plans.ts'

let database: Awaited<ReturnType<typeof freshDatabase>>
let job: Sql
/** Sessions as the server sets them up. */
let plain: postgres.Sql
beforeAll(async () => {
  database = await freshDatabase()
  // What a server may be set to, and what text would then look like.
  await database.sql.unsafe(`
    DO $$ BEGIN
      EXECUTE format('ALTER DATABASE %I SET TimeZone = ''Asia/Kathmandu''', current_database());
      EXECUTE format('ALTER DATABASE %I SET DateStyle = ''German, DMY''', current_database());
      EXECUTE format('ALTER DATABASE %I SET IntervalStyle = ''sql_standard''', current_database());
      EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
      EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = ''serializable''', current_database());
    END $$`)
  job = connect({ url: database.url }, 2)
  plain = postgres(database.url, { max: 1 })
})
afterAll(async () => {
  await plain.end()
  await job.end()
  await database.drop()
})

function known(readings: Map<string, Reading>, id: string) {
  const reading = readings.get(id)
  if (!reading || 'unusable' in reading) throw new Error(`${id} was not read.`)
  return reading
}

test('the server is set up unusually', async () => {
  const rows = await plain`select '2026-11-22T06:12:30.123456Z'::text::timestamptz::text as text`
  expect([...rows]).toEqual([{ text: '22.11.2026 11:57:30.123456 +0545' }])
})

/** As stored, and as the rules see it. */
const TIMES = [
  ['2026-11-22 06:12:30.123456+00', '2026-11-22T06:12:30.123456Z'],
  ['2026-11-22 06:12:30+00', '2026-11-22T06:12:30.000000Z'],
  ['2026-11-22 06:12:30.1+00', '2026-11-22T06:12:30.100000Z'],
  ['1960-01-01 00:00:00.000001+00', '1960-01-01T00:00:00.000001Z'],
  ['infinity', 'infinity'],
  ['-infinity', '-infinity'],
  ['9999-12-31 23:59:59.999999+00', '9999-12-31T23:59:59.999999Z'],
  ['10000-01-01 00:00:00+00', '10000-01-01T00:00:00.000000Z'],
  ['200000-01-01 00:00:00.5+00', '200000-01-01T00:00:00.500000Z'],
  ['0044-03-15 12:00:00.000001+00 BC', '0044-03-15T12:00:00.000001Z BC'],
  ['4714-11-24 00:00:00+00 BC', '4714-11-24T00:00:00.000000Z BC'],
] as const

test.each(TIMES)(
  'the time %s is read as %s, and PostgreSQL reads that as the same time',
  async (stored, read) => {
    await insertUser(database.sql, { id: stored, next_credit_expiration_at: stored })
    await insertTransaction(database.sql, { kilo_user_id: stored, expiry_date: stored, created_at: stored })
    const { user, rows } = known(await readNow(job, [stored]), stored)
    expect(user.nextCreditExpirationAt).toBe(read)
    expect(rows).toMatchObject([{ expiryDate: read, createdAt: read }])
    const same = await plain`select ${read}::text::timestamptz = ${stored}::text::timestamptz as same`
    expect([...same]).toEqual([{ same: true }])
  },
)

test.each(TIMES)('a user with the time %s everywhere is expired, and what stays keeps it', async (stored) => {
  const id = `applied ${stored}`
  await insertUser(database.sql, { id, total_microdollars_acquired: 30, next_credit_expiration_at: stored })
  await insertTransaction(database.sql, {
    kilo_user_id: id,
    amount_microdollars: 10,
    created_at: '2020-01-01T00:00:00.000001Z',
  })
  await insertTransaction(database.sql, {
    kilo_user_id: id,
    amount_microdollars: 20,
    is_free: false,
    expiry_date: stored,
  })
  const [plan] = withIds((await readAndPlan(job, [id], await databaseClock(job))).values())
  expect(await applyPlans(job, plan ? [plan] : [], NEXT_YEAR)).toEqual(new Set([id]))

  const { users, transactions } = await dump(database.sql)
  const due = !stored.startsWith('infinity') && !/^(9999|1\d{4}|2\d{5})/.test(stored)
  const user = users.find((row) => row.id === id)
  expect(user).toMatchObject({
    total_microdollars_acquired: due ? '0' : '20',
    next_credit_expiration_at: due ? null : stored,
  })
  const rows = transactions.filter((row) => row.kilo_user_id === id)
  expect(rows.find((row) => row.is_free === 'f' && row.credit_category !== 'credits_expired')).toMatchObject({
    expiry_date: stored,
  })
  const closings = rows.filter((row) => row.credit_category === 'credits_expired')
  expect(closings).toHaveLength(due ? 2 : 1)
  expect(closings.filter((row) => row.is_free === 'f').map((row) => row.created_at)).toEqual(
    due ? [stored] : [],
  )
})

test('ids and e-mails with any characters are read and written as they are', async () => {
  const ids = [
    'oauth/google:1182',
    "o'brien",
    '100%',
    'a_b\\c',
    '"quoted"',
    'ünïcödé 🦜',
    ' spaces ',
    "'; drop table x; --",
    '$1',
    '{}',
    '\t',
  ]
  for (const id of ids) {
    await insertUser(database.sql, {
      id,
      google_user_email: `"${id.replaceAll('"', '')}"%_'@kilo.ai`,
      total_microdollars_acquired: 10,
    })
    await insertTransaction(database.sql, {
      kilo_user_id: id,
      amount_microdollars: 10,
      description: `of ${id} \u2028 \\u0000 "x"`,
    })
  }
  const plans = withIds((await readAndPlan(job, ids, await databaseClock(job))).values())
  expect(await applyPlans(job, plans, NEXT_YEAR)).toEqual(new Set(ids))
  const { users, transactions } = await dump(database.sql)
  for (const id of ids) {
    expect(users.find((row) => row.id === id)).toMatchObject({ total_microdollars_acquired: '0' })
    const closing = transactions.find(
      (row) => row.kilo_user_id === id && row.credit_category === 'credits_expired',
    )
    expect(closing).toMatchObject({
      description: `Expired: of ${id} \u2028 \\u0000 "x"`,
      amount_microdollars: '-10',
    })
  }
})

test.each<[string, Record<string, string>, Record<string, string>]>([
  ['usage', { microdollars_used: '9007199254740992' }, {}],
  ['total', { total_microdollars_acquired: '-9223372036854775808' }, {}],
  ['amount', {}, { amount_microdollars: '9223372036854775807' }],
  ['baseline', {}, { expiration_baseline_microdollars_used: '9007199254740993' }],
  ['original baseline', {}, { original_baseline_microdollars_used: '-9007199254740992' }],
])('a %s beyond 2^53 - 1 makes that user alone unusable', async (what, user, transaction) => {
  const [big, fine] = [`big ${what}`, `fine ${what}`]
  await insertUser(database.sql, { id: big, ...user })
  await insertTransaction(database.sql, { kilo_user_id: big, ...transaction })
  await insertUser(database.sql, { id: fine, microdollars_used: '9007199254740991' })
  const readings = await readNow(job, [big, fine])
  expect(readings.get(big)).toMatchObject({
    email: `${big}@kilo.ai`,
    unusable: { name: 'UnusableValue', message: expect.stringContaining('2^53') },
  })
  expect(known(readings, fine).user.usedMicrodollars).toBe(9_007_199_254_740_991)
})

test('a time that JavaScript cannot hold is refused for that user, not guessed', async () => {
  await insertUser(database.sql, { id: 'far', total_microdollars_acquired: 10 })
  await insertTransaction(database.sql, {
    kilo_user_id: 'far',
    amount_microdollars: 10,
    expiry_date: '290000-01-01 00:00:00+00',
  })
  await insertTransaction(database.sql, {
    kilo_user_id: 'far',
    is_free: false,
    expiry_date: '290000-01-01 00:00:00+00',
  })
  await expect(readAndPlan(job, ['far'], await databaseClock(job))).rejects.toMatchObject({
    name: 'UnusableValue',
  })
})

test('a deleted user is not in the result, nor are rows of users who were not asked for', async () => {
  await insertTransaction(database.sql, { kilo_user_id: 'orphan' })
  expect(await readNow(job, ['orphan', 'nobody'])).toEqual(new Map())
  expect(await readNow(job, [])).toEqual(new Map())
})

test("the clock is the database's, in whole milliseconds and in UTC", async () => {
  const before = await database.sql`select floor(extract(epoch from clock_timestamp()) * 1000) as at`
  const clock = await databaseClock(job)
  expect(clock).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  expect(Date.parse(clock)).toBeGreaterThanOrEqual(Number(before[0]?.at))
})

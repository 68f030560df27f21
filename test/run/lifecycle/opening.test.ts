import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { auditRun } from '../../support/audit-run.ts'
import { freshBucket, keys, type TestBucket } from '../../support/bucket.ts'
import { invokeJob } from '../../support/job.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from '../../support/ledger.ts'
import { readDocument, readLogs } from '../../support/logs.ts'

const USD = 1_000_000

let database: Awaited<ReturnType<typeof freshDatabase>>
let bucket: TestBucket
let sql: typeof database.sql

beforeAll(async () => {
  database = await freshDatabase()
  sql = database.sql
})
afterAll(() => database.drop())
beforeEach(async () => {
  await sql`TRUNCATE kilocode_users, credit_transactions CASCADE`
  bucket = await freshBucket()
})

const invoke = (event: unknown, env: Record<string, string> = {}): Promise<ExitCard> =>
  invokeJob({ databaseUrl: database.url, bucket, env }, event)
const failure = (event: unknown, env: Record<string, string> = {}): Promise<unknown> =>
  invoke(event, env).then(
    () => 'no failure',
    (error: unknown) => error,
  )

async function addUsers(
  count: number,
  grants = 1,
  given: Partial<Parameters<typeof insertUser>[1]> = {},
): Promise<void> {
  for (let n = 0; n < count; n++) {
    const id = `user-${String(n).padStart(3, '0')}`
    await insertUser(sql, { id, total_microdollars_acquired: grants * 10 * USD, ...given })
    for (let grant = 0; grant < grants; grant++) await insertTransaction(sql, { kilo_user_id: id })
  }
}

async function pagesOf(runId: string): Promise<unknown[]> {
  const lists = await keys(bucket, `runs/${runId}/pages/`)
  return Promise.all(lists.map(async (key) => (await readDocument(bucket, key)).userIds))
}

describe('pages', () => {
  test('hold the users in the order of the database, batchSize a page', async () => {
    await addUsers(5)
    const { runId } = await invoke({ batchSize: 2 })
    expect(await keys(bucket, `runs/${runId}/pages/`)).toEqual(
      ['00000', '00001', '00002'].map((page) => `runs/${runId}/pages/${page}.json`),
    )
    expect(await pagesOf(runId)).toEqual([['user-000', 'user-001'], ['user-002', 'user-003'], ['user-004']])
  })

  test('hold about 4,000 ledger rows; a user with more is a page alone', async () => {
    await addUsers(6, 0)
    const rows = {
      'user-000': 1,
      'user-001': 3999,
      'user-002': 1,
      'user-003': 4500,
      'user-004': 0,
      'user-005': 2,
    }
    for (const [id, count] of Object.entries(rows)) {
      await sql`INSERT INTO credit_transactions (kilo_user_id, amount_microdollars, is_free, created_at) SELECT ${id}, 1, false, '2026-01-01' FROM generate_series(1, ${count})`
    }
    const { runId } = await invoke({})
    expect(await pagesOf(runId)).toEqual([
      ['user-000', 'user-001'],
      ['user-002'],
      ['user-003'],
      ['user-004', 'user-005'],
    ])
    expect(await readDocument(bucket, `runs/${runId}/run.json`)).toMatchObject({
      matched: { users: 6, grants: 0, faceValueMicrodollars: 0, rows: 8503, pages: 4 },
    })
  })

  test('no user matches: no page, and a complete run', async () => {
    await insertUser(sql, { google_user_email: 'x@example.com' })
    for (const event of [{}, { execute: true }]) {
      const card = await invoke(event)
      expect(card).toMatchObject({
        status: 'complete',
        why: expect.stringContaining('no user'),
        progress: { percent: 100 },
      })
      expect(await auditRun(bucket, card.runId)).toEqual({ users: [], mutations: [], errors: [] })
    }
  })

  test('the users table is scanned once in a run, whatever the page size', async () => {
    await addUsers(20)
    await sql`INSERT INTO kilocode_users (id, google_user_email, google_user_name, google_user_image_url, stripe_customer_id)
      SELECT 'other-' || n, n || '@example.com', '', '', '' FROM generate_series(1, 60000) n`
    await sql`ANALYZE`
    const scans = async (): Promise<number> => {
      await sql`SELECT pg_stat_force_next_flush()`
      const [row] = await sql<
        { scans: string }[]
      >`SELECT seq_scan AS scans FROM pg_stat_user_tables WHERE relname = 'kilocode_users'`
      return Number(row?.scans)
    }
    for (const event of [{ batchSize: 1 }, { execute: true, batchSize: 2 }]) {
      const before = await scans()
      expect(await invoke(event)).toMatchObject({ status: 'complete' })
      expect({ event, scans: (await scans()) - before }).toEqual({ event, scans: 1 })
    }
  })
})

test('run.json keeps what was asked and what was fixed', async () => {
  await addUsers(3)
  const event = {
    execute: true,
    domains: ['KILO.ai'],
    userIds: ['user-002', 'user-000', 'user-002'],
    batchSize: 7,
    concurrency: 2,
    limits: { usd: 30 },
    reason: ' clean-up ',
  }
  const { runId, instant } = await invoke(event, { LIMIT_GRANTS: '77', MIN_GRANT_AGE_SECONDS: '5' })
  expect(await readDocument(bucket, `runs/${runId}/run.json`)).toMatchObject({
    runId,
    mode: 'execute',
    instant,
    softwareVersion: expect.stringMatching(/^\d+\.\d+\.\d+/),
    asked: expect.objectContaining({
      payload: {
        execute: true,
        domains: ['kilo.ai'],
        userIds: ['user-000', 'user-002'],
        batchSize: 7,
        concurrency: 2,
        limits: { usd: 30 },
        reason: 'clean-up',
      },
      requestId: expect.any(String),
      via: 'test',
      by: 'a test',
      reason: 'clean-up',
    }),
    selection: expect.objectContaining({ domains: ['kilo.ai'], userIds: ['user-000', 'user-002'] }),
    settings: expect.objectContaining({
      batchSize: 7,
      concurrency: 2,
      limits: { users: 2000, grants: 77, usd: 30, correctionsUsd: 10000 },
      minGrantAgeSeconds: 5,
    }),
    matched: { users: 2, grants: 2, faceValueMicrodollars: 20 * USD, rows: 2, pages: 1 },
  })
  expect(runId.startsWith(instant.replaceAll(/[:.]/g, '-'))).toBe(true)
  expect((await dump(sql)).users.map((user) => user.total_microdollars_acquired)).toEqual([
    '0',
    String(10 * USD),
    '0',
  ])
})

describe('limits', () => {
  const LIMITS: [string, object, Record<string, string>, string][] = [
    ['users', { users: 2 }, { LIMIT_USERS: '2' }, '3 users match; the limit is 2 '],
    ['users, and 0 means zero', { users: 0 }, { LIMIT_USERS: '0' }, '3 users match; the limit is 0 '],
    ['grants', { grants: 5 }, { LIMIT_GRANTS: '5' }, '6 grants are targeted; the limit is 5 '],
    [
      'face value',
      { usd: 59.999999 },
      { LIMIT_USD: '59.999999' },
      'face value of the targeted grants is $60.00; the limit is $59.999999 ',
    ],
  ]

  test.each(LIMITS)(
    '%s: an execute is refused with the numbers, from the event or the configuration, and writes nothing',
    async (_what, limits, env, numbers) => {
      await addUsers(3, 2)
      const before = await dump(sql)
      for (const refused of [
        await failure({ execute: true, limits }),
        await failure({ execute: true }, env),
      ]) {
        expect(refused).toMatchObject({ name: 'RunRefused', message: expect.stringContaining(numbers) })
      }
      expect(await dump(sql)).toEqual(before)
      const summaries = (await keys(bucket, 'runs/')).filter((key) => key.endsWith('summary.json'))
      expect(summaries).toHaveLength(2)
      for (const key of summaries)
        expect(await readDocument(bucket, key)).toMatchObject({
          status: 'refused',
          why: expect.stringContaining(numbers),
          next: { payload: {} },
        })
      // A refused run is not open.
      expect(await invoke({ execute: true })).toMatchObject({ status: 'complete' })
    },
  )

  test.each(LIMITS)(
    '%s: a dry run is not refused, and says that an execute would be',
    async (_what, limits, _env, numbers) => {
      await addUsers(3, 2)
      const card = await invoke({ limits })
      expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 3 } })
      expect(card.warnings).toContainEqual(expect.stringContaining(numbers))
    },
  )

  test('exactly at the limits an execute goes through', async () => {
    await addUsers(3, 2)
    expect(
      await invoke({ execute: true, limits: { users: 3, grants: 6, usd: 60, correctionsUsd: 0 } }),
    ).toMatchObject({ status: 'complete', warnings: [] })
  })

  test.each(['users', 'grants', 'usd', 'correctionsUsd'])(
    'a payload may lower the limit %s only',
    async (limit) => {
      const raised = await failure({ execute: true, limits: { [limit]: 300_000 } })
      expect(raised).toMatchObject({
        name: 'InvalidEvent',
        message: expect.stringContaining(`field "limits.${limit}": 300000 is above the configured`),
      })
      expect(await keys(bucket)).toEqual([])
    },
  )

  test('an amount beyond what a number can hold is over the limit, and in a dry run an error of that user alone', async () => {
    await addUsers(3)
    await sql`UPDATE credit_transactions SET amount_microdollars = 9223372036854775807 WHERE kilo_user_id <> 'user-000'`
    expect(await failure({ execute: true })).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining('face value'),
    })
    const card = await invoke({})
    expect(card).toMatchObject({
      status: 'complete_with_errors',
      totals: { usersProcessed: 1, usersFailed: 2 },
    })
    const { errors } = await readLogs(bucket, card.runId)
    expect(errors).toMatchObject([
      { user_id: 'user-001', stage: 'read', error: 'UnusableValue' },
      { user_id: 'user-002' },
    ])
  })
})

describe('userIds', () => {
  test('a user who is not internal is named, and nothing is done', async () => {
    await addUsers(1)
    await insertUser(sql, { id: 'outsider', google_user_email: 'x@example.com' })
    const outsiders = await failure({ execute: true, userIds: ['user-000', 'outsider'] })
    expect(outsiders).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining('not internal users of kilo.ai, kilocode.ai: outsider'),
    })
    for (const unknown of ['nobody', 'a%', '"; drop']) {
      expect(await failure({ execute: true, userIds: ['user-000', unknown] })).toMatchObject({
        name: 'InvalidEvent',
        message: expect.stringContaining('field "userIds[1]" names no user'),
      })
    }
    expect(await keys(bucket, 'control/')).toEqual([])
  })

  test('a user who needs review is skipped, and processed when named', async () => {
    await addUsers(2)
    await insertTransaction(sql, {
      kilo_user_id: 'user-000',
      amount_microdollars: -1 * USD,
      credit_category: 'orb_credit_voided',
    })
    const left = await invoke({ execute: true })
    expect(left).toMatchObject({
      status: 'complete',
      totals: { usersProcessed: 1, usersSkipped: 1, outcomes: { needs_review: 1 } },
    })
    const named = await invoke({ execute: true, userIds: ['user-000'] })
    expect(named).toMatchObject({ status: 'complete', totals: { usersMatched: 1, usersProcessed: 1 } })
  })

  test('a dry run names the selected categories that no processed grant has, and the nearest that one has', async () => {
    await addUsers(1)
    const categories = ['automatic-*', 'automatic-welcome-credit', 'promo-*']
    const { warnings, totals } = await invoke({ categories })
    expect(totals.grantsTargeted).toBe(1)
    const idle = warnings.filter((text) => text.includes('no grant that was processed'))
    expect(idle).toEqual([
      'no grant that was processed has the category "automatic-welcome-credit": did you mean "automatic-welcome-credits"?',
      'no grant that was processed has the category "promo-*": check its spelling',
    ])
    await insertTransaction(sql, { kilo_user_id: 'user-000', credit_category: 'kilo-pass-refund:123' })
    const grouped = await invoke({ categories: ['kilo-pass-refund:123', 'kilo-pass-refund:1*', 'kilo-*'] })
    expect(grouped).toMatchObject({ totals: { grantsTargeted: 1 }, warnings: [] })
    expect((await invoke({ execute: true, categories })).warnings).toEqual([])
  })

  test('a domain that is not configured is refused, never widened to', async () => {
    const refused = await failure({ domains: ['kilo.ai', 'example.com'] })
    expect(refused).toMatchObject({
      name: 'InvalidEvent',
      message: expect.stringContaining('field "domains": example.com is not among the configured domains'),
    })
    expect(await keys(bucket)).toEqual([])
  })
})

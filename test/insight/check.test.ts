import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { startS3, type S3Hooks, type S3Server } from '../../bin/sandbox/s3.ts'
import type { CheckAnswer } from '../../lambda/insight/check.ts'
import { freshBucket, keys, type TestBucket } from '../support/bucket.ts'
import { type InvocationOptions, invokeJob } from '../support/job.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { timeForPages } from '../support/stops.ts'

const READER = 'credit_expiry_dry_run'
const WRITER = 'credit_expiry_execute'

let database: Awaited<ReturnType<typeof freshDatabase>>
let s3: S3Server
let bucket: TestBucket
/** Roles belong to the whole server: each test has its own. */
let suffix: string

beforeAll(async () => {
  s3 = await startS3()
})
afterAll(() => s3.stop())
beforeEach(async () => {
  database = await freshDatabase()
  suffix = `_${randomBytes(6).toString('hex')}`
  bucket = await freshBucket(s3.endpoint)
  const statements = await readFile(new URL('../../docs/roles.sql', import.meta.url), 'utf8')
  await database.sql.unsafe(
    [READER, WRITER].reduce((sql, role) => sql.replaceAll(role, role + suffix), statements),
  )
  for (const role of [READER, WRITER])
    await database.sql.unsafe(`alter role ${role}${suffix} password 'secret'`)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const role of [READER, WRITER])
    await database.sql.unsafe(`drop owned by ${role}${suffix}; drop role ${role}${suffix}`)
  await database.drop()
})

function urlAs(role: string): string {
  const url = new URL(database.url)
  url.username = role + suffix
  url.password = 'secret'
  return url.href
}

type Checks = {
  readonly answer: CheckAnswer
  readonly failed: Record<string, string>
  readonly told: unknown[]
}

/** Checks, and returns what failed: the detail and the fix, by the name of the check. */
async function check(
  env: Record<string, string> = { READONLY_DATABASE_URL: urlAs(READER) },
  options: InvocationOptions = {},
): Promise<Checks> {
  const told: unknown[] = []
  const host = {
    onCheck: (passed: boolean) => void told.push({ passed }),
    onIdle: (seconds: number) => void told.push({ idle: seconds }),
    ...options.host,
  }
  const place = { databaseUrl: urlAs(WRITER), bucket, env }
  const answer = (await invokeJob(place, { check: true }, { ...options, host })) as unknown as CheckAnswer
  const failed = answer.checks.filter(({ ok }) => !ok)
  return {
    answer,
    told,
    failed: Object.fromEntries(
      failed.map(({ check: name, detail, fix }) => [name, `${detail} FIX: ${fix}`.replaceAll(suffix, '')]),
    ),
  }
}

/** What S3 answers to requests that a role may not make. */
const forbid = (which: (request: { method: string; key: string }) => boolean): S3Hooks => ({
  before: (request) => (which(request) ? { status: 403, code: 'AccessDenied' } : undefined),
})

test('with the roles of docs/roles.sql everything is in place; and nothing is written', async () => {
  await insertUser(database.sql, {})
  const before = await dump(database.sql)
  const { answer, failed, told } = await check()
  expect(failed).toEqual({})
  expect(answer).toMatchObject({ answer: 'check', result: 'passed', next: { payload: {} } })
  expect(told).toEqual(expect.arrayContaining([{ passed: true }, { idle: 0 }]))
  const names = answer.checks.map(({ check: name }) => name)
  expect(names).toEqual(
    expect.arrayContaining([
      'database: dry-run',
      'database: execute',
      'database: rollback',
      'database: clock',
      'bucket: list',
      'bucket: put control/check.json',
      'hold',
      'open run',
    ]),
  )
  expect(answer.checks.find((found) => found.check === 'database: execute')?.detail).toContain(
    `${WRITER}${suffix} at ${new URL(database.url).host}/`,
  )
  expect(await keys(bucket)).toEqual([])
  expect(await dump(database.sql)).toEqual(before)
})

test('the preview function checks its own connection, and only the rights that it needs on the bucket', async () => {
  s3.setHooks(
    bucket.bucket,
    forbid(({ method, key }) => method === 'PUT' && !/-dry-run-|dry-run\/|report\.html$/.test(key)),
  )
  const { answer, failed } = await check({
    ALLOW_WRITES: 'false',
    DATABASE_URL: urlAs(READER),
    READONLY_DATABASE_URL: urlAs(READER),
  })
  expect(failed).toEqual({})
  expect(answer.checks.some(({ check: name }) => /execute$|: rollback$/.test(name))).toBe(false)
})

test('names each missing right with the statement that grants it, by the use that needs it', async () => {
  await database.sql.unsafe(`
    revoke update (expiry_date) on credit_transactions from ${WRITER}${suffix};
    revoke delete on credit_transactions from ${WRITER}${suffix};
    revoke select on kilo_pass_audit_log from ${READER}${suffix}`)
  const { answer, failed, told } = await check()
  expect(answer).toMatchObject({ result: 'failed', next: { payload: { check: true } } })
  expect(told).toContainEqual({ passed: false })
  expect(Object.keys(failed)).toEqual([
    'database: references, to read',
    'database: execute',
    'database: rollback',
  ])
  expect(failed['database: execute']).toMatch(
    /^The user credit_expiry_execute lacks a right\. FIX: If that is .* run as the owner of the tables: GRANT UPDATE \(expiry_date\) ON/,
  )
  expect(failed['database: rollback']).toContain('GRANT DELETE ON credit_transactions TO')
  expect(failed['database: references, to read']).toContain(
    'GRANT SELECT (related_credit_transaction_id) ON public.kilo_pass_audit_log',
  )
})

test('names a missing column, a clock that is off, and two connections that lead to different ledgers', async () => {
  await database.sql`alter table credit_transactions rename column expiry_date to expires_at`
  const other = await freshDatabase()
  try {
    const { failed } = await check(
      { READONLY_DATABASE_URL: other.url },
      { host: { now: () => new Date(Date.now() - 3_600_000) } },
    )
    expect(failed['database: execute']).toMatch(
      /^Missing in the database: credit_transactions\.expiry_date\. FIX: The/,
    )
    expect(failed['database: clock']).toMatch(/60 minutes apart\. FIX: Correct the clock/)
    expect(failed['database: one ledger']).toMatch(
      /^Dry runs read .*, and executes write .* FIX: Correct DATABASE_URL/,
    )
  } finally {
    await other.drop()
  }
})

test('a database that cannot be reached does not keep the bucket from being checked', async () => {
  const { answer, failed } = await check({
    DATABASE_URL: 'postgres://nobody:secret@127.0.0.1:1/nothing',
    READONLY_DATABASE_URL: 'postgres://nobody:secret@127.0.0.1:1/nothing',
  })
  expect(failed['database: dry-run']).toMatch(/FIX: .* in READONLY_DATABASE_URL\./)
  expect(failed['database: execute']).toMatch(/FIX: .* in DATABASE_URL\./)
  expect(JSON.stringify(answer)).not.toContain('secret')
  expect(Object.keys(failed).every((name) => name.startsWith('database: '))).toBe(true)
})

test('a secret that cannot be read is a check that failed, not the end of all checks', async () => {
  vi.stubEnv('AWS_ENDPOINT_URL_SECRETS_MANAGER', 'http://127.0.0.1:1')
  const secret = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:ledger-AbCdEf'
  const { failed } = await check({ READONLY_DATABASE_SECRET_ARN: secret, AWS_MAX_ATTEMPTS: '1' })
  expect(failed['database: dry-run']).toContain(`The secret ${secret} could not be read`)
  expect(Object.keys(failed)).not.toContain('database: execute')
})

test('names each object that may not be written, and a bucket that may not be listed or read', async () => {
  s3.setHooks(
    bucket.bucket,
    forbid(({ method, key }) => method === 'PUT' && key.startsWith('intents/')),
  )
  const puts = await check()
  expect(Object.keys(puts.failed)).toEqual([
    'bucket: put intents/0000-01-01T00-00-00-000Z-execute-0000/check.jsonl',
  ])
  expect(Object.values(puts.failed)[0]).toContain('these credentials lack a permission')

  s3.setHooks(
    bucket.bucket,
    forbid(({ method }) => method === 'GET'),
  )
  expect(Object.keys((await check()).failed)).toEqual(['bucket: list', 'bucket: get', 'hold', 'open run'])
})

test('a bucket that does not exist fails every check of it', async () => {
  const { failed } = await check({ LOG_BUCKET: 'no-such-bucket-here' })
  expect(Object.keys(failed)).toContain('bucket: put control/check.json')
  expect(failed['bucket: list']).toMatch(/the bucket does not exist .*FIX: Check LOG_BUCKET/)
})

test('shows a hold and the open run, with the seconds since its last progress, and passes', async () => {
  for (const id of ['a', 'b']) {
    await insertUser(database.sql, { id, total_microdollars_acquired: 10_000_000 })
    await insertTransaction(database.sql, { kilo_user_id: id })
  }
  const place = { databaseUrl: database.url, bucket }
  const began = new Date()
  const onePage = timeForPages(1)
  const open = await invokeJob(
    place,
    { execute: true, batchSize: 1, concurrency: 1 },
    { ...onePage, host: { ...onePage.host, now: () => began } },
  )
  await invokeJob(place, { hold: 'database migration', by: 'Ada' })
  const { answer, failed, told } = await check(undefined, {
    host: { now: () => new Date(began.getTime() + 120_000) },
  })
  expect(failed).toEqual({})
  const details = Object.fromEntries(answer.checks.map((found) => [found.check, found.detail]))
  expect(details['hold']).toBe('Writing is held by Ada: database migration')
  expect(details['open run']).toMatch(
    new RegExp(
      `run ${open.runId}: it is open; opened \\d+ s ago; 1 of 2 users are done; last progress 120 s ago`,
    ),
  )
  expect(told).toContainEqual({ idle: 120 })
})

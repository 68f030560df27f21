import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { exitCardSchema } from '../../lambda/exit-card.ts'
import { freshBucket, keys, type TestBucket } from '../support/bucket.ts'
import { invokeJob } from '../support/job.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { type Ended, hasTerminals, ownPlace, start, startOnTerminal } from './start.ts'

let cwd: string
let database: Awaited<ReturnType<typeof freshDatabase>>
let bucket: TestBucket
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'credit-expiry-own-'))
})
afterAll(async () => rm(cwd, { recursive: true }))

beforeEach(async () => {
  database = await freshDatabase()
  bucket = await freshBucket()
  const { id } = await insertUser(database.sql, {
    id: 'ada',
    total_microdollars_acquired: 30_000_000,
    microdollars_used: 4_000_000,
    auto_top_up_enabled: true,
  })
  await insertTransaction(database.sql, { kilo_user_id: id })
  await insertTransaction(database.sql, {
    kilo_user_id: id,
    is_free: false,
    amount_microdollars: 20_000_000,
    credit_category: 'paid',
  })
  await insertTransaction(database.sql, {
    kilo_user_id: (await insertUser(database.sql, { id: 'bob' })).id,
    amount_microdollars: 5_500_000,
  })
  await insertTransaction(database.sql, {
    kilo_user_id: (await insertUser(database.sql, { id: 'eve' })).id,
    created_at: new Date(Date.now() + 3_600_000).toISOString(),
  })
})
afterEach(async () => database.drop())

function run(args: string[], env: Record<string, string> = {}): Promise<Ended> {
  return start(args, { cwd, env: { ...ownPlace(database.url, bucket), ...env } }).ended
}

test('a dry run works on them without a question, and no sandbox is made', async () => {
  const { status, stdout } = await run([])
  expect(status).toBe(0)
  expect(stdout).toMatch(/Users matched +3\n/)
  expect(stdout).toContain(`  s3://${bucket.bucket}/logs/users/`)
  expect(existsSync(join(cwd, '.sandbox'))).toBe(false)
})

test('an execute without a terminal and without --yes is refused before anything is looked at', async () => {
  const before = await dump(database.sql)
  const { status, stdout, stderr } = await run(['--execute'])
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toContain('without a terminal nobody can be asked. Nothing was done.')
  expect(await dump(database.sql)).toEqual(before)
  expect(await keys(bucket)).toEqual([])
})

test('with --yes it shows where and what, by a fresh count, and goes on', async () => {
  const { status, stdout, stderr } = await run(['--event', '{"execute":true}', '--yes', '--json'])
  expect(status).toBe(0)
  const { host, pathname } = new URL(database.url)
  const [version = ''] =
    (await database.sql<{ server_version: string }[]>`SHOW server_version`)[0]?.server_version.split(' ') ??
    []
  expect(stderr).toContain(`Database      ${pathname.slice(1)} on ${host}, PostgreSQL ${version}\n`)
  expect(stderr).toMatch(
    /Logged in as {2}postgres\nLog bucket {4}test-\w+\nTo be sent {4}\{"execute":true\}\n/,
  )
  expect(stderr).toMatch(
    /Users matched +3\n {2}processed +2\n {4}expired +2 .*\n {2}without a targeted grant +0\n {2}left alone +1\n {4}too_recent +1 /,
  )
  expect(stderr).toMatch(/Grants targeted +3\nUsers whose card auto top-up may charge: 0\n/)
  expect(stderr).toMatch(
    /Free credit that would expire +\$11\.50\n.*\nCorrections of balances below zero, 1 user +\$5\.50\nFace value of the targeted grants +\$25\.50\n/,
  )
  expect(exitCardSchema.parse(JSON.parse(stdout))).toMatchObject({
    mode: 'execute',
    status: 'complete',
    totals: { usersProcessed: 2, corrected: '$5.50' },
  })
  expect(stderr).not.toContain('Type yes')
})

async function answer(typed: string): Promise<Ended> {
  const command = startOnTerminal(['--execute'], { cwd, env: ownPlace(database.url, bucket) })
  await command.said('Type yes to go on: ')
  command.type(typed)
  return command.ended
}

test.skipIf(!hasTerminals)('on a terminal it asks; only yes goes on', async () => {
  const before = await dump(database.sql)
  for (const typed of ['no\n', '\n', 'y\n', '\u0004']) {
    expect(await answer(typed)).toMatchObject({
      status: 1,
      stdout: expect.stringContaining('Nothing was written.'),
    })
  }
  expect(await dump(database.sql)).toEqual(before)
  expect(await answer('yes\n')).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('Largest changes'),
  })
  expect(await dump(database.sql)).not.toEqual(before)
})

test.skipIf(!hasTerminals)('a Ctrl-C at the question writes nothing', async () => {
  const before = await dump(database.sql)
  expect(await answer('\u0003')).toMatchObject({
    status: 3,
    stdout: expect.stringContaining('Nothing was written.'),
  })
  expect(await dump(database.sql)).toEqual(before)
})

test('dry runs log in where READONLY_DATABASE_URL says', async () => {
  const nowhere = new URL(database.url)
  nowhere.port = '1'
  expect(await run([], { DATABASE_URL: nowhere.href, READONLY_DATABASE_URL: database.url })).toMatchObject({
    status: 0,
  })
  const other = await run([], { READONLY_DATABASE_URL: nowhere.href })
  expect(other).toMatchObject({ status: 1, stderr: expect.stringContaining('The database does not answer') })
})

test.each<[string, Record<string, string>, string]>([
  ['only a database', { LOG_BUCKET: '' }, 'DATABASE_URL is set, but LOG_BUCKET is not.'],
  ['only a bucket', { DATABASE_URL: '' }, 'LOG_BUCKET is set, but DATABASE_URL is not.'],
  [
    'only a database for dry runs',
    { DATABASE_URL: '', LOG_BUCKET: '', READONLY_DATABASE_URL: 'postgres://x/y' },
    'READONLY_DATABASE_URL is set, but DATABASE_URL and LOG_BUCKET are not.',
  ],
])('%s is no place to work on, and no reason to take the sandbox', async (_, env, message) => {
  const refused = await run([], env)
  expect(refused).toMatchObject({
    status: 1,
    stdout: '',
    stderr: expect.stringContaining(`${message} Nothing was done.`),
  })
  expect(existsSync(join(cwd, '.sandbox'))).toBe(false)
})

test('neither the password nor an e-mail is said, even with --debug', async () => {
  const url = new URL(database.url)
  url.password = 'hunter2-hunter2'
  url.username = 'ada@example.com'
  const { status, stderr } = await run(['--debug'], { DATABASE_URL: url.href })
  expect(status).toBe(1)
  expect(stderr).toContain('The database refuses the login (SQLSTATE 28P01)')
  expect(stderr).not.toContain('hunter2')
  expect(stderr).not.toContain('ada@example.com')
})

test('a rollback shows what it would give back before it asks, and a resume how far its run is', async () => {
  const before = await dump(database.sql, { updatedAt: false })
  const executed = exitCardSchema.parse(JSON.parse((await run(['--execute', '--yes', '--json'])).stdout))
  expect(await run(['--rollback', executed.runId, '--execute'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('nobody can be asked'),
  })
  const undone = await run(['--rollback', executed.runId, '--execute', '--yes'])
  expect(undone.status).toBe(0)
  expect(undone.stderr).toMatch(
    /A fresh count, \S+-rollback-dry-run-\S+:\n(.*\n)+Free credit that would come back +\$11\.50\n/,
  )
  expect(undone.stdout).toMatch(/^Rollback \S+\ncomplete: /)
  expect(await dump(database.sql, { updatedAt: false })).toEqual(before)

  const resumed = await run(['--resume', executed.runId, '--yes'])
  expect(resumed).toMatchObject({
    status: 0,
    stderr: expect.stringContaining(`So far, execute ${executed.runId}:`),
  })
})

test('a plan is shown by a count of the users that its dry run was about', async () => {
  const dry = exitCardSchema.parse(JSON.parse((await run(['--user-ids', 'ada', '--json'])).stdout))
  const misspelt = await run(['--execute', '--plan', dry.runId.slice(0, -1), '--yes'])
  expect(misspelt).toMatchObject({ status: 1, stderr: expect.stringContaining(`Did you mean ${dry.runId}?`) })
  const done = await run(['--execute', '--plan', dry.runId, '--yes'])
  expect(done.stderr).toMatch(/Users matched +1\n/)
  expect(done.stdout).toMatch(/Users matched +1\n/)
})

test('--restart without a run id closes the run that is open; where none is, it is refused', async () => {
  expect(await run(['--execute', '--restart', '--yes'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('and none is open.'),
  })
  const open = await invokeJob(
    { databaseUrl: database.url, bucket },
    { execute: true, userIds: ['ada'] },
    { timeLeft: () => 0 },
  )
  expect(await run(['--execute', '--yes'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining(`The run ${open.runId} is open`),
  })
  const restarted = await run(['--execute', '--restart', '--yes'])
  expect(restarted).toMatchObject({ status: 0, stderr: expect.stringContaining(`"restart":"${open.runId}"`) })
  expect(await run(['--status', open.runId])).toMatchObject({
    status: 2,
    stdout: expect.stringContaining('\ncancelled: '),
  })
})

test('--cancel closes an open run, which is what was asked for', async () => {
  const { runId } = await invokeJob(
    { databaseUrl: database.url, bucket },
    { execute: true },
    { timeLeft: () => 0 },
  )
  expect(await run(['--status'])).toMatchObject({
    status: 3,
    stdout: expect.stringContaining(`npm start -- --resume ${runId}`),
  })
  expect(await run(['--cancel', runId])).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('\ncancelled: '),
  })
})

test.skipIf(!hasTerminals)(
  'a user whom the database refuses: complete with errors, status 2, and on a terminal who and why',
  async () => {
    await database.sql.unsafe(`
    CREATE FUNCTION refuse_bob() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'bob is under review' USING ERRCODE = 'P0001'; END $$;
    CREATE TRIGGER refuse_bob BEFORE UPDATE ON kilocode_users FOR EACH ROW WHEN (old.id = 'bob') EXECUTE FUNCTION refuse_bob()`)
    const { status, stdout } = await startOnTerminal(['--execute', '--yes'], {
      cwd,
      env: ownPlace(database.url, bucket),
    }).ended
    expect(status).toBe(2)
    const text = stdout.replaceAll('\r\n', '\n')
    expect(text).toMatch(/\ncomplete_with_errors: every page is done, and 1 users? failed\n/)
    expect(text).toMatch(
      /\nFailures\n {2}user {2}at +error {2}message\n {2}bob {3}apply {2}P0001 {2}bob is under review\n {2}See all: aws s3 cp s3:\/\/\S+errors\S+ - \| less\n/,
    )
  },
)

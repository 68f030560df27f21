import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { exitCardSchema } from '../../lambda/exit-card.ts'
import { freshBucket, keys, putText, readJson, remove, type TestBucket } from '../support/bucket.ts'
import { inCommandWords } from '../../bin/cli/line/wording.ts'
import { failureOf, invokeJob } from '../support/job.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { runHere } from './here.ts'
import { type Ended, ownPlace, start } from './start.ts'

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

/** What only prepares a test needs no process of its own. */
const invoke = (event: object, options = {}) =>
  invokeJob({ databaseUrl: database.url, bucket }, event, options)

const NO_RUN_YET = 'There is no run in this bucket yet. npm start makes a dry run.\n'

function run(args: string[], env: Record<string, string> = {}): Promise<Ended> {
  return runHere(args, { cwd, env: { ...ownPlace(database.url, bucket), ...env } })
}

test('a dry run works on them without a question, and no sandbox is made', async () => {
  const { status, stdout } = await run([])
  expect(status).toBe(0)
  expect(stdout).toMatch(/Users matched +3\n/)
  expect(stdout).toContain(`  s3://${bucket.bucket}/logs/users/`)
  expect(existsSync(join(cwd, '.sandbox'))).toBe(false)
})

test('an execute without a terminal and without --yes is refused before anything is read', async () => {
  const before = await dump(database.sql)
  const { status, stdout, stderr } = await run(['--execute'])
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  expect(stderr).toContain('there is no terminal to ask. Nothing was done.')
  expect(await dump(database.sql)).toEqual(before)
  expect(await keys(bucket)).toEqual([])
})

test('with --yes it shows where and what, counted now and not stored as a run, and continues', async () => {
  const { status, stdout, stderr } = await run(['--event', '{"execute":true}', '--yes', '--json'])
  expect(status).toBe(0)
  const { host, pathname } = new URL(database.url)
  const [version = ''] =
    (await database.sql<{ server_version: string }[]>`SHOW server_version`)[0]?.server_version.split(' ') ??
    []
  expect(stderr).toContain(`Database    ${pathname.slice(1)} on ${host}\n`)
  expect(stderr).toContain(`Server      PostgreSQL ${version}, user postgres\n`)
  expect(stderr).toContain('Rights      checked: postgres has all rights that this run needs\n')
  expect(stderr).toMatch(
    /Mode +Execute: this writes\nDomains +kilo\.ai, kilocode\.ai\nBy +\S+\nCommand +npm start -- --execute\n/,
  )
  expect(stderr).toMatch(
    /Users matched +3\n {2}processed +2\n {4}expired +2 .*\n {2}without a targeted grant +0\n {2}skipped +1\n {4}too_recent +1 /,
  )
  expect(stderr).toMatch(/Grants targeted +3\nCards that auto top-up may charge: 0\n/)
  expect(stderr).toMatch(
    /Free credit expired +\$11\.50\n.*\nCorrections to zero, 1 user +\$5\.50\nFace value of the targeted grants +\$25\.50\n/,
  )
  const card = exitCardSchema.parse(JSON.parse(stdout))
  expect(card).toMatchObject({
    mode: 'execute',
    status: 'complete',
    totals: { usersProcessed: 2, corrected: '$5.50' },
  })
  expect(stderr).not.toContain('Only "yes"')
  const runs = await keys(bucket, 'runs/')
  expect(runs.filter((key) => !key.includes(card.runId))).toEqual([])
})

test('rights are checked before the question', async () => {
  await database.sql.unsafe(`create role reader_only login password 'secret'`).catch(() => {})
  await database.sql.unsafe('grant select on kilocode_users, credit_transactions to reader_only')
  const url = new URL(database.url)
  url.username = 'reader_only'
  url.password = 'secret'
  const refused = async (...args: string[]) => {
    const { status, stderr } = await run([...args, '--yes'], { DATABASE_URL: url.href })
    expect(status).toBe(1)
    expect(stderr).toContain('lacks a right.')
    expect(stderr).not.toContain('Users matched')
  }
  await refused('--execute')
  // Those of a run that is open too, before it is continued.
  const { runId } = await invoke({ execute: true }, { timeLeft: () => 0 })
  await refused('--execute')
  await refused('--resume', runId)
})

test('dry runs log in where READONLY_DATABASE_URL says, and it is blamed when that is wrong', async () => {
  const nowhere = new URL(database.url)
  nowhere.port = '1'
  expect(await run([], { DATABASE_URL: nowhere.href, READONLY_DATABASE_URL: database.url })).toMatchObject({
    status: 0,
  })
  const other = await run([], { READONLY_DATABASE_URL: nowhere.href })
  expect(other.status).toBe(1)
  expect(other.stderr).toMatch(/The database does not answer.* in READONLY_DATABASE_URL\./)
})

test.each<[string, Record<string, string>, string]>([
  ['only a bucket', { LOG_BUCKET: 'my-logs' }, 'LOG_BUCKET is set, but DATABASE_URL is not.'],
  [
    'only a database for dry runs',
    { READONLY_DATABASE_URL: 'postgres://x/y' },
    'READONLY_DATABASE_URL is set, but DATABASE_URL and LOG_BUCKET are not.',
  ],
  ['an empty database', { DATABASE_URL: '' }, 'DATABASE_URL is set, but empty.'],
  ['an empty secret', { DATABASE_SECRET_ARN: '' }, 'DATABASE_SECRET_ARN is set, but empty.'],
  [
    'an empty database beside a bucket',
    { DATABASE_URL: '', LOG_BUCKET: 'my-logs' },
    'DATABASE_URL is set, but empty.',
  ],
])('%s is refused, and the sandbox is not used instead', async (_, env, message) => {
  const refused = await runHere(['--execute'], { cwd, env })
  expect(refused).toMatchObject({
    status: 1,
    stdout: '',
    stderr: expect.stringContaining(`${message} Nothing was done.`),
  })
  expect(existsSync(join(cwd, '.sandbox'))).toBe(false)
})

test('DATABASE_URL alone: a dry run has its logs in .sandbox/, an execute needs --local-logs', async () => {
  const alone = { LOG_BUCKET: '', AWS_ENDPOINT_URL_S3: '' }
  const dry = await run([], alone)
  expect(dry).toMatchObject({ status: 0, stderr: expect.stringContaining('No LOG_BUCKET') })
  const [, path = ''] = /^ {2}(\.sandbox\/\S+users\S+)$/m.exec(dry.stdout) ?? []
  expect(existsSync(join(cwd, path))).toBe(true)
  expect(existsSync(join(cwd, '.sandbox', 'postgres'))).toBe(false)
  const { port, pathname } = new URL(database.url)
  const bucketOfLedger = new RegExp(
    `^\\.sandbox/s3/logs-of-127-0-0-1-${port}-${pathname.slice(1).replace('_', '-')}-`,
  )
  expect(path).toMatch(bucketOfLedger)
  expect(dry.stdout).toMatch(/npm start -- --execute --plan \S+ --local-logs\n/)

  const before = await dump(database.sql)
  const refused = await run(['--execute', '--yes'], alone)
  expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('or add --local-logs.') })
  expect(refused.stderr.replaceAll(/\s+/g, ' ')).toContain(
    "another person's command on the same database would not see the run",
  )
  expect(await dump(database.sql)).toEqual(before)
  const executed = await run(['--execute', '--plan', 'latest', '--yes', '--local-logs', '--json'], alone)
  expect(exitCardSchema.parse(JSON.parse(executed.stdout))).toMatchObject({ status: 'complete' })
  expect(executed.stderr.replaceAll(/\s+/g, ' ')).toContain('A command that uses another bucket')
  const [, next = ''] = /npm start -- (.*)\n$/.exec((await run(['--status'], alone)).stdout) ?? []
  const preview = await run(next.split(' '), alone)
  const [, rollBack = ''] = /npm start -- (.*)\n$/.exec(preview.stdout) ?? []
  expect(await run([...rollBack.split(' '), '--yes'], alone)).toMatchObject({ status: 0 })
  // From the first run that wrote on, its next steps work as they are printed: without the option.
  expect(await run(['--execute', '--yes'], alone)).toMatchObject({ status: 0 })
  await rm(join(cwd, '.sandbox'), { recursive: true })
})

test('users by e-mail; one who is unknown is refused with what was typed, one who is not internal with the domains', async () => {
  await insertUser(database.sql, { id: 'ann', google_user_email: 'Ann.O@kilo.ai' })
  await insertUser(database.sql, { id: 'zoe', google_user_email: 'zoe@example.com' })
  const dry = await run(['--user-ids', 'ann.o@KILO.ai,bob', '--json'])
  expect(exitCardSchema.parse(JSON.parse(dry.stdout)).totals.usersMatched).toBe(2)
  for (const [option, typed, message] of [
    ['--user-ids', 'nobody@kilo.ai', '--user-ids nobody@kilo.ai names no user'],
    ['--except-user-ids', 'nobody', '--except-user-ids nobody names no user'],
    ['--user-ids', 'zoe@example.com', 'not internal users of kilo.ai, kilocode.ai: zoe'],
  ] as const)
    expect(await run([option, `bob,${typed}`])).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining(message),
    })
})

test('the run records who asked for it: the user of this machine, or the name given, beside the evidence', async () => {
  const recorded = async (...args: string[]) => {
    const { stdout } = await run([...args, '--json'])
    const { runId } = exitCardSchema.parse(JSON.parse(stdout))
    return readJson(bucket, `runs/${runId}/run.json`)
  }
  const { username } = userInfo()
  const evidence = { osUser: username, host: hostname(), awsCaller: 'none (local S3 server)' }
  expect(await recorded('--reason', 'a look')).toMatchObject({
    asked: { by: `${username}@${hostname()}`, via: 'command', evidence, reason: 'a look' },
  })
  expect(await recorded('--by', 'Ada')).toMatchObject({ asked: { by: 'Ada', via: 'command', evidence } })
})

test('a hold keeps an execute from writing until it is released', async () => {
  const before = await dump(database.sql)
  const hold = await run(['--hold', 'a migration', '--by', 'Ada'])
  expect(hold).toMatchObject({ status: 0, stdout: expect.stringContaining('Hold: held\nBy: Ada\n') })
  const held = await run(['--execute', '--yes'])
  expect(held).toMatchObject({ status: 3, stdout: expect.stringContaining('\nheld by Ada') })
  expect(held.stdout).toContain('npm start -- --release ')
  expect(held.stderr).not.toContain('What this would do now')
  expect(await dump(database.sql)).toEqual(before)
  const released = await run(['--release', 'done', '--json'])
  expect(released.status).toBe(0)
  expect(JSON.parse(released.stdout)).toMatchObject({ answer: 'release', result: 'released', reason: 'done' })
  expect(await invoke({ execute: true })).toMatchObject({ status: 'complete' })
})

test('--open hands the report to the program that opens files; without one, it prints where the report is', async () => {
  const { runId } = await invoke({})
  const programs = join(cwd, 'programs')
  await mkdir(programs, { recursive: true })
  const env = { PATH: programs }
  await remove(bucket, `runs/${runId}/report.html`)
  expect(await run(['--open'], env)).toMatchObject({
    status: 1,
    stderr: expect.stringContaining(`Run ${runId} has no report. npm start -- --report ${runId} makes it.`),
  })
  await putText(bucket, `runs/${runId}/report.html`, '<p>the report</p>')
  const without = await run(['--open', runId], env)
  expect(without).toMatchObject({ status: 1, stderr: expect.stringContaining('Open the file in a browser.') })
  expect(await readFile(without.stdout.trim(), 'utf8')).toBe('<p>the report</p>')
  await writeFile(join(programs, 'xdg-open'), '#!/bin/sh\necho "$1" >"$HOME/opened"\n', { mode: 0o755 })
  expect(await run(['--open'], env)).toMatchObject({ status: 0 })
  // The program runs on after the command.
  const openedFile = async () => readFile(join(cwd, 'opened'), 'utf8')
  await expect.poll(openedFile, { timeout: 600_000 }).toBe(without.stdout)
  await rm(without.stdout.trim())
})

test('a misspelt domain: the nearest one', async () => {
  expect((await run(['--domains', 'kilo.al'])).stderr).toContain('Did you mean kilo.ai? Nothing was done.')
})

test('neither the password nor an e-mail address is printed, even with --debug', async () => {
  const url = new URL(database.url)
  url.password = 'hunter2-hunter2'
  url.username = 'ada@example.com'
  const env = { ...ownPlace(database.url, bucket), DATABASE_URL: url.href }
  const { status, stderr } = await start(['--debug'], { cwd, env }).ended
  expect(status).toBe(1)
  expect(stderr).toContain('The database refused the login (SQLSTATE 28P01)')
  expect(stderr).not.toContain('hunter2')
  expect(stderr).not.toContain('ada@example.com')
})

test('a rollback shows what it would restore before it asks, and a resume the figures so far', async () => {
  const before = await dump(database.sql, { updatedAt: false })
  const executed = await invoke({ execute: true })
  expect(await run(['--rollback', executed.runId, '--execute'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('there is no terminal to ask'),
  })
  const rolledBack = await run(['--rollback', 'latest', '--execute', '--yes'])
  expect(rolledBack.status).toBe(0)
  expect(rolledBack.stderr).toMatch(
    /Mode +Rollback: this writes\n(.*\n)+What this would do now\n(.*\n)+ {4}rolled_back +2  .*\n(.*\n)+Free credit restored +\$11\.50\n/,
  )
  expect(rolledBack.stdout).toMatch(/^Rollback \S+\ncomplete: /)
  expect(await dump(database.sql, { updatedAt: false })).toEqual(before)
  const runs = await keys(bucket, 'runs/')
  expect(runs.filter((key) => key.includes('-rollback-dry-run-'))).toEqual([])

  // It has ended: no right is needed to show it.
  const resumed = await run(['--resume', executed.runId, '--yes'])
  expect(resumed.stderr).not.toContain('Rights')
  expect(resumed).toMatchObject({ status: 0, stderr: expect.stringMatching(/So far\nUsers matched +3\n/) })
})

test('with a plan: its age and totals, and what has changed since, counted within it', async () => {
  const dry = await invoke({ userIds: ['ada', 'bob'] })
  const misspelt = await run(['--execute', '--plan', dry.runId.slice(0, -1), '--yes'])
  expect(misspelt.status).toBe(1)
  expect(misspelt.stderr).toContain(dry.runId)
  // Ada has spent more since, and Bob got a grant that the plan does not hold.
  await database.sql`update kilocode_users set microdollars_used = microdollars_used + 1000000 where id = 'ada'`
  await insertTransaction(database.sql, { kilo_user_id: 'bob', created_at: '2026-01-01T00:00:00Z' })
  const done = await run(['--execute', '--plan', dry.runId, '--yes'])
  expect(done.stderr).toMatch(/Plan +\S+-dry-run-\S+\n +\d+ minutes old, by a test, 2 users, \$11\.50\n/)
  expect(done.stderr).toMatch(/Users matched +2\n/)
  expect(done.stderr).toMatch(
    /Changed since the plan, counted within it\n +plan +now\nUsers processed +2 +1\nUsers that exceed the plan +0 +1\n/,
  )
  expect(done.stderr).toMatch(/Free credit +\$11\.50 +\$5\.00\n/)
  expect(done.stdout).toMatch(/Free credit expired +\$5\.00\n/)
})

test('--restart without a run id closes the run that is open; where none is, it is refused', async () => {
  expect(await run(['--execute', '--restart', '--yes'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('no writing run is open.'),
  })
  const open = await invoke({ execute: true, userIds: ['ada'] }, { timeLeft: () => 0 })
  expect(await run(['--execute', '--yes'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining(`Run ${open.runId} is open`),
  })
  const restarted = await run(['--execute', '--restart', '--yes'])
  expect(restarted).toMatchObject({ status: 0, stderr: expect.stringContaining(`--restart ${open.runId}`) })
  expect(await run(['--status', open.runId])).toMatchObject({
    status: 2,
    stdout: expect.stringContaining('\ncancelled by '),
  })
})

test('an execute over an open run says before it writes that it continues that run, with the figures so far', async () => {
  const open = await invoke({ execute: true, reason: 'the first' }, { timeLeft: () => 0 })
  const { status, stdout, stderr } = await run(['--execute', '--reason', 'the second', '--yes'])
  expect(status).toBe(0)
  expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
    `Open run ${open.runId} is continued, with its own reason and settings`,
  )
  expect(stderr).toMatch(/Rights +checked: postgres has all rights that this run needs\n/)
  expect(stderr).toMatch(/Reason +the first\n/)
  expect(stderr).toContain('\nSo far\n')
  expect(stdout).toContain(`Execute ${open.runId}\ncomplete: `)
})

test('--cancel closes an open run, which is what was asked for', async () => {
  const { runId } = await invoke({ execute: true }, { timeLeft: () => 0 })
  expect(await run(['--status'])).toMatchObject({
    status: 3,
    stdout: expect.stringContaining(`npm start -- --resume ${runId}`),
  })
  expect(await run(['--cancel', runId])).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('\ncancelled by '),
  })
})

test('a history of which a run cannot be read is incomplete, in every form', async () => {
  const { runId } = await invoke({ execute: true })
  expect(await run(['--history', 'ada'])).toMatchObject({ status: 0 })
  await remove(bucket, `logs/users/${runId}/00000-0001.jsonl`)
  expect(await run(['--history', 'ada'])).toMatchObject({
    status: 3,
    stdout: expect.stringContaining('at least $0.00 expired. The totals are unknown: 1 run could not be'),
  })
  expect(await run(['--history', 'ada', '--json'])).toMatchObject({ status: 3 })
  const { status, stdout, stderr } = await run(['--history', 'ada', '--csv'])
  expect({ status, total: stdout.includes('total,') }).toEqual({ status: 3, total: false })
  expect(stderr).toContain('The CSV has no total row: 1 run could not be read.')
})

test('in a bucket without runs, what shows the latest one says so', async () => {
  for (const option of [['--csv', 'users', 'latest'], ['--open']])
    expect(await run(option)).toMatchObject({ status: 1, stdout: '', stderr: NO_RUN_YET })
})

test('a refused run has no log: what shows logs says so, and which option to change', async () => {
  const { message } = await failureOf(invoke({ execute: true, limits: { users: 1 } }))
  expect(inCommandWords(message)).toContain(
    'the limit is 1 (LIMIT_USERS, --limit-users). Nothing was written.',
  )
  expect(inCommandWords(message)).toContain('change the command or the configuration if this is intended')
  const [, runId = ''] = /Run (\S+) is refused/.exec(message) ?? []
  for (const option of [
    ['--csv', 'users', runId],
    ['--open', runId],
  ])
    expect(await run(option)).toMatchObject({
      status: 1,
      stdout: '',
      stderr: `Run ${runId} has no whole log: it was refused, and did nothing. npm start -- --status ${runId} shows it.\n`,
    })
})

test('a CSV whose part is missing ends with the reason, and says that it is incomplete', async () => {
  const { runId } = await invoke({ execute: true, batchSize: 1 })
  const key = `logs/users/${runId}/00001-0001.jsonl`
  await remove(bucket, key)
  const { status, stdout, stderr } = await start(['--csv', 'users', runId], {
    cwd,
    env: ownPlace(database.url, bucket),
  }).ended
  expect({ status, lines: stdout.trimEnd().split('\r\n').length }).toEqual({ status: 1, lines: 2 })
  expect(stderr).toMatch(/^The CSV is incomplete: .*\n.*\/00001-0001\.jsonl is missing.*\n$/)
})

test('a resume or a cancellation of a run that was closed before says that nothing was done', async () => {
  const executed = await invoke({ execute: true })
  const dry = await invoke({})
  for (const line of [
    `--resume ${executed.runId} --yes`,
    `--cancel ${executed.runId}`,
    `--resume ${dry.runId}`,
  ]) {
    const { status, stderr } = await run(line.split(' '))
    const [, runId] = line.split(' ')
    expect(status).toBe(0)
    expect(stderr).toContain(`Run ${runId} was already complete (nothing was done).\n`)
    expect(stderr).not.toContain('another invocation')
  }
  const open = await invoke({ execute: true, userIds: ['eve'] }, { timeLeft: () => 0 })
  expect((await run(['--cancel', open.runId])).stderr).not.toContain('already')
  const again = await run(['--resume', open.runId, '--yes'])
  expect(again).toMatchObject({
    status: 2,
    stderr: expect.stringContaining(`Run ${open.runId} was already cancelled (nothing was done).`),
  })
})

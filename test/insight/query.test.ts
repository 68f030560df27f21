import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { answerQuery } from '../../bin/query.ts'
import { formatRows } from '../../bin/query-rows.ts'
import { LOG_TABLES } from '../../infra/logs/log-tables.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { freshBucket, readLines, type TestBucket } from '../support/bucket.ts'
import { download } from '../support/download.ts'
import { invokeJob } from '../support/job.ts'
import { freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { startMisbehavingS3 } from '../support/servers/misbehaving-s3.ts'
import { ownPlace, start } from '../cli/start.ts'

/** A dry run, an execute and its rollback, downloaded. */

const folder = await mkdtemp(join(tmpdir(), 'credit-expiry-query-'))
const { url, sql, drop } = await freshDatabase()
let bucket: TestBucket
let executed: ExitCard
let rolledBack: ExitCard

beforeAll(async () => {
  await insertUser(sql, { id: 'ada', total_microdollars_acquired: 10_000_000, microdollars_used: 4_000_000 })
  await insertTransaction(sql, { kilo_user_id: 'ada' })
  bucket = await freshBucket()
  const place = { databaseUrl: url, bucket }
  await invokeJob(place, {})
  executed = await invokeJob(place, { execute: true, reason: 'weekly clean-up' })
  rolledBack = await invokeJob(place, { rollback: executed.runId, execute: true })
  await download(bucket, folder, ['logs/'])
})

afterAll(async () => {
  await drop()
  await rm(folder, { recursive: true, force: true })
})

test('a saved query answers from the folder, real runs only, unless dry runs are asked for', async () => {
  const real = await answerQuery(['--json', folder, 'what happened to one user', 'ada'])
  expect(JSON.parse(real.out)).toMatchObject([
    { run_id: rolledBack.runId, mode: 'rollback', outcome: 'rolled_back', expired_usd: -6 },
    { run_id: executed.runId, mode: 'execute', outcome: 'expired', expired_usd: 6 },
  ])
  const all = await answerQuery([
    '--json',
    join(folder, 'logs'),
    'what happened to one user, dry runs too',
    'ada',
  ])
  expect(JSON.parse(all.out)).toHaveLength(3)
})

test('the table of runs says who, why, what it came to, and what rolled it back', async () => {
  const { out } = await answerQuery([folder, 'all runs', '--json'])
  expect(JSON.parse(out)).toMatchObject([
    { run_id: rolledBack.runId, rolls_back: executed.runId },
    {
      run_id: executed.runId,
      asked_by: 'a test',
      reason: 'weekly clean-up',
      status: 'complete',
      expired_usd: 6,
      rolled_back_by: [rolledBack.runId],
    },
  ])
})

test('the columns of the table of runs are the keys of its lines', async () => {
  const lines = await readLines(bucket, `logs/runs/${executed.runId}.jsonl`)
  const table = LOG_TABLES.find(({ folder: name }) => name === 'runs')
  expect(Object.keys(lines[0] as object).toSorted()).toEqual(Object.keys(table?.columns ?? {}).toSorted())
})

test('SQL is taken as it is; nested values are readable, and plain in JSON', async () => {
  const question = `SELECT user_id, credits FROM users WHERE run_id = '${executed.runId}'`
  const { out } = await answerQuery([folder, question])
  expect(out).toContain('user_id  ada\n')
  expect(out).toMatch(/\n {4}id: [\w-]+, credit_category: automatic-welcome-credits, /)
  expect(out).toContain('amount_microdollars: 10000000')
  const json: unknown = JSON.parse((await answerQuery([folder, question, '--json'])).out)
  expect(json).toMatchObject([{ user_id: 'ada', credits: [{ expired_microdollars: 6_000_000 }] }])
})

test('a CSV answer keeps numbers as numbers and texts as texts', () => {
  expect(formatRows([{ name: '=1+1', usd: -6, list: ['a'] }], 'csv')).toBe(
    `name,usd,list\r\n'=1+1,-6,"[""a""]"\r\n`,
  )
})

test('a misspelt saved query is answered with the nearest name', async () => {
  const { error, exitCode } = await answerQuery([folder, 'all corections'])
  expect(error).toContain('No saved query "all corections". Did you mean "all corrections"?')
  expect(exitCode).toBe(1)
})

test('a missing value, an empty answer and a folder without logs are reported', async () => {
  expect((await answerQuery([folder, 'what happened to one user'])).error).toContain('needs 1 value after it')
  const empty = await answerQuery([folder, 'what happened to one user', 'zoe'])
  expect(empty).toEqual({ out: '', error: 'No rows: nothing in these logs matches.', exitCode: 0 })
  const address = await answerQuery([folder, 'what happened to one user', 'zoe@kilo.ai'])
  expect(address.error).toContain('Logs name users by id: npm start -- --history zoe@kilo.ai shows it.')
  expect((await answerQuery([tmpdir(), 'all runs'])).error).toContain('No logs in')
  expect((await answerQuery([folder, 'SELECT nothing FROM nowhere'])).error).toContain('nowhere')
  expect((await answerQuery([folder])).error).toContain('"all runs": ')
})

describe('without a folder', () => {
  const QUERY = fileURLToPath(new URL('../../bin/query.ts', import.meta.url))
  let cwd: string
  beforeAll(async () => {
    // A sandbox with logs of its own, which must not pass for the bucket's.
    cwd = await mkdtemp(join(tmpdir(), 'credit-expiry-query-'))
    const sandbox = join(cwd, '.sandbox/s3/credit-expiry-logs/logs/runs')
    await mkdir(sandbox, { recursive: true })
    await writeFile(join(sandbox, 'one.jsonl'), '{"run_id":"of-the-sandbox","mode":"execute"}\n')
    await mkdir(join(cwd, 'tmp'))
  })
  afterAll(async () => rm(cwd, { recursive: true }))

  const ask = async (question: string[], env: Record<string, string>) =>
    start(question, { cwd, program: QUERY, env: { TMPDIR: join(cwd, 'tmp'), ...env } }).ended

  test('the bucket that LOG_BUCKET names is read, named, and not kept on this machine', async () => {
    const { status, stdout, stderr } = await ask(['all runs', '--json'], ownPlace(url, bucket))
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: `Reading the logs of the bucket ${bucket.bucket} (LOG_BUCKET).\n`,
    })
    expect(JSON.parse(stdout)).toMatchObject([{ run_id: rolledBack.runId }, { run_id: executed.runId }])
    expect(await readdir(join(cwd, 'tmp'))).toEqual([])
  })

  test('LOG_BUCKET in .env counts, as it does for npm start; without it, the sandbox is read', async () => {
    const { LOG_BUCKET = '', ...env } = ownPlace(url, bucket)
    expect((await ask(['all runs'], env)).stdout).toContain('of-the-sandbox')
    await writeFile(join(cwd, '.env'), `LOG_BUCKET=${LOG_BUCKET}\n`)
    const { stdout } = await ask(['all runs'], env)
    expect(stdout).toContain(executed.runId)
    expect(stdout).not.toContain('of-the-sandbox')
    await rm(join(cwd, '.env'))
  })

  test('a Ctrl-C during the download ends it at once, and keeps nothing on this machine', async () => {
    const asked = Promise.withResolvers<void>()
    const silent = await startMisbehavingS3(bucket.endpoint)
    silent.behave(({ path }) => {
      if (!path.includes('/logs/')) return 'pass'
      asked.resolve()
      return 'silent'
    })
    const env = { TMPDIR: join(cwd, 'tmp'), ...ownPlace(url, { ...bucket, endpoint: silent.endpoint }) }
    const { child, ended } = start(['all runs'], { cwd, program: QUERY, env })
    await asked.promise
    expect(await readdir(join(cwd, 'tmp'))).toHaveLength(1)
    child.kill('SIGINT')
    expect(await ended).toMatchObject({ status: null, stdout: '' })
    expect(child.signalCode).toBe('SIGINT')
    expect(await readdir(join(cwd, 'tmp'))).toEqual([])
    await silent.stop()
  })

  test('a bucket without logs, or none of this name, is an error that says what to check', async () => {
    const empty = await freshBucket()
    expect(await ask(['all runs'], ownPlace(url, empty))).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining(`No logs in the bucket ${empty.bucket}`) as string,
    })
    const absent = await ask(['all runs'], { ...ownPlace(url, bucket), LOG_BUCKET: 'no-such-bucket' })
    expect(absent).toMatchObject({ status: 1, stdout: '' })
    expect(absent.stderr).toContain('in the bucket no-such-bucket: the bucket does not exist')
    expect(absent.stderr).toContain('Check LOG_BUCKET')
    expect(await readdir(join(cwd, 'tmp'))).toEqual([])
  })
})

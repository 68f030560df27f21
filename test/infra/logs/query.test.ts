import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { queryLogs } from '../../../bin/query.ts'
import type { Row } from '../../../bin/query-rows.ts'
import { LOG_TABLES } from '../../../infra/logs/log-tables.ts'
import { SAVED_QUERIES } from '../../../infra/logs/saved-queries.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { freshBucket, keys, readLines, readText, type TestBucket } from '../../support/bucket.ts'
import { invokeJob } from '../../support/job.ts'
import { freshDatabase, insertTransaction, insertUser } from '../../support/ledger.ts'
import { resourcesOf, templateWith } from '../synthesized.ts'

/**
 * The tables and saved queries of Athena over the real logs of a dry run, an execute and a rollback, in
 * DuckDB.
 */

const QUERY = fileURLToPath(new URL('../../../bin/query.ts', import.meta.url))
const folder = await mkdtemp(join(tmpdir(), 'credit-expiry-logs-'))
const { url, sql, drop } = await freshDatabase()
let bucket: TestBucket
let executed: ExitCard
let rolledBack: ExitCard

beforeAll(async () => {
  await insertUser(sql, {
    id: 'ada',
    total_microdollars_acquired: 10_000_000,
    microdollars_used: 4_000_000,
    auto_top_up_enabled: true,
  })
  await insertUser(sql, { id: 'bob', total_microdollars_acquired: 0 })
  await insertUser(sql, { id: 'cid', total_microdollars_acquired: 10_000_000 })
  await insertUser(sql, { id: 'dan', total_microdollars_acquired: 10_000_000 })
  for (const kilo_user_id of ['ada', 'bob', 'cid', 'dan']) await insertTransaction(sql, { kilo_user_id })
  await sql.unsafe(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poison' USING ERRCODE = '22000'; END $$;
    CREATE TRIGGER poison BEFORE UPDATE ON kilocode_users FOR EACH ROW WHEN (OLD.id = 'dan') EXECUTE FUNCTION refuse()`)
  bucket = await freshBucket()
  const place = { databaseUrl: url, bucket }
  await invokeJob(place, {})
  executed = await invokeJob(place, { execute: true })
  await sql`UPDATE credit_transactions SET expiry_date = now() WHERE kilo_user_id = 'cid' AND is_free AND amount_microdollars > 0`
  rolledBack = await invokeJob(place, { rollback: executed.runId, execute: true })
  for (const key of await keys(bucket, 'logs/')) {
    const file = join(folder, key.replace('logs/', ''))
    await mkdir(join(file, '..'), { recursive: true })
    await writeFile(file, await readText(bucket, key))
  }
})

afterAll(async () => {
  await drop()
  await rm(folder, { recursive: true, force: true })
})

async function ask(name: string, ...values: string[]): Promise<Row[]> {
  const saved = SAVED_QUERIES.find((query) => query.name === name)
  if (!saved) throw new Error(`There is no saved query "${name}".`)
  return queryLogs(folder, saved.sql, values)
}

/**
 * Only lines of users who were recovered after a crash, exceed a plan, need a review or are excluded have
 * these.
 */
const NOT_HERE: Readonly<Record<string, readonly string[]>> = {
  users: ['recovered', 'exceeds', 'review', 'excluded'],
}

async function linesOf(kind: string): Promise<Record<string, unknown>[]> {
  const parts = (await keys(bucket, `logs/${kind}/`)).map(async (key) => readLines(bucket, key))
  return (await Promise.all(parts)).flat() as Record<string, unknown>[]
}

test.for(LOG_TABLES)(
  'the columns of $folder are the keys of its lines',
  async ({ folder: kind, columns }) => {
    const inLogs = new Set((await linesOf(kind)).flatMap(Object.keys))
    expect([...inLogs, ...(NOT_HERE[kind] ?? [])].toSorted()).toEqual(Object.keys(columns).toSorted())
  },
)

test('the fields of credits are the keys of its objects', async () => {
  const inLogs = (await linesOf('users')).flatMap(({ credits }) => (credits as object[]).flatMap(Object.keys))
  const type = LOG_TABLES[0]?.columns['credits'] ?? ''
  expect(new Set(inLogs)).toEqual(new Set([...type.matchAll(/(\w+):/g)].map(([, name]) => name)))
})

test('all runs: dry runs left out, and what rolled back what', async () => {
  const alone = await mkdtemp(join(tmpdir(), 'credit-expiry-logs-'))
  await mkdir(join(alone, 'runs'))
  const lines = [
    { run_id: '2026-01-01', mode: 'dry-run', status: 'complete' },
    {
      run_id: '2026-01-02',
      mode: 'execute',
      status: 'complete',
      expired_microdollars: 5_000_000,
      asked_by: 'ada',
    },
    {
      run_id: '2026-01-03',
      mode: 'rollback',
      status: 'complete',
      rolls_back: '2026-01-02',
      users_processed: 2,
    },
    { run_id: '2026-01-04', mode: 'rollback-dry-run', status: 'complete', rolls_back: '2026-01-02' },
    // It found that all users were rolled back already.
    {
      run_id: '2026-01-05',
      mode: 'rollback',
      status: 'complete',
      rolls_back: '2026-01-02',
      users_processed: 0,
    },
  ]
  for (const line of lines)
    await writeFile(join(alone, 'runs', `${line.run_id}.jsonl`), `${JSON.stringify(line)}\n`)
  const saved = SAVED_QUERIES.find(({ name }) => name === 'all runs')
  const rows = await queryLogs(alone, saved?.sql ?? '')
  expect(rows).toMatchObject([
    { run_id: '2026-01-05', rolls_back: '2026-01-02', rolled_back_by: null },
    { run_id: '2026-01-03', rolls_back: '2026-01-02', rolled_back_by: null },
    { run_id: '2026-01-02', asked_by: 'ada', expired_usd: 5, rolled_back_by: ['2026-01-03'] },
  ])
  await rm(alone, { recursive: true })
})

test('parts of one log in a folder of the run are read as one', async () => {
  const alone = await mkdtemp(join(tmpdir(), 'credit-expiry-logs-'))
  await mkdir(join(alone, 'users', 'run-1'), { recursive: true })
  for (const part of ['00000-0001', '00001-0001'])
    await writeFile(join(alone, 'users', 'run-1', `${part}.jsonl`), '{"run_id":"run-1","user_id":"ada"}\n')
  expect(await queryLogs(alone, 'SELECT count(*) AS users FROM users')).toEqual([{ users: 2 }])
  await rm(alone, { recursive: true })
})

test('the deployed tables and queries are these', () => {
  const template = templateWith()
  const tables = resourcesOf(template, 'AWS::Glue::Table').map(
    ([, { Properties }]) => Properties['TableInput'],
  )
  for (const { folder: name, columns } of LOG_TABLES) {
    expect(tables).toContainEqual(
      expect.objectContaining({
        Name: name,
        StorageDescriptor: expect.objectContaining({
          Columns: Object.entries(columns).map(([Name, Type]) => ({ Name, Type })),
          Location: {
            'Fn::Join': [
              '',
              ['s3://', { Ref: expect.stringContaining('LogBucket') as string }, `/logs/${name}/`],
            ],
          },
        }) as object,
      }),
    )
  }
  const queries = resourcesOf(template, 'AWS::Athena::NamedQuery').map(
    ([, { Properties }]) => Properties['QueryString'],
  )
  expect(new Set(queries)).toEqual(new Set(SAVED_QUERIES.map((query) => query.sql.trim())))
})

test('what happened to one user: over all runs but dry runs, newest first; dry runs on request', async () => {
  const history = await ask('what happened to one user', 'ada')
  expect(history.map(({ mode, outcome, expired_usd }) => [mode, outcome, expired_usd])).toEqual([
    ['rollback', 'rolled_back', -6],
    ['execute', 'expired', 6],
  ])
  expect(history[1]).toMatchObject({
    run_id: executed.runId,
    balance_before_usd: 6,
    final_balance_usd: 0,
    flags: ['auto_top_up_risk'],
  })
  const all = await ask('what happened to one user, dry runs too', 'ada')
  expect(all.map(({ mode }) => mode)).toEqual(['rollback', 'execute', 'dry-run'])
})

test('every row changed for one user: with the values before and after as JSON', async () => {
  const rows = await ask('every row changed for one user', 'ada')
  const inserted = rows.find(
    ({ run_id, type }) => run_id === executed.runId && type === 'credits_expired_insert',
  )
  expect(inserted?.['before']).toBeNull()
  expect(JSON.parse(String(inserted?.['after']))).toMatchObject({
    amount_microdollars: -6_000_000,
    kilo_user_id: 'ada',
  })
  const update = rows.find(({ run_id, type }) => run_id === executed.runId && type === 'user_update')
  expect(JSON.parse(String(update?.['before']))).toMatchObject({ total_microdollars_acquired: 10_000_000 })
})

test('expired by credit category: what each run expired of each', async () => {
  const rows = await ask('expired by credit category')
  const execute = rows.find(({ run_id }) => run_id === executed.runId)
  expect(executed.byCategory.length).toBeGreaterThan(0)
  expect(JSON.stringify(execute?.['by_category'])).toContain(executed.byCategory[0]?.category)
  expect(rows.map(({ run_id }) => run_id)).toContain(rolledBack.runId)
})

test('users with most expired credit: in order', async () => {
  const rows = await ask('users with most expired credit', executed.runId)
  expect(rows.map(({ user_id, expired_usd }) => [user_id, expired_usd])).toEqual([
    ['bob', 10],
    ['cid', 10],
    ['ada', 6],
  ])
})

test('all corrections, and those that were rolled back', async () => {
  const rows = await ask('all corrections')
  expect(rows.map(({ run_id, user_id, correction_usd }) => [run_id, user_id, correction_usd])).toEqual([
    [rolledBack.runId, 'bob', -10],
    [executed.runId, 'bob', 10],
  ])
})

test('runs in dollars: the sums of the exit cards', async () => {
  const rows = await ask('runs in dollars')
  expect(rows).toHaveLength(2)
  const row = rows.find(({ run_id }) => run_id === executed.runId)
  expect(row).toMatchObject({
    expired_usd: executed.totals.expiredMicrodollars / 1e6,
    corrected_usd: executed.totals.correctedMicrodollars / 1e6,
    failed: 1,
  })
})

test('why users failed', async () => {
  expect(await ask('why users failed', executed.runId)).toMatchObject([
    { sqlstate: '22000', users: 1, example: 'dan' },
  ])
})

test('a log that was downloaded alone can be queried too', async () => {
  const alone = await mkdtemp(join(tmpdir(), 'credit-expiry-logs-'))
  await mkdir(join(alone, 'users'))
  await writeFile(
    join(alone, 'users', 'one.jsonl'),
    await readText(bucket, `logs/users/${executed.runId}/00000-0001.jsonl`),
  )
  expect(
    await queryLogs(alone, 'SELECT count(*) AS users, (SELECT count(*) FROM errors) AS errors FROM users'),
  ).toEqual([{ users: 4, errors: 0 }])
  await rm(alone, { recursive: true })
})

test('the command runs a saved query by its name, and says what is wrong with a folder or with SQL', async () => {
  // Also beside a sandbox that has logs: a folder that is not there is no question about those.
  const cwd = await mkdtemp(join(tmpdir(), 'credit-expiry-query-'))
  await mkdir(join(cwd, '.sandbox/s3/credit-expiry-logs'), { recursive: true })
  await symlink(folder, join(cwd, '.sandbox/s3/credit-expiry-logs/logs'))
  const command = (...given: string[]) =>
    spawnSync(process.execPath, [QUERY, ...given], { cwd, encoding: 'utf8' })
  expect(command(folder, 'what happened to one user', 'ada')).toMatchObject({
    status: 0,
    stderr: '',
    stdout: expect.stringContaining(executed.runId) as string,
  })
  expect(command(join(folder, 'nowhere'), 'all corrections')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining(`No logs in ${join(folder, 'nowhere')}`) as string,
  })
  const wrong = command(folder, 'SELECT nothing FROM users')
  expect(wrong).toMatchObject({ status: 1, stderr: expect.stringContaining('"nothing" not found') as string })
  expect(wrong.stderr).not.toContain('    at ')
  expect(command('all runs')).toMatchObject({ status: 0, stderr: '' })
  await rm(cwd, { recursive: true })
})

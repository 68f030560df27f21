import { createHash } from 'node:crypto'
import { keys, readJson, readLines, readText, type TestBucket } from '../support/bucket.ts'
import { dump } from '../support/ledger.ts'
import type { Trial } from './trial.ts'

type Json = Record<string, unknown>

/**
 * All that two runs of the same scenario must agree on, whatever happened to them on the way: the database, the
 * whole logs, the totals, and that nothing is left open. Without what must differ: the run's instant and id, the ids of
 * inserted rows, attempts, and the mark of recovered lines.
 */
export async function essence(trial: Trial): Promise<Json> {
  const { database, bucket, runId, card } = trial
  const neutral = await neutralizer(bucket)
  const log = async (kind: string) => (await readLines(bucket, `logs/${kind}/${runId}.jsonl`)) as Json[]
  const state = await dump(database.sql, { updatedAt: false })
  return {
    users: state.users,
    transactions: sorted(state.transactions.map((row) => neutral(withoutOwnId(row)))),
    userLines: sorted((await log('users')).map((line) => neutral({ ...line, recovered: undefined }))),
    mutations: sorted((await log('mutations')).map((line) => neutral(withoutNames(line)))),
    errors: sorted(
      (await log('errors')).map(({ user_id, stage, error, sqlstate }) => ({
        user_id,
        stage,
        error,
        sqlstate,
      })),
    ),
    status: card.status,
    totals: card.totals,
    ...(await leftOpen(trial)),
  }
}

/** Replaces the names of all runs of the bucket, and the ids of rows that they inserted: UUIDs of version 5. */
async function neutralizer(bucket: TestBucket): Promise<(value: Json) => Json> {
  const files = (await keys(bucket, 'runs/')).filter((key) => key.endsWith('/run.json'))
  const runs = (await Promise.all(files.map((key) => readJson(bucket, key)))) as {
    runId: string
    instant: string
  }[]
  const steps = runs.map(({ runId, instant }) => neutralize(instant, runId))
  return (value) => {
    const named = JSON.stringify(value).replace(
      /[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g,
      'INSERTED',
    )
    return steps.reduce((json, step) => step(json), JSON.parse(named) as Json)
  }
}

/** Replaces the instant, however it is written, and the run's id. */
function neutralize(instant: string, runId: string): (value: Json) => Json {
  const [seconds = '', millis = ''] = instant.replace('Z', '').split('.')
  const database = `${seconds.replace('T', ' ')}.${millis}`.replace(/\.?0+$/, '')
  return (value) =>
    JSON.parse(
      JSON.stringify(value)
        .replaceAll(`${instant.replace('Z', '')}000Z`, 'INSTANT')
        .replaceAll(`${database}+00`, 'INSTANT')
        .replaceAll(runId, 'RUN'),
    ) as Json
}

function withoutOwnId(row: Json): Json {
  const inserted =
    row.credit_category === 'credits_expired' || row.credit_category === 'accounting_adjustment'
  return inserted ? { ...row, id: 'INSERTED' } : row
}

/** What is undefined is not there any more once it is neutral. */
function withoutNames({ row_id, after, ...line }: Json): Json {
  const inserted = String(line.type).endsWith('_insert')
  return {
    ...line,
    attempt: undefined,
    row_id: inserted ? 'INSERTED' : row_id,
    after: inserted ? { ...(after as Json), id: 'INSERTED' } : after,
  }
}

async function leftOpen({ bucket, runId }: Trial): Promise<Json> {
  const cursor = (await readJson(bucket, `state/${runId}/cursor.json`)) as {
    lease: unknown
    finished: { from: number; to: number }[]
  }
  const writer = (await readJson(bucket, 'control/writer.json')) as { runId: unknown }
  const manifest = (await readJson(bucket, `runs/${runId}/manifest.json`)) as {
    files: { key: string; sha256: string }[]
  }
  const wrongHashes: string[] = []
  for (const { key, sha256 } of manifest.files) {
    const text = await readText(bucket, key)
    if (createHash('sha256').update(text).digest('hex') !== sha256) wrongHashes.push(key)
  }
  const runs = (await keys(bucket, 'logs/users/')).length
  return {
    lease: cursor.lease,
    pages: cursor.finished.reduce((sum, { from, to }) => sum + to - from + 1, 0),
    openRun: writer.runId,
    files: manifest.files.map(({ key }) => key.replaceAll(runId, 'RUN')),
    wrongHashes,
    closedRuns: runs,
  }
}

/** By content: a line that was read back from an intent has its fields in another order. */
function sorted(rows: Json[]): Json[] {
  const content = (row: Json) => JSON.stringify(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1)))
  return rows.toSorted((a, b) => (content(a) < content(b) ? -1 : 1))
}

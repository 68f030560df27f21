import { createHash } from 'node:crypto'
import type { Sql } from 'postgres'
import { LOG_KINDS, logFolder, partKey, runFileKey } from '../../lambda/archive/keys.ts'
import { keys, readJson, readLines, readText, type TestBucket } from './bucket.ts'
import { dump } from './ledger.ts'
import { type LogLine, readDocument, readLogs, readStoredCursor } from './logs.ts'

/**
 * All that two runs of the same payload on the same ledger must agree on, whatever happened to them on the
 * way: both tables, the logs line by line, the totals, and that nothing is left open. Instants, run ids, ids
 * of inserted rows, attempts and the mark of recovered lines are replaced by names that do not differ.
 */
export async function essenceOf(sql: Sql, bucket: TestBucket, runId: string) {
  const neutral = await neutralizer(bucket, runId)
  const { users, transactions } = await dump(sql, { updatedAt: false })
  const logs = await readLogs(bucket, runId)
  const summary = await readDocument(bucket, runFileKey(runId, 'summary.json'))
  return {
    users: users.map(neutral),
    transactions: sorted(transactions.map(neutral)),
    logs: {
      users: logs.users.map(({ recovered: _recovered, ...line }) => neutral(withSortedInputs(line))),
      mutations: sorted(logs.mutations.map(neutral)),
      errors: logs.errors.map(({ failed_at: _failedAt, attempts: _attempts, message: _message, ...line }) =>
        neutral(line),
      ),
    },
    totals: summary.totals,
    status: summary.status,
    left: neutral(await leftOf(bucket, runId)),
  }
}

/** Replaces what differs between two runs of the same payload. */
async function neutralizer(bucket: TestBucket, runId: string): Promise<(value: LogLine) => LogLine> {
  const ids = (await keys(bucket, 'runs/'))
    .filter((key) => key.endsWith('/cursor.json'))
    .map((key) => key.split('/')[1] ?? '')
  const replacements: [string, string][] = []
  const names = new Map<string, string>()
  for (const id of ids) {
    const name = id === runId ? 'RUN' : 'EARLIER RUN'
    const { instant } = await readStoredCursor(bucket, id)
    replacements.push(
      [id, name],
      ...timesOf(instant).map((text): [string, string] => [text, `INSTANT OF ${name}`]),
    )
    for (const line of (await readLogs(bucket, id)).mutations)
      if (String(line.type).endsWith('_insert')) names.set(String(line.row_id), nameOf(line, name))
  }
  return (value) => {
    const json = JSON.stringify(value)
      .replace(/"\d{5}-\d{4}-\d{3}"/g, '"ATTEMPT"')
      .replace(UUID_5, (id) => names.get(id) ?? id)
      // Where there are closing rows, it covers their ids, which may be those of an earlier run.
      .replace(/("closings_count":[1-9]\d*,"closings_sha256":)"\w+"/g, '$1"HASH"')
    return JSON.parse(replacements.reduce((text, [from, to]) => text.replaceAll(from, to), json)) as LogLine
  }
}

const UUID_5 = /[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g

/** An instant as the documents, the log lines and PostgreSQL write it. */
function timesOf(instant: string): string[] {
  const [seconds = '', millis = ''] = instant.replace('Z', '').split('.')
  const database = `${seconds.replace('T', ' ')}.${millis}`.replace(/\.?0+$/, '')
  return [`${instant.replace('Z', '')}000Z`, instant, `${database}+00`]
}

function nameOf({ type, user_id, after }: LogLine, run: string): string {
  const { original_transaction_id: link } = (after ?? {}) as { original_transaction_id?: string | null }
  return `${String(type)} of ${String(user_id)} for ${link ?? 'nothing'} by ${run}`
}

/**
 * Rows are read in the order of their ids, and those of inserted rows differ. Inputs are packed: version,
 * user, rows, …
 */
function withSortedInputs(line: LogLine): LogLine {
  if (!Array.isArray(line.inputs)) return line
  const [version, user, rows, ...rest] = line.inputs as [unknown, unknown, unknown[][], ...unknown[]]
  // Without the id, which is the first value of a row.
  const content = ([, ...values]: unknown[]) => JSON.stringify(values)
  return {
    ...line,
    inputs: [version, user, rows.toSorted((a, b) => (content(a) < content(b) ? -1 : 1)), ...rest],
  }
}

function sorted<T>(rows: readonly T[]): T[] {
  const content = new Map(rows.map((row) => [row, JSON.stringify(row)]))
  return rows.toSorted((a, b) => ((content.get(a) ?? '') < (content.get(b) ?? '') ? -1 : 1))
}

/**
 * What a run leaves behind beside its lines: nothing open, and every file as the manifest and the cursor say.
 */
async function leftOf(bucket: TestBucket, runId: string): Promise<LogLine> {
  const { lease, state, finalStatus, pages, usersDone } = await readStoredCursor(bucket, runId)
  const writer = await readDocument(bucket, 'control/writer.json')
  const { files } = (await readJson(bucket, runFileKey(runId, 'manifest.json'))) as { files: ManifestFile[] }
  return {
    lease,
    state,
    finalStatus: finalStatus?.status,
    usersDone,
    pages: pages.map(({ page }) => page),
    openRun: writer.runId,
    lastClosed: (writer.lastClosed as { runId: string } | null)?.runId,
    wrongFiles: await wrongFilesOf(bucket, files),
    strayLines: await strayLinesOf(bucket, runId),
    runLines: (await readLines(bucket, `logs/runs/${runId}.jsonl`)).length,
    runs: (await keys(bucket, 'logs/runs/')).length,
  }
}

type ManifestFile = { readonly key: string; readonly bytes: number; readonly sha256: string }

/** The files of a manifest that do not have its size and hash. */
export async function wrongFilesOf(bucket: TestBucket, files: readonly ManifestFile[]): Promise<string[]> {
  const wrong: string[] = []
  for (const { key, bytes, sha256 } of files) {
    const text = await readText(bucket, key)
    const found = createHash('sha256').update(text).digest('hex')
    if (found !== sha256 || Buffer.byteLength(text) !== bytes) wrong.push(key)
  }
  return wrong
}

/**
 * The files of a run's log folders that have lines and are not named by its cursor: a reader of the folder
 * sees them.
 */
export async function strayLinesOf(bucket: TestBucket, runId: string): Promise<string[]> {
  const { pages } = await readStoredCursor(bucket, runId)
  const stray: string[] = []
  for (const kind of LOG_KINDS) {
    const named = new Set(
      pages.flatMap((page) => (page[kind] ? [partKey(runId, kind, page.page, page.epoch)] : [])),
    )
    for (const key of await keys(bucket, logFolder(runId, kind)))
      if (!named.has(key) && (await readText(bucket, key)) !== '') stray.push(key)
  }
  return stray
}

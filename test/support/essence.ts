import type { Sql } from 'postgres'
import type { TestBucket } from './bucket.ts'
import { dump } from './ledger.ts'
import { readDocument, readLogs, type LogLine } from './logs.ts'

/**
 * What two runs of the same instant must agree on, however they came about: both tables, the logs line by line,
 * and the totals. Ids of inserted rows, attempts and the run's id are replaced by names that do not differ.
 */
export async function essenceOf(sql: Sql, bucket: TestBucket, runId: string): Promise<unknown> {
  const logs = await readLogs(bucket, runId)
  const names = new Map(
    logs.mutations
      .filter(({ type }) => String(type).endsWith('_insert'))
      .map((line) => [String(line.row_id), nameOf(line)]),
  )
  const neutral = (value: unknown): unknown =>
    JSON.parse(
      JSON.stringify(value)
        .replaceAll(runId, 'RUN')
        .replace(/"\d{5}-\d{4}-\d{3}"/g, '"ATTEMPT"')
        .replace(
          /[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g,
          (id) => names.get(id) ?? id,
        ),
    )
  const { users, transactions } = await dump(sql, { updatedAt: false })
  const summary = await readDocument(bucket, `runs/${runId}/summary.json`)
  return {
    users,
    transactions: transactions.map((row) => JSON.stringify(neutral(row))).toSorted(),
    logs: neutral({ ...logs, errors: logs.errors.map((line) => ({ ...line, failed_at: '' })) }),
    totals: summary.totals,
    status: summary.status,
  }
}

function nameOf({ type, user_id, after }: LogLine): string {
  return `${String(type)} of ${String(user_id)} ${JSON.stringify((after as LogLine | null)?.original_transaction_id)}`.replaceAll(
    '"',
    '',
  )
}

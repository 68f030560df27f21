import { CommitUncertain, explain, failureOf } from './errors.ts'
import type { Sql, Transaction } from './connect.ts'

/**
 * The longest that a statement and a pause between statements may last, in milliseconds. Together they bound how
 * long a transaction outlives its process, and so how far a lease reaches beyond its invocation.
 */
export const STATEMENT_TIMEOUT_MS = 15_000
export const IDLE_TIMEOUT_MS = 10_000
export const LONGEST_ORPHAN_MS = STATEMENT_TIMEOUT_MS + IDLE_TIMEOUT_MS

/**
 * Runs `work` in a READ ONLY transaction with one snapshot for all its statements: PostgreSQL itself refuses a write.
 * @throws LedgerUnavailable when the connection is lost or the server refuses
 */
export async function readTransaction<T>(sql: Sql, work: (tx: Transaction) => Promise<T>): Promise<T> {
  try {
    const { result } = await sql.begin('isolation level repeatable read read only', async (tx) => {
      const [, value] = await Promise.all([setForReading(tx), work(tx)])
      return { result: () => value }
    })
    return result()
  } catch (error) {
    throw explain(error)
  }
}

/**
 * Runs `work` in a READ COMMITTED transaction with the job's timeouts. COMMIT goes out once `work` has resolved.
 * @throws CommitUncertain when COMMIT went out and no answer came back; anything else that is thrown was rolled back
 */
export async function writeTransaction<T>(sql: Sql, work: (tx: Transaction) => Promise<T>): Promise<T> {
  let commitMayBeOut = false
  try {
    const { result } = await sql.begin('isolation level read committed read write', async (tx) => {
      const [, value] = await Promise.all([setForWriting(tx), work(tx)])
      commitMayBeOut = true
      return { result: () => value }
    })
    return result()
  } catch (error) {
    if (commitMayBeOut && failureOf(error) === 'lost') {
      throw new CommitUncertain('The connection was lost while the commit was under way.', { cause: error })
    }
    throw error
  }
}

/**
 * What times look like as text depends on both settings; SET LOCAL, so that a pooled connection keeps nothing of it.
 * Sent at once, without waiting for the reply: the statements that follow queue up behind it.
 */
function setForReading(tx: Transaction) {
  return tx`select set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true)`.execute()
}

/**
 * The timeouts are those of STATEMENT_TIMEOUT_MS and IDLE_TIMEOUT_MS, as literals: parameters would cost a round
 * trip. The lock timeout lies below PostgreSQL's deadlock_timeout of a second, so that in a deadlock this job
 * yields and never the application.
 */
function setForWriting(tx: Transaction) {
  return tx`
    select
      set_config('TimeZone', 'UTC', true),
      set_config('DateStyle', 'ISO, YMD', true),
      set_config('statement_timeout', '15s', true),
      set_config('idle_in_transaction_session_timeout', '10s', true),
      set_config('lock_timeout', '400ms', true)
  `.execute()
}

import { CommitUncertain, explain, isConnectionError, isServersAnswer } from './errors.ts'
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
    return await begin(sql, 'isolation level repeatable read read only', async (tx) => {
      const [, value] = await Promise.all([setForReading(tx), work(tx)])
      return value
    })
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
    return await begin(sql, 'isolation level read committed read write', async (tx) => {
      const [, value] = await Promise.all([setForWriting(tx), work(tx)])
      commitMayBeOut = true
      return value
    })
  } catch (error) {
    if (commitMayBeOut && !isServersAnswer(error)) {
      throw new CommitUncertain('The connection was lost while the commit was under way.', { cause: error })
    }
    throw error
  }
}

/**
 * `sql.begin` for transactions that survive the loss of their connection. postgres.js goes on by itself: it sends
 * ROLLBACK, COMMIT and whatever `work` still asks for down the same connection object, which by then may have been
 * opened anew and carry somebody else's transaction (seen: that one committed before its checks), or have no socket at
 * all (seen: an uncaught TypeError that ends the process). So once the connection has gone, no statement of `work`
 * goes out any more, and postgres.js never hears how `work` ended; its own rejection is the answer.
 */
async function begin<T>(sql: Sql, options: string, work: (tx: Transaction) => Promise<T>): Promise<T> {
  let over = false
  const whileOpen = (tx: Transaction) =>
    new Proxy(tx, {
      apply: (query, self, given: unknown[]): unknown => {
        if (over) throw new Error('The connection of this transaction was lost.')
        return Reflect.apply(query, self, given)
      },
    })
  const untilLost = async (tx: Transaction) =>
    new Promise<{ result: () => T }>((resolve, reject) => {
      work(whileOpen(tx)).then(
        (value) => over || resolve({ result: () => value }),
        (error: unknown) => over || isConnectionError(error) || reject(error),
      )
    })
  try {
    const { result } = await sql.begin(options, untilLost)
    return result()
  } finally {
    over = true
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

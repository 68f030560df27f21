import { setTimeout as pause } from 'node:timers/promises'
import type { ParameterOrFragment, PendingQuery } from 'postgres'
import { CommitUncertain, toLedgerError, failureOf, isServersAnswer } from '../errors.ts'
import { identifiersOf, type LedgerTransaction, type Sql } from './connect.ts'
import { type Line, silence, type Waits, WAITS } from './line.ts'

/**
 * How long a transaction can outlive its process, in milliseconds, and so how far a lease reaches beyond its
 * invocation.
 */
export const LONGEST_ORPHAN_MS = WAITS.statementMs + WAITS.idleMs

/** What a retry needs: both come with the invocation, in milliseconds. */
export type Patience = {
  readonly pause: (milliseconds: number) => Promise<void>
  readonly timeLeft: () => number
}

type InTime = Pick<Patience, 'timeLeft'>

/** Where nothing ends before the tries are used up: for a caller that has no deadline. */
export const DEFAULT_PATIENCE: Patience = {
  pause: async (milliseconds) => pause(milliseconds),
  timeLeft: () => Infinity,
}

const READ_TRIES = 5
const FIRST_PAUSE_MS = 200
/** The shortest that a try waits: to connect, and in silence for a statement, and between two of them. */
const LEAST_CONNECT_MS = 2_000
const LEAST_WAIT_MS = 3_000
const REPORT_MS = 2_000
/** With less time left than a try may take and the report of its failure, nothing is tried again. */
const LAST_MOMENT_MS = LEAST_CONNECT_MS + 2 * LEAST_WAIT_MS + REPORT_MS

/**
 * Runs `work` in a READ ONLY transaction with one snapshot for all its statements: PostgreSQL itself refuses
 * a write. It ends, whatever the server does: a statement after `statementMs`, a wait for a table lock after
 * `readLockMs`, a silent connection after `statementMs` + `idleMs`; `waits` overrides the pool's.
 * @throws LedgerUnavailable, LedgerBusy or LedgerRefused, and whatever `work` throws
 */
export async function readTransaction<T>(
  sql: Sql,
  work: (tx: LedgerTransaction) => Promise<T>,
  waits: Partial<Waits> = {},
): Promise<T> {
  const all = { ...sql.waits, ...waits }
  const begin = beginWith('isolation level repeatable read read only', all, all.readLockMs)
  try {
    return await transact(sql, all, begin, work, () => {})
  } catch (error) {
    throw toLedgerError(error)
  }
}

/**
 * The same, tried again on a fresh snapshot after a lost connection, a lock or statement timeout or a
 * standby's conflict: a few times, with a back-off, and not past `timeLeft`. `work` may run more than once.
 * @throws as readTransaction
 */
export async function withRetriedRead<T>(
  sql: Sql,
  work: (tx: LedgerTransaction) => Promise<T>,
  patience: Patience = DEFAULT_PATIENCE,
  waits: Partial<Waits> = {},
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await readInTime(sql, work, patience, waits)
    } catch (error) {
      const pauseMs = FIRST_PAUSE_MS * 2 ** (tries - 1)
      if (tries === READ_TRIES || !isWorthRetrying(error, pauseMs, patience)) throw error
      await patience.pause(pauseMs)
    }
  }
}

/** One try of a read, which takes at most about half of the time that is left. @throws as readTransaction */
export async function readInTime<T>(
  sql: Sql,
  work: (tx: LedgerTransaction) => Promise<T>,
  patience: InTime = DEFAULT_PATIENCE,
  waits: Partial<Waits> = {},
): Promise<T> {
  return readTransaction(sql, work, inTime(patience, { ...sql.waits, ...waits }))
}

/** Whether what failed may succeed after a pause, and there is time to find out and to report. */
export function isWorthRetrying(error: unknown, pauseMs: number, patience: InTime): boolean {
  const failure = failureOf(error)
  return (failure === 'lost' || failure === 'busy') && isTimeForATry(patience, pauseMs)
}

/** Whether a try after a pause, and the report of its failure, end before the invocation does. */
export function isTimeForATry({ timeLeft }: InTime, pauseMs = 0): boolean {
  return timeLeft() >= pauseMs + LAST_MOMENT_MS
}

/** Shortens the waits so that all of them together take about half of the time that is left. */
function inTime({ timeLeft }: InTime, { connectMs, statementMs, idleMs, ...others }: Waits): Waits {
  const share = Math.min(1, timeLeft() / 2 / (connectMs + statementMs + idleMs))
  const shorten = (wait: number, least: number): number =>
    Math.min(wait, Math.max(least, Math.round(wait * share)))
  return {
    ...others,
    connectMs: shorten(connectMs, LEAST_CONNECT_MS),
    statementMs: shorten(statementMs, LEAST_WAIT_MS),
    idleMs: shorten(idleMs, LEAST_WAIT_MS),
  }
}

/**
 * Runs `work` in a READ COMMITTED transaction with the job's timeouts, and with synchronous_commit on, so
 * that an acknowledged commit lasts. COMMIT goes out once `work` has resolved. In silence it ends within about
 * half of the time that is left.
 * @throws CommitUncertain when COMMIT went out and no answer came back; anything else that is thrown was
 * rolled back: LedgerUnavailable, LedgerBusy or LedgerRefused, and whatever `work` throws
 */
export async function writeTransaction<T>(
  sql: Sql,
  work: (tx: LedgerTransaction) => Promise<T>,
  patience: InTime = DEFAULT_PATIENCE,
  waits: Partial<Waits> = {},
): Promise<T> {
  const all = inTime(patience, { ...sql.waits, ...waits })
  const begin = beginWith('isolation level read committed read write', all, all.lockMs)
  let uncertain = false
  try {
    return await transact(sql, all, `${begin}; ${FOR_WRITING}`, work, (underWay) => {
      uncertain = underWay
    })
  } catch (error) {
    if (uncertain && !isServersAnswer(error)) {
      throw new CommitUncertain('The connection was lost while the commit was under way.', { cause: error })
    }
    throw toLedgerError(error)
  }
}

/** For a few rows by their keys, starting a parallel worker costs more than the statement. */
const FOR_WRITING = 'set local synchronous_commit = on; set local max_parallel_workers_per_gather = 0'

/**
 * One round trip. SET LOCAL, so that a pooled connection keeps nothing of it; how times look as text depends
 * on the first two.
 */
function beginWith(mode: string, { statementMs, idleMs }: Waits, lockMs: number): string {
  return [
    `begin ${mode}`,
    `set local TimeZone = 'UTC'`,
    `set local DateStyle = 'ISO, YMD'`,
    // A row that row-level security hides would look absent: an error instead.
    'set local row_security = off',
    `set local statement_timeout = ${Math.round(statementMs)}`,
    `set local idle_in_transaction_session_timeout = ${Math.round(idleMs)}`,
    `set local lock_timeout = ${Math.round(lockMs)}`,
  ].join('; ')
}

/**
 * A transaction on a connection of its own. When that is lost, this rejects at once, whatever `work` still
 * waits for, and no further statement of `work` reaches a server: neither another transaction nor another
 * connection. `onCommit` gets true when COMMIT is sent, and false when the server has answered it.
 */
async function transact<T>(
  sql: Sql,
  { connectMs, statementMs, idleMs }: Waits,
  begin: string,
  work: (tx: LedgerTransaction) => Promise<T>,
  onCommit: (underWay: boolean) => void,
): Promise<T> {
  const line = await sql.acquire()
  let over = false
  const send = <Rows extends readonly (object | undefined)[]>(
    template: TemplateStringsArray,
    ...parameters: readonly ParameterOrFragment<never>[]
  ): PendingQuery<Rows> => {
    if (over) throw new Error('This transaction has ended. The statement was not sent.')
    return inOneRoundTrip(line.sql(template, ...parameters))
  }
  const tx: LedgerTransaction = Object.assign(send, { identifier: identifiersOf(line.sql) })
  const run = async (): Promise<T> => {
    const value = await work(tx).catch(async (error: unknown) => {
      over = true
      await rollBack(line)
      throw error
    })
    over = true
    // No COMMIT is sent, and the loss itself ends the wait for this.
    if (line.isLost()) return new Promise<never>(() => {})
    onCommit(true)
    const { command } = await line.sql`commit`
    onCommit(false)
    if (command === 'COMMIT') return value
    throw new Error('A statement had failed, so the server rolled the transaction back at COMMIT.')
  }
  try {
    await beginOn(line, begin, connectMs + statementMs + idleMs)
    line.cutAfterSilence(statementMs + idleMs)
    return await line.unlessLost(run())
  } catch (error) {
    throw line.cutFor() ?? error
  } finally {
    over = true
    sql.release(line)
  }
}

/**
 * postgres.js asks for the types of a statement's parameters in a round trip of its own, before it sends the
 * rest. In between, the server is inside a statement and applies neither its statement timeout nor its idle
 * timeout: with a client or a network that stalls there, it would keep the users locked for hours (seen).
 * Nothing needs to be asked here: all parameters are text, and the SQL says what they are. The property is
 * postgres.js's own, and not in its types.
 */
function inOneRoundTrip<Query extends object>(query: Query): Query {
  return Object.defineProperty(query, 'describeFirst', { get: () => false, set: () => {} })
}

/**
 * A connection on which BEGIN failed is not used again: a transaction may be open on it. The driver never
 * answers a statement that it takes between a socket's `error` and its `close`, so the loss of the connection
 * ends the wait.
 */
async function beginOn(line: Line, begin: string, milliseconds: number): Promise<void> {
  const timer = setTimeout(() => line.cut(silence(milliseconds)), milliseconds)
  try {
    await line.unlessLost(line.sql.unsafe(begin))
  } catch (error) {
    line.drop()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** Where ROLLBACK fails, the connection is closed, and the server rolls back by itself. */
async function rollBack(line: Line): Promise<void> {
  if (line.isLost()) return
  try {
    await line.sql`rollback`
  } catch {
    line.drop()
  }
}

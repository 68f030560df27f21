import postgres from 'postgres'
import { isDistrust, reasonFor } from './reasons.ts'

/** The database cannot be worked with. The message says what is wrong and what to do, and carries no secret. */
export class LedgerUnavailable extends Error {
  override readonly name = 'LedgerUnavailable'
}

/** What was written differs from what was planned: somebody changed a grant in between. The page was rolled back. */
export class GuardConflict extends Error {
  override readonly name = 'GuardConflict'
}

/** The lease ran out before the commit; nothing was committed. */
export class LeaseExpired extends Error {
  override readonly name = 'LeaseExpired'
}

/** COMMIT went out and no answer came back: only the ids in the database tell what happened. */
export class CommitUncertain extends Error {
  override readonly name = 'CommitUncertain'
}

/**
 * What a failed statement asks for. `conflict`: read again; `busy`: wait and try again; `lost`: the connection went;
 * `data`: these rows are refused, and others may go through; `broken`: nothing will go through.
 */
export type Failure = 'conflict' | 'busy' | 'lost' | 'data' | 'broken'

/** Serialization failure, deadlock, lock timeout, statement timeout: this job yields, and comes again. */
const BUSY = new Set(['40001', '40P01', '55P03', '57014'])
const UNIQUE_VIOLATION = '23505'
/** Classes of SQLSTATE that say that the server, the rights or the statement are at fault, not the rows. */
const BROKEN_CLASSES = new Set(['0A', '25', '28', '3D', '42', '53', '54', '55', '57', '58', 'F0', 'XX'])
/** The server ended the connection, or is about to: by hand, on a crash, while it starts, and by one of its three time limits. */
const LOST_SQLSTATES = new Set(['57P01', '57P02', '57P03', '57P05', '25P03', '25P04'])

/** Sorts an error of the database or of the connection; undefined for any other error. */
export function failureOf(error: unknown): Failure | undefined {
  if (error instanceof GuardConflict) return 'conflict'
  if (error instanceof postgres.PostgresError) {
    const { code } = error
    if (code === UNIQUE_VIOLATION) return 'conflict'
    if (BUSY.has(code)) return 'busy'
    if (LOST_SQLSTATES.has(code) || code.startsWith('08')) return 'lost'
    return BROKEN_CLASSES.has(code.slice(0, 2)) ? 'broken' : 'data'
  }
  if (error instanceof LedgerUnavailable) return failureOf(error.cause)
  return isConnectionError(error) ? 'lost' : undefined
}

/** Whether the server itself said no and goes on: to a COMMIT, that it rolled back. Its last words before it ends are no answer. */
export function isServersAnswer(error: unknown): boolean {
  return error instanceof postgres.PostgresError && failureOf(error) !== 'lost'
}

/** The SQLSTATE of a server's error, or null. */
export function sqlStateOf(error: unknown): string | null {
  return error instanceof postgres.PostgresError ? error.code : null
}

export function isUniqueViolation(error: unknown): boolean {
  return sqlStateOf(error) === UNIQUE_VIOLATION
}

const CONNECTION_CODES =
  /^(CONNECTION_|CONNECT_TIMEOUT|ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ERR_SOCKET|ERR_TLS|ERR_SSL)/

/** Whether the connection itself failed: it is closed, or about to be. */
export function isConnectionError(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isConnectionError)
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    CONNECTION_CODES.test(error.code)
  )
}

/** Turns what only a person can mend into an error that says how; other errors come back as they are. */
export function explain(error: unknown): unknown {
  if (error instanceof LedgerUnavailable) return error
  const failure = failureOf(error)
  if (failure !== 'lost' && failure !== 'broken' && !isDistrust(error)) return error
  const { what, todo } = reasonFor(error)
  return new LedgerUnavailable(`${what}. ${todo} Then try again.`, { cause: error })
}

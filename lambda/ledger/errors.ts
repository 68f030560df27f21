import postgres from 'postgres'
import { isConnectionError, isDistrust, reasonFor } from './connection/reasons.ts'

/**
 * The database cannot be worked with. The message says what is wrong and what to do, and carries no secret.
 */
export class LedgerUnavailable extends Error {
  override readonly name = 'LedgerUnavailable'
}

/** Messages about a login name DATABASE_URL; this is the same of a login that READONLY_DATABASE_URL gave. */
export function namingReadonlyUrl(message: string): string {
  return message.replaceAll(/(?<!READONLY_)DATABASE_URL/g, 'READONLY_DATABASE_URL')
}

/**
 * The database is working, but did not finish in time: a lock, a slow statement, a conflict. Nothing was
 * changed.
 */
export class LedgerBusy extends Error {
  override readonly name = 'LedgerBusy'
}

/** The database refused a statement because of the rows that it was about. Nothing was changed. */
export class LedgerRefused extends Error {
  override readonly name = 'LedgerRefused'
}

/** What was written differs from what was planned: the rows changed in between. The page was rolled back. */
export class GuardConflict extends Error {
  override readonly name = 'GuardConflict'
}

/** The lease expired before the commit; nothing was committed. */
export class LeaseExpired extends Error {
  override readonly name = 'LeaseExpired'
}

/** COMMIT was sent and no answer came back: only the ids in the database show what happened. */
export class CommitUncertain extends Error {
  override readonly name = 'CommitUncertain'
}

/**
 * What a failed statement asks for. `conflict`: read again; `busy`: wait and try again; `lost`: the
 * connection went; `data`: these rows are refused, and others may go through; `broken`: nothing will go
 * through.
 */
export type Failure = 'conflict' | 'busy' | 'lost' | 'data' | 'broken'

/** Serialization failure, deadlock, lock timeout, statement timeout: this job yields and retries. */
const BUSY = new Set(['40001', '40P01', '55P03', '57014'])
const UNIQUE_VIOLATION = '23505'
/** Classes of SQLSTATE that say that the server, the rights or the statement are at fault, not the rows. */
const BROKEN_CLASSES = new Set(['0A', '25', '28', '3D', '42', '53', '54', '55', '57', '58', 'F0', 'XX'])
/**
 * The server ended the connection, or is about to: by hand, in a crash, while it starts, and by its time
 * limits.
 */
const LOST_SQLSTATES = new Set(['57P01', '57P02', '57P03', '57P05', '25P03', '25P04'])

/** Sorts an error of the database or of the connection, explained or not; undefined for any other error. */
export function failureOf(error: unknown): Failure | undefined {
  if (error instanceof GuardConflict) return 'conflict'
  const driverError = isExplained(error) ? error.cause : error
  if (driverError instanceof postgres.PostgresError) {
    const { code } = driverError
    if (code === UNIQUE_VIOLATION) return 'conflict'
    if (BUSY.has(code)) return 'busy'
    if (LOST_SQLSTATES.has(code) || code.startsWith('08')) return 'lost'
    return BROKEN_CLASSES.has(code.slice(0, 2)) ? 'broken' : 'data'
  }
  return isConnectionError(driverError) ? 'lost' : undefined
}

/**
 * Whether the server refused a statement and keeps running: after a COMMIT, that it rolled back. An error
 * that ends the connection is no such answer.
 */
export function isServersAnswer(error: unknown): boolean {
  return sqlStateOf(error) !== null && failureOf(error) !== 'lost'
}

/** The SQLSTATE of a server's error, explained or not, or null. */
export function sqlStateOf(error: unknown): string | null {
  const driverError = isExplained(error) ? error.cause : error
  return driverError instanceof postgres.PostgresError ? driverError.code : null
}

export function isUniqueViolation(error: unknown): boolean {
  return sqlStateOf(error) === UNIQUE_VIOLATION
}

/**
 * Turns an error of the driver into a named one that says what to do, with the driver's as its cause; other
 * errors come back as they are. The driver's own errors carry parameters, values and a read-only stack: none
 * may go further.
 */
export function toLedgerError(error: unknown): unknown {
  if (isExplained(error)) return error
  const failure = isDistrust(error) ? 'broken' : failureOf(error)
  if (failure === undefined || error instanceof GuardConflict) return error
  const { what, todo } = reasonFor(error)
  if (failure === 'busy') return new LedgerBusy(`${what}. ${todo} Then try again.`, { cause: error })
  if (failure === 'lost' || failure === 'broken')
    return new LedgerUnavailable(`${what}. ${todo} Then try again.`, { cause: error })
  return new LedgerRefused(`${what}. ${todo}`, { cause: error })
}

function isExplained(error: unknown): error is Error {
  return error instanceof LedgerUnavailable || error instanceof LedgerBusy || error instanceof LedgerRefused
}

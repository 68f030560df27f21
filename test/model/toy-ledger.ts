import { LOST, type Request, type Steps, type World } from './world.ts'
import type { Statement } from './traces/trace.ts'

/**
 * A ledger with one grant a user, row locks, and transactions that outlive their client until they are idle
 * too long.
 */

/** A closing row: its id is made of run, attempt and user. */
export type Row = { readonly runId: string; readonly attempt: string; readonly amount: number }
export type User = {
  used: number
  /** The grant's date: the instant of the run that dated it (here its id), or null. */
  date: string | null
  baseline: number
  row: Row | null
  lockedBy: Transaction | null
}
/** What planning was given of a user. */
export type Input = Omit<User, 'lockedBy'> & { readonly user: number }

export type Change = {
  readonly input: Input
  readonly attempt: string
  readonly amount: number
  /** The user's values after the change. */
  readonly after: Pick<User, 'date' | 'baseline' | 'row'>
}
export type Commit = {
  readonly runId: string
  readonly user: number
  readonly attempt: string
  readonly amount: number
}

export type Ledger = {
  readonly users: readonly User[]
  /** What was committed: the truth that the logs are compared with. */
  readonly commits: Commit[]
}
export type Transaction = {
  readonly runId: string
  readonly attempt: string
  readonly locked: User[]
  readonly changes: Change[]
  open: boolean
  lastStatementAt: number
}

const IDLE_IN_TRANSACTION_TIMEOUT = 30
const TRIES = 8
export const ledgerUnavailable = new Error('LedgerUnavailable')

export function createLedger(users: number): Ledger {
  const user = () => ({ used: 0, date: null, baseline: 0, row: null, lockedBy: null })
  return { users: Array.from({ length: users }, user), commits: [] }
}

export function begin(world: World, runId: string, attempt: string): Transaction {
  return { runId, attempt, locked: [], changes: [], open: true, lastStatementAt: world.now }
}

/** One statement, not repeated: its reply, or LOST with the connection. */
export function* statement<T>(
  kind: Statement,
  attempt: string | null,
  serve: () => T,
): Steps<T | typeof LOST> {
  const request: Request = {
    kind: 'sql',
    name: kind,
    attempt,
    serve,
    network: kind === 'commit' ? 'delay' : 'lose',
  }
  return (yield request) as T | typeof LOST
}

/** A statement outside a transaction that may be repeated until there is a reply. */
export function* query<T>(kind: Statement, serve: () => T): Steps<T> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const reply = yield* statement(kind, null, serve)
    if (reply !== LOST) return reply
  }
  throw ledgerUnavailable
}

export function inputOf(ledger: Ledger, user: number): Input {
  const { used, date, baseline, row } = userOf(ledger, user)
  return { user, used, date, baseline, row }
}

/**
 * Locks users FOR NO KEY UPDATE, skipping locked ones, or waiting for them: then all, or none after a lock
 * timeout.
 */
export function lock(
  world: World,
  ledger: Ledger,
  transaction: Transaction,
  users: readonly number[],
  locked: 'skip' | 'wait',
): readonly number[] {
  if (!transaction.open) return []
  transaction.lastStatementAt = world.now
  const free = users.filter((user) => isFree(world, userOf(ledger, user), transaction))
  if (locked === 'wait' && free.length < users.length) return []
  for (const number of free) {
    const user = userOf(ledger, number)
    user.lockedBy = transaction
    transaction.locked.push(user)
  }
  return free
}

/** Writes the changes whose guard holds: every value read is as it was. Returns their users. */
export function write(
  world: World,
  ledger: Ledger,
  transaction: Transaction,
  changes: readonly Change[],
): readonly number[] {
  if (!transaction.open) return []
  transaction.lastStatementAt = world.now
  const guarded = changes.filter(({ input }) => {
    const user = userOf(ledger, input.user)
    return (
      user.lockedBy === transaction &&
      user.used === input.used &&
      user.date === input.date &&
      user.baseline === input.baseline &&
      user.row === input.row
    )
  })
  transaction.changes.push(...guarded)
  return guarded.map(({ input }) => input.user)
}

/** False when the transaction was ended by the server before. */
export function commit(ledger: Ledger, transaction: Transaction): boolean {
  if (!transaction.open) return false
  for (const { input, attempt, amount, after } of transaction.changes) {
    Object.assign(userOf(ledger, input.user), after)
    ledger.commits.push({ runId: transaction.runId, user: input.user, attempt, amount })
  }
  rollBack(transaction)
  return true
}

/** Ends a transaction without its changes, or after they are made. */
export function rollBack(transaction: Transaction): void {
  transaction.open = false
  for (const user of transaction.locked) if (user.lockedBy === transaction) user.lockedBy = null
}

export function userOf(ledger: Ledger, user: number): User {
  const found = ledger.users[user]
  if (!found) throw new Error(`There is no user ${user}.`)
  return found
}

/** Whether a row can be locked now; a transaction that has been idle for too long is ended by the server. */
export function isFree(world: World, user: User, by: Transaction | null): boolean {
  const { lockedBy } = user
  if (!lockedBy || lockedBy === by) return true
  if (world.now - lockedBy.lastStatementAt <= IDLE_IN_TRANSACTION_TIMEOUT) return false
  rollBack(lockedBy)
  return true
}

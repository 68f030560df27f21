import type { LedgerTransaction } from '../../ledger/connection/connect.ts'
import { type Reading, readUsers } from '../../ledger/read.ts'
import { readInserted } from '../../ledger/rollback.ts'
import { findTransactions } from '../../ledger/rows.ts'
import { unpackInputs } from '../../rules/inputs.ts'
import type { InsertedRow } from '../../rules/rollback.ts'
import type { LedgerUser, Transaction as LedgerRow } from '../../rules/types.ts'
import type { Difference, Value } from './differences.ts'
import { amountOf, isDelete, isInsert, isUserUpdate, type RowChange, rowChanges } from './mutations.ts'
import type { ReadUser } from './rules.ts'

/** A user that the run wrote, and the rows that it changed. */
type WrittenUser = { readonly user: ReadUser; readonly changes: readonly RowChange[] }

/** What the ledger has of a page's users now. */
type Now = {
  readonly readings: ReadonlyMap<string, Reading>
  readonly inserted: ReadonlyMap<string, InsertedRow>
  /** Rows that a rollback deleted, and that are there. */
  readonly undeleted: ReadonlySet<string>
}

/**
 * Compares the rows that a run wrote for these users with the ledger, in one READ ONLY transaction, three
 * statements however many users there are. Every row must be as the run left it; the total and the next
 * expiry of a user may have moved with rows that were added since.
 * @throws LedgerUnavailable
 */
export async function compareLedger(
  tx: LedgerTransaction,
  users: readonly ReadUser[],
): Promise<Difference[]> {
  const written = users
    .filter(({ mutations }) => mutations.length > 0)
    .map((user): WrittenUser => ({ user, changes: rowChanges(user.mutations) }))
  if (written.length === 0) return []
  const changes = written.flatMap((one) => one.changes)
  const now: Now = {
    readings: await readUsers(
      tx,
      written.map(({ user }) => user.line.user_id),
    ),
    inserted: await readInserted(tx, [loggedInserts(changes)], []),
    undeleted: await findTransactions(
      tx,
      changes.filter(isDelete).map(({ row_id }) => row_id),
    ),
  }
  return written.flatMap((one) => differencesOf(one, now))
}

/** In the form that readInserted takes; only the rows matter to it. */
function loggedInserts(changes: readonly RowChange[]): Parameters<typeof readInserted>[1][number] {
  const inserted = changes.filter(isInsert).map((change) => ({
    id: change.row_id,
    amountMicrodollars: amountOf(change),
    closes: null,
    row: change.after ?? {},
  }))
  return {
    userId: '',
    nextCreditExpirationAt: { before: null, after: null },
    closingsBefore: { count: 0, sha256: '' },
    grants: [],
    inserted,
  }
}

const USERS = 'kilocode_users'
const TRANSACTIONS = 'credit_transactions'

function differencesOf({ user, changes }: WrittenUser, now: Now): Difference[] {
  const userId = user.line.user_id
  const report = (where: string, row: string, column: string, expected: Value, found: Value): Difference => ({
    step: 'ledger',
    userId,
    where,
    row,
    column,
    expected,
    found,
    explainedBy: null,
  })
  const reading = now.readings.get(userId)
  if (!reading) return [report(USERS, userId, 'id', userId, null)]
  if ('unusable' in reading)
    return [report(USERS, userId, 'a value that cannot be read exactly', null, reading.unusable.message)]
  const rows = new Map(reading.rows.map((row) => [row.id, row]))
  return [
    ...movedTotal(changes, report, userId),
    ...userDifferences(user, changes, reading, now, report),
    ...changes.flatMap((change): Difference[] => {
      if (isUserUpdate(change)) return []
      const { row_id: id } = change
      if (isDelete(change)) return now.undeleted.has(id) ? [report(TRANSACTIONS, id, 'id', null, id)] : []
      if (isInsert(change)) return insertedDifferences(id, now.inserted.get(id), report)
      return grantDifferences(change, rows.get(id), report)
    }),
  ]
}

type Report = (where: string, row: string, column: string, expected: Value, found: Value) => Difference

/** In the log itself, a user's total moved by the sum of the rows that were inserted or deleted. */
function movedTotal(changes: readonly RowChange[], report: Report, userId: string): Difference[] {
  const update = changes.find(isUserUpdate)
  const moved = numberAt(update?.after, TOTAL) - numberAt(update?.before, TOTAL)
  const rows = insertedSum(changes) - deletedSum(changes)
  return moved === rows ? [] : [report(USERS, userId, `${TOTAL}, moved in the log`, rows, moved)]
}

const TOTAL = 'total_microdollars_acquired'
const NEXT = 'next_credit_expiration_at'

function insertedSum(changes: readonly RowChange[]): number {
  return changes.filter(isInsert).reduce((sum, change) => sum + amountOf(change), 0)
}

function deletedSum(changes: readonly RowChange[]): number {
  return changes.filter(isDelete).reduce((sum, change) => sum + amountOf(change), 0)
}

function numberAt(values: RowChange['after'] | undefined, column: string): number {
  const found = values?.[column]
  return typeof found === 'number' ? found : 0
}

/** Total and next expiry as the run left them, but for what rows added since account for. */
function userDifferences(
  { line }: ReadUser,
  changes: readonly RowChange[],
  { user, rows }: { readonly user: LedgerUser; readonly rows: readonly LedgerRow[] },
  now: Now,
  report: Report,
): Difference[] {
  const update = changes.find(isUserUpdate)
  if (!update?.after) return [report(USERS, user.id, 'user_update line', 'present', null)]
  const known = new Set([...unpackInputs(line.inputs).rows, ...changes.map(toRow)].map(({ id }) => id))
  const later = rows.filter((row) => row.organizationId === null && !known.has(row.id))
  const laterSum = later.reduce((sum, row) => sum + row.amountMicrodollars, 0)
  const left = numberAt(update.after, TOTAL) + laterSum
  const missing = changes.filter((change) => isInsert(change) && !now.inserted.has(change.row_id))
  const withoutMissing = left - insertedSum(missing)
  const isExplained = user.acquiredMicrodollars === left || user.acquiredMicrodollars === withoutMissing
  const next = update.after[NEXT] ?? null
  return [
    ...(isExplained ? [] : [report(USERS, user.id, TOTAL, left, user.acquiredMicrodollars)]),
    ...(user.nextCreditExpirationAt === next || later.length > 0
      ? []
      : [report(USERS, user.id, NEXT, next, user.nextCreditExpirationAt)]),
  ]
}

function toRow({ row_id: id }: RowChange): { readonly id: string } {
  return { id }
}

function insertedDifferences(id: string, row: InsertedRow | undefined, report: Report): Difference[] {
  if (!row) return [report(TRANSACTIONS, id, 'id', id, null)]
  return row.differing.map(({ column, expected, found }) => report(TRANSACTIONS, id, column, expected, found))
}

function grantDifferences(
  { row_id: id, after }: RowChange,
  row: LedgerRow | undefined,
  report: Report,
): Difference[] {
  if (!row) return [report(TRANSACTIONS, id, 'id', id, null)]
  const columns = [
    ['expiry_date', row.expiryDate],
    ['expiration_baseline_microdollars_used', row.expirationBaselineMicrodollars],
  ] as const
  return columns
    .filter(([column, found]) => (after?.[column] ?? null) !== found)
    .map(([column, found]) => report(TRANSACTIONS, id, column, after?.[column] ?? null, found))
}

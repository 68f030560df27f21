import { add } from './amounts.ts'
import { CORRECTION_CATEGORY, isClosingRow } from './grants.ts'
import { earliest } from './times.ts'
import type { LedgerTime, LedgerUser, Transaction } from './types.ts'

/** What a run's mutation log says about one user: 2-run-protocol, "Rollback". Amounts in microdollars. */
export type LoggedChange = {
  readonly userId: string
  readonly nextCreditExpirationAt: { readonly before: LedgerTime | null; readonly after: LedgerTime | null }
  /** The user's closing rows and corrections before the run. */
  readonly closingsBefore: Fingerprint
  readonly grants: readonly LoggedGrant[]
  readonly inserted: readonly LoggedRow[]
}
/** Number and hash of a user's closing rows and corrections. */
export type Fingerprint = { readonly count: number; readonly sha256: string }
export type GrantValues = {
  readonly expiryDate: LedgerTime | null
  readonly expirationBaselineMicrodollars: number | null
}
export type LoggedGrant = {
  readonly id: string
  readonly targeted: boolean
  readonly before: GrantValues
  readonly after: GrantValues
}
/**
 * A closing row with the grant that it closes, or the correction (which closes none), with the columns that
 * were set.
 */
export type LoggedRow = {
  readonly id: string
  readonly amountMicrodollars: number
  readonly closes: string | null
  readonly row: object
}

/** What the ledger holds now, read for the rollback of one user. */
export type LedgerNow = {
  /** Null where the user is gone. */
  readonly user: LedgerUser | null
  readonly rows: readonly Transaction[]
  /** The run's inserted rows that are there; absent ones are not in it. */
  readonly inserted: ReadonlyMap<string, InsertedRow>
  /** The user's closing rows and corrections, without those that the run inserted. */
  readonly closings: Fingerprint
}
/** How an inserted row differs from what was inserted, and the rows of any table that refer to it. */
export type InsertedRow = {
  readonly differing: readonly { readonly column: string; readonly expected: Found; readonly found: Found }[]
  readonly references: readonly { readonly table: string; readonly row: string; readonly column: string }[]
}
export type Found = string | number | null

/** One value that is not what the run left. `row` is the primary key; for `closings`, the user's id. */
export type Changed = {
  readonly table: string
  readonly row: string
  readonly column: string
  readonly expected: Found
  readonly found: Found
}

/** What is to be written to roll one user back: complete, and all or nothing. */
export type Rollback = {
  readonly user: LedgerUser
  readonly logged: LoggedChange
  readonly acquiredMicrodollars: number
  readonly nextCreditExpirationAt: LedgerTime | null
  /**
   * Closing rows and adjustments in the ledger now, the run's included: a guard, since a closing row of 0
   * moves no total.
   */
  readonly closingsNow: number
}

export type RollbackPlan =
  | { readonly outcome: 'rolled_back'; readonly rollback: Rollback }
  | { readonly outcome: 'already_rolled_back' | 'gone' }
  | { readonly outcome: 'changed_since'; readonly changed: readonly Changed[] }

/**
 * Whether one user's change can be rolled back, and what that writes. A pure function of the log and the
 * ledger. Where `closings` differ, something was built on top: if a later run of this job did that, it is
 * rolled back first.
 * @throws UnusableValue when an amount leaves the safe integers
 */
export function planRollback(logged: LoggedChange, now: LedgerNow): RollbackPlan {
  const { user, rows, inserted } = now
  if (user === null) return { outcome: 'gone' }
  if (inserted.size === 0 && isRolledBack(logged, rows)) return { outcome: 'already_rolled_back' }
  const byId = new Map(rows.map((row) => [row.id, row]))
  const changed = [
    ...logged.inserted.flatMap(({ id }) => changesOfInserted(id, inserted.get(id))),
    ...logged.grants.flatMap(({ id, after }) => changesOfGrant(id, byId.get(id), after)),
    ...changesOfClosings(logged, now.closings),
  ]
  if (changed.length > 0) return { outcome: 'changed_since', changed }

  const inRun = logged.inserted.reduce((sum, { amountMicrodollars }) => add(sum, amountMicrodollars), 0)
  const isUnchanged = user.nextCreditExpirationAt === logged.nextCreditExpirationAt.after
  const rollback: Rollback = {
    user,
    logged,
    acquiredMicrodollars: add(user.acquiredMicrodollars, -inRun),
    nextCreditExpirationAt: isUnchanged
      ? logged.nextCreditExpirationAt.before
      : earliestOpenDate(logged, rows),
    closingsNow: rows.filter((row) => isClosingRow(row) || row.creditCategory === CORRECTION_CATEGORY).length,
  }
  return { outcome: 'rolled_back', rollback }
}

/**
 * Whether absent inserted rows mean that the user was rolled back: they do unless a targeted grant still has
 * the date that the run gave it. Then another writer deleted the rows, and the user is `changed_since`.
 * Baselines prove nothing, since others change them.
 */
export function isRolledBack(
  logged: LoggedChange,
  rows: readonly Pick<Transaction, 'id' | 'expiryDate'>[],
): boolean {
  const dates = new Map(rows.map((row) => [row.id, row.expiryDate]))
  return logged.grants.every(
    ({ id, targeted, before, after }) =>
      !targeted || before.expiryDate === after.expiryDate || dates.get(id) !== after.expiryDate,
  )
}

function changesOfInserted(id: string, state: InsertedRow | undefined): Changed[] {
  const table = 'credit_transactions'
  if (!state) return [{ table, row: id, column: 'id', expected: id, found: null }]
  return [
    ...state.differing.map(({ column, expected, found }) => ({ table, row: id, column, expected, found })),
    ...state.references.map((reference) => ({ ...reference, expected: null, found: id })),
  ]
}

function changesOfGrant(id: string, grant: Transaction | undefined, after: GrantValues): Changed[] {
  const table = 'credit_transactions'
  if (!grant) return [{ table, row: id, column: 'id', expected: id, found: null }]
  const columns = [
    ['organization_id', null, grant.organizationId],
    ['expiry_date', after.expiryDate, grant.expiryDate],
    [
      'expiration_baseline_microdollars_used',
      after.expirationBaselineMicrodollars,
      grant.expirationBaselineMicrodollars,
    ],
  ] as const
  return columns
    .filter(([, expected, found]) => expected !== found)
    .map(([column, expected, found]) => ({ table, row: id, column, expected, found }))
}

function changesOfClosings({ userId, closingsBefore }: LoggedChange, found: Fingerprint): Changed[] {
  const row = { table: 'credit_transactions', row: userId, column: 'closings' }
  if (closingsBefore.count !== found.count)
    return [{ ...row, expected: closingsBefore.count, found: found.count }]
  if (closingsBefore.sha256 === found.sha256) return []
  return [{ ...row, expected: closingsBefore.sha256, found: found.sha256 }]
}

/** The earliest date of a personal row that is open once the user is rolled back. */
function earliestOpenDate(logged: LoggedChange, rows: readonly Transaction[]): LedgerTime | null {
  const removed = new Set(logged.inserted.map(({ id }) => id))
  const restored = new Map(logged.grants.map(({ id, before }) => [id, before]))
  const remaining = rows.filter(({ id }) => !removed.has(id))
  const closed = new Set(remaining.filter(isClosingRow).flatMap((row) => row.originalTransactionId ?? []))
  return earliest(
    remaining
      .filter((row) => row.organizationId === null && !closed.has(row.id))
      .flatMap((row) => (restored.get(row.id) ?? row).expiryDate ?? []),
  )
}

import { add } from './amounts.ts'
import { CORRECTION_CATEGORY, isClosingRow } from './grants.ts'
import { compareTimes } from './times.ts'
import type { LedgerTime, LedgerUser, Transaction } from './types.ts'

/** What a run's mutation log says of one user: 2-run-protocol, "Rollback". Amounts in microdollars. */
export type LoggedChange = {
  readonly userId: string
  readonly nextCreditExpirationAt: { readonly before: LedgerTime | null; readonly after: LedgerTime | null }
  /** The fingerprint of the user's closing rows and corrections before the run. */
  readonly closingsBefore: string
  readonly grants: readonly LoggedGrant[]
  readonly inserted: readonly LoggedRow[]
}
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
/** A closing row with the grant that it closes, or the correction (which closes none), with all its columns in `row`. */
export type LoggedRow = {
  readonly id: string
  readonly amountMicrodollars: number
  readonly closes: string | null
  readonly row: object
}

/** How an inserted row stands in the database now. */
export type RowState = { readonly asInserted: boolean; readonly linked: boolean }

/** What is to be written to take one user's change back: complete, and all or nothing. */
export type Undo = {
  readonly user: LedgerUser
  readonly logged: LoggedChange
  readonly acquiredMicrodollars: number
  readonly nextCreditExpirationAt: LedgerTime | null
  /** Closing rows and adjustments that stand now, this run's included: as many must stand when it is written. */
  readonly closingsNow: number
}

export type UndoPlan =
  | { readonly outcome: 'rolled_back'; readonly undo: Undo }
  | { readonly outcome: 'already_rolled_back' }
  | { readonly outcome: 'changed_since'; readonly changed: readonly string[] }

/**
 * Whether one user's change can be taken back, and what that writes. A pure function of the log, the user, all their
 * rows, the state of the inserted rows, and the fingerprint of the other closing rows and corrections that stand now
 * (the log holds that of before the run).
 * @throws UnusableValue when an amount leaves the safe integers
 */
export function planUndo(
  logged: LoggedChange,
  user: LedgerUser,
  rows: readonly Transaction[],
  inserted: ReadonlyMap<string, RowState>,
  closingsFingerprint: string,
): UndoPlan {
  const byId = new Map(rows.map((row) => [row.id, row]))
  if (inserted.size === 0 && logged.grants.every(({ id, before }) => holds(byId.get(id), before))) {
    return { outcome: 'already_rolled_back' }
  }
  const changed = [
    ...logged.inserted.flatMap(({ id }) => changeOfRow(id, inserted.get(id))),
    ...logged.grants.flatMap(({ id, after }) => changeOfGrant(id, byId.get(id), after)),
    ...(closingsFingerprint === logged.closingsBefore
      ? []
      : [
          'closing rows or corrections were added or changed since: if a later run of this job did that, undo that one first',
        ]),
  ]
  if (changed.length > 0) return { outcome: 'changed_since', changed }

  const given = logged.inserted.reduce((sum, { amountMicrodollars }) => add(sum, amountMicrodollars), 0)
  const untouched = user.nextCreditExpirationAt === logged.nextCreditExpirationAt.after
  const undo: Undo = {
    user,
    logged,
    acquiredMicrodollars: add(user.acquiredMicrodollars, -given),
    nextCreditExpirationAt: untouched ? logged.nextCreditExpirationAt.before : earliestOpenDate(logged, rows),
    closingsNow: rows.filter((row) => isClosingRow(row) || row.creditCategory === CORRECTION_CATEGORY).length,
  }
  return { outcome: 'rolled_back', undo }
}

function holds(grant: Transaction | undefined, values: GrantValues): boolean {
  return (
    grant !== undefined &&
    grant.expiryDate === values.expiryDate &&
    grant.expirationBaselineMicrodollars === values.expirationBaselineMicrodollars
  )
}

function changeOfRow(id: string, state: RowState | undefined): string[] {
  if (!state) return [`the inserted row ${id} is gone`]
  if (!state.asInserted) return [`the inserted row ${id} is not as it was inserted`]
  return state.linked ? [`another row links to the inserted row ${id}`] : []
}

function changeOfGrant(id: string, grant: Transaction | undefined, after: GrantValues): string[] {
  if (!grant) return [`the grant ${id} is gone`]
  return holds(grant, after) ? [] : [`the date or the baseline of the grant ${id} is not what the run left`]
}

/** The earliest date of a personal row that is open once the change is undone: somebody set another one meanwhile. */
function earliestOpenDate(logged: LoggedChange, rows: readonly Transaction[]): LedgerTime | null {
  const removed = new Set(logged.inserted.map(({ id }) => id))
  const restored = new Map(logged.grants.map(({ id, before }) => [id, before]))
  const standing = rows.filter(({ id }) => !removed.has(id))
  const closed = new Set(standing.filter(isClosingRow).flatMap((row) => row.originalTransactionId ?? []))
  return standing
    .filter((row) => row.organizationId === null && !closed.has(row.id))
    .flatMap((row) => (restored.get(row.id) ?? row).expiryDate ?? [])
    .reduce<LedgerTime | null>(
      (least, date) => (least === null || compareTimes(date, least) < 0 ? date : least),
      null,
    )
}

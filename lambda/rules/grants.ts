import { microsBelowMilli, millisOf } from './times.ts'
import type { Circumstances, LedgerTime, Rules, Transaction } from './types.ts'

/** The description of this job's own corrections: what marks them, so that no later run expires them. */
export const CORRECTION_DESCRIPTION = 'Balance restored to zero after expiring internal free credits'
export const CORRECTION_CATEGORY = 'accounting_adjustment'
export const CLOSING_CATEGORY = 'credits_expired'

const ORB_CLOSING_CATEGORIES: readonly string[] = ['orb_credit_expired', 'orb_credit_voided']
export const CLOSING_CATEGORIES: readonly string[] = [CLOSING_CATEGORY, ...ORB_CLOSING_CATEGORIES]

/** A user's rows, sorted by what the rules ask of them. A grant stands in at most one of the lists. */
export type Grants = {
  /** To be expired now. */
  readonly targeted: readonly Transaction[]
  /** Open, dated, but not targeted: paid ones, and free ones that are corrections. They join the expiring set. */
  readonly otherDated: readonly Transaction[]
  /** Closed, once dated, with what their closing row took back (negative or zero). */
  readonly closed: readonly { readonly grant: Transaction; readonly closingMicrodollars: number }[]
  /** Left alone since the unique index would refuse their closing row. */
  readonly linkTaken: readonly Transaction[]
  /** Dated, not positive: production turns them into credit, this job leaves them open. */
  readonly negativeDated: readonly Transaction[]
}

/** Whether a row closes the grant that it links to. */
export function isClosingRow(row: Transaction): boolean {
  return CLOSING_CATEGORIES.includes(row.creditCategory ?? '')
}

/** Whether a row is a correction of this job or of a listed earlier tool, which must never be expired. */
export function isCorrection(row: Transaction, rules: Rules): boolean {
  if (row.creditCategory !== CORRECTION_CATEGORY || row.description === null) return false
  return row.description === CORRECTION_DESCRIPTION || rules.correctionDescriptions.includes(row.description)
}

/** Sorts a user's rows by the definitions of 1-ledger-rules, "Who and what". Links count among all rows, organization rows too. */
export function sortGrants(
  rows: readonly Transaction[],
  rules: Rules,
  takenLinks: ReadonlySet<string>,
): Grants {
  const closingMicrodollars = new Map<string, number>()
  const otherLinks = new Set(takenLinks)
  for (const row of rows) {
    if (row.originalTransactionId === null) continue
    if (isClosingRow(row)) closingMicrodollars.set(row.originalTransactionId, row.amountMicrodollars)
    else otherLinks.add(row.originalTransactionId)
  }

  const targeted: Transaction[] = []
  const otherDated: Transaction[] = []
  const closed: { grant: Transaction; closingMicrodollars: number }[] = []
  const linkTaken: Transaction[] = []
  const negativeDated: Transaction[] = []
  for (const row of rows) {
    if (row.organizationId !== null) continue
    const dated = row.expiryDate !== null
    const closing = closingMicrodollars.get(row.id)
    const wouldBeTargeted = row.isFree && !isCorrection(row, rules)
    if (row.amountMicrodollars <= 0) {
      if (dated && closing === undefined) negativeDated.push(row)
    } else if (closing !== undefined) {
      if (dated) closed.push({ grant: row, closingMicrodollars: closing })
    } else if (otherLinks.has(row.id)) {
      if (dated || wouldBeTargeted) linkTaken.push(row)
    } else if (wouldBeTargeted) targeted.push(row)
    else if (dated) otherDated.push(row)
  }
  return { targeted, otherDated, closed, linkTaken, negativeDated }
}

/** Why a user with targeted grants is left alone all the same, or null (1-ledger-rules, "Who and what", the last part). */
export function reasonToLeaveAlone(
  rows: readonly Transaction[],
  rules: Rules,
  circumstances: Circumstances,
): 'too_recent' | 'needs_review' | null {
  const youngest = millisOf(rules.instant) - rules.minGrantAgeSeconds * 1000
  if (rows.some((row) => row.organizationId === null && isAfter(row.createdAt, youngest))) return 'too_recent'
  const unlinkedOrb = rows.some(
    (row) =>
      row.organizationId === null &&
      row.originalTransactionId === null &&
      ORB_CLOSING_CATEGORIES.includes(row.creditCategory ?? ''),
  )
  return unlinkedOrb && !circumstances.named ? 'needs_review' : null
}

function isAfter(time: LedgerTime, millis: number): boolean {
  const ours = millisOf(time)
  return ours > millis || (ours === millis && microsBelowMilli(time) > 0)
}

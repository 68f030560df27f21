import { matchesCategory } from './categories.ts'
import { compareTimes } from './times.ts'
import type { ExcludedGrant, LedgerTime, RuleSettings, Transaction } from './types.ts'

/** The description of this job's own corrections: what marks them, so that no later run expires them. */
export const CORRECTION_DESCRIPTION = 'Balance restored to zero after expiring internal free credits'
export const CORRECTION_CATEGORY = 'accounting_adjustment'
export const CLOSING_CATEGORY = 'credits_expired'

export const ORB_CLOSING_CATEGORIES: readonly string[] = ['orb_credit_expired', 'orb_credit_voided']
export const CLOSING_CATEGORIES: readonly string[] = [CLOSING_CATEGORY, ...ORB_CLOSING_CATEGORIES]

/** A user's rows, sorted by what the rules do with them. A row is in at most one of the lists. */
export type Grants = {
  /** To be expired now. */
  readonly targeted: readonly Transaction[]
  /** Would be targeted if the run's categories did not exclude them; dated ones are in `otherDated` too. */
  readonly excluded: readonly ExcludedGrant[]
  /** Open and dated, but not targeted: they join the expiring set with their own date. */
  readonly otherDated: readonly Transaction[]
  /** Closed, once dated, with the amount of their closing row. */
  readonly closed: readonly { readonly grant: Transaction; readonly closingMicrodollars: number }[]
  /** Skipped since the unique index would refuse their closing row; `linkId` null: a row of another user. */
  readonly linkTaken: readonly { readonly grant: Transaction; readonly linkId: string | null }[]
  /** Dated, not positive, open: production turns them into credit, this job leaves them open. */
  readonly negativeDated: readonly DatedRow[]
}
export type DatedRow = Transaction & { readonly expiryDate: LedgerTime }

/** Whether a row closes the grant that it links to. */
export function isClosingRow(row: Transaction): boolean {
  return CLOSING_CATEGORIES.includes(row.creditCategory ?? '')
}

/** Whether a row is a correction of this job or of a listed earlier tool, which must never be expired. */
export function isCorrection(
  row: Transaction,
  settings: Pick<RuleSettings, 'correctionDescriptions'>,
): boolean {
  if (row.creditCategory !== CORRECTION_CATEGORY || row.description === null) return false
  return (
    row.description === CORRECTION_DESCRIPTION || settings.correctionDescriptions.includes(row.description)
  )
}

/** Whether a row has an expiry date. */
export function isDated(row: Transaction): row is DatedRow {
  return row.expiryDate !== null
}

/** The order in which rows are shown: oldest first, rows of one time by their ids. */
export function oldestFirst(a: Transaction, b: Transaction): number {
  return compareTimes(a.createdAt, b.createdAt) || (a.id < b.id ? -1 : 1)
}

/**
 * Sorts a user's rows by the definitions of 1-ledger-rules, "Who and what". Links count among all rows,
 * organization rows too. A closing row is never targeted, whatever its sign. One with a date, which
 * production does not write, would expire in production's pass like any other dated row, and so it does here.
 */
export function sortGrants(
  rows: readonly Transaction[],
  settings: RuleSettings,
  takenLinks: ReadonlySet<string>,
): Grants {
  const { closings, otherLinks } = linksOf(rows, takenLinks)
  const targeted: Transaction[] = []
  const excluded: ExcludedGrant[] = []
  const otherDated: Transaction[] = []
  const closed: { grant: Transaction; closingMicrodollars: number }[] = []
  const linkTaken: { grant: Transaction; linkId: string | null }[] = []
  const negativeDated: DatedRow[] = []
  for (const row of rows) {
    if (row.organizationId !== null) continue
    const closing = closings.get(row.id)
    const linkId = otherLinks.get(row.id)
    const isFreeGrant = row.isFree && !isClosingRow(row) && !isCorrection(row, settings)
    const why = isFreeGrant ? reasonOfExclusion(row.creditCategory, settings) : null
    if (row.amountMicrodollars <= 0) {
      if (isDated(row) && closing === undefined) negativeDated.push(row)
    } else if (closing !== undefined) {
      if (isDated(row)) closed.push({ grant: row, closingMicrodollars: closing.amountMicrodollars })
    } else if (linkId !== undefined) {
      if (isDated(row) || (isFreeGrant && why === null)) linkTaken.push({ grant: row, linkId })
    } else if (isFreeGrant && why === null) targeted.push(row)
    else {
      if (why !== null) excluded.push(excludedGrant(row, why))
      if (isDated(row)) otherDated.push(row)
    }
  }
  return { targeted, excluded, otherDated, closed, linkTaken, negativeDated }
}

/**
 * Rows by the transaction that they link to: closing rows, and the ids of all others (null: of another user).
 */
function linksOf(rows: readonly Transaction[], takenLinks: ReadonlySet<string>) {
  const closings = new Map<string, Transaction>()
  const otherLinks = new Map<string, string | null>([...takenLinks].map((id) => [id, null]))
  for (const row of rows) {
    if (row.originalTransactionId === null) continue
    if (isClosingRow(row)) closings.set(row.originalTransactionId, row)
    else otherLinks.set(row.originalTransactionId, row.id)
  }
  return { closings, otherLinks }
}

/** What excludes grants of this category from the run, or null. */
function reasonOfExclusion(
  category: string | null,
  { categories, excludedCategories }: RuleSettings,
): 'category_excluded' | 'category_not_selected' | null {
  if (matchesCategory(category, excludedCategories)) return 'category_excluded'
  return categories === null || matchesCategory(category, categories) ? null : 'category_not_selected'
}

/** A grant as the plan shows it where it is excluded. */
export function excludedGrant(grant: Transaction, why: ExcludedGrant['why']): ExcludedGrant {
  const { id, creditCategory, amountMicrodollars } = grant
  return { id, creditCategory, amountMicrodollars, why }
}

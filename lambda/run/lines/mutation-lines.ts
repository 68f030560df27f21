import { hash } from 'node:crypto'
import type { PlannedUser } from '../../ledger/write.ts'
import { CLOSING_CATEGORY, CORRECTION_CATEGORY, isClosingRow, isCorrection } from '../../rules/grants.ts'
import type { RuleSettings, Transaction } from '../../rules/types.ts'
import type { LineContext } from './user-line.ts'

/** Makes lines of the mutation log for one user of one attempt: one changed, inserted or deleted row each. */
export function mutationLineFor({ runId, mode, at, attempt }: LineContext, userId: string) {
  // Made once: it is a third of each line.
  const head = JSON.stringify({ run_id: runId, mode, at, attempt, user_id: userId }).slice(0, -1)
  return (type: string, row_id: string, before: object | null, after: object | null): string =>
    `${head},${JSON.stringify({ type, row_id, before, after }).slice(1)}`
}

/**
 * One line for each row that an execute changes or inserts, with its values before and after; the user's own
 * first.
 */
export function mutationLines(context: LineContext, planned: PlannedUser, closings: object): string[] {
  const { plan, closingIds, correctionId } = planned
  const { user, change } = plan
  const line = mutationLineFor(context, user.id)
  return [
    line(
      'user_update',
      user.id,
      { ...userValues(user.acquiredMicrodollars, user.nextCreditExpirationAt), ...closings },
      userValues(change.acquiredMicrodollars, change.nextCreditExpirationAt),
    ),
    ...change.grants.map(({ grant, targeted, expiryDate, expirationBaselineMicrodollars }) =>
      line(
        targeted ? 'credit_dated' : 'baseline_raised',
        grant.id,
        grantValues(grant.expiryDate, grant.expirationBaselineMicrodollars),
        grantValues(expiryDate, expirationBaselineMicrodollars),
      ),
    ),
    ...change.closings.map((row, index) => {
      const id = closingIds[index] ?? ''
      const inserted = { ...row, isFree: row.grant.isFree, category: CLOSING_CATEGORY, link: row.grant.id }
      return line('credits_expired_insert', id, null, insertedRow(id, user.id, inserted))
    }),
    ...(change.correction && correctionId !== null
      ? [
          line(
            'accounting_adjustment_insert',
            correctionId,
            null,
            insertedRow(correctionId, user.id, {
              ...change.correction,
              isFree: true,
              category: CORRECTION_CATEGORY,
              link: null,
            }),
          ),
        ]
      : []),
  ]
}

/** What a run changes of a user, as the mutation log shows it. */
export function userValues(acquiredMicrodollars: number, nextCreditExpirationAt: string | null): object {
  return {
    total_microdollars_acquired: acquiredMicrodollars,
    next_credit_expiration_at: nextCreditExpirationAt,
  }
}

/** What a run changes of a grant, as the mutation log shows it. */
export function grantValues(expiryDate: string | null, baselineMicrodollars: number | null): object {
  return { expiry_date: expiryDate, expiration_baseline_microdollars_used: baselineMicrodollars }
}

type NewRow = {
  readonly amountMicrodollars: number
  readonly description: string
  readonly createdAt: string
  readonly originalBaselineMicrodollars: number
  readonly isFree: boolean
  readonly category: string
  readonly link: string | null
}

/** The columns that the job sets; the others have their defaults, which a rollback compares all the same. */
function insertedRow(id: string, userId: string, row: NewRow): object {
  return {
    id,
    kilo_user_id: userId,
    amount_microdollars: row.amountMicrodollars,
    original_baseline_microdollars_used: row.originalBaselineMicrodollars,
    is_free: row.isFree,
    description: row.description,
    credit_category: row.category,
    original_transaction_id: row.link,
    created_at: row.createdAt,
  }
}

/**
 * Count and hash of a user's personal closing rows and corrections: how a rollback notices what was built on
 * top. Organization rows are not counted: the inputs of an intent omit most of them, and settling must count
 * the same.
 */
export function closingsOf(
  rows: readonly Transaction[],
  settings: RuleSettings,
): { closings_count: number; closings_sha256: string } {
  const ids = rows
    .filter((row) => row.organizationId === null && (isClosingRow(row) || isCorrection(row, settings)))
    .map((row) => `${row.id}:${row.amountMicrodollars}`)
  const sha256 = hash('sha256', ids.toSorted().join('\n'))
  return { closings_count: ids.length, closings_sha256: sha256 }
}

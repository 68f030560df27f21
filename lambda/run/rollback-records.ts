import type { LedgerUser, Transaction } from '../rules/types.ts'
import type { GrantValues, LoggedRow, Rollback as Undo } from '../rules/rollback.ts'
import { bareLine, creditRecord, mutationLine, type Outcome, type RunName, type UserLine } from './records.ts'

/**
 * The line of a user who is rolled back. Amounts have the opposite sign of the run's own, so that the lines of all runs
 * add up to what is gone: a rollback of 5 USD that had expired shows `expired_microdollars: -5000000`.
 */
export function undoLine(run: RunName, undo: Undo, rows: readonly Transaction[]): UserLine {
  const { user, logged } = undo
  const byId = new Map(rows.map((row) => [row.id, row]))
  const targeted = new Set(logged.grants.filter((grant) => grant.targeted).map(({ id }) => id))
  const closings = logged.inserted.filter(({ closes }) => closes !== null)
  const expired = sum(closings.filter(({ closes }) => targeted.has(closes ?? '')))
  const duePaid = sum(closings.filter(({ closes }) => !targeted.has(closes ?? '')))
  const correction = 0 - sum(logged.inserted.filter(({ closes }) => closes === null))
  const final = undo.acquiredMicrodollars - user.usedMicrodollars
  return {
    ...untouchedLine(run, user, 'rolled_back', []),
    grants_targeted: targeted.size,
    expired_microdollars: expired,
    due_paid_microdollars: duePaid,
    balance_after_expiry_microdollars: final - correction,
    correction_microdollars: correction,
    final_balance_microdollars: final,
    next_credit_expiration_at: undo.nextCreditExpirationAt,
    credits: closings.flatMap(({ closes, amountMicrodollars }) => {
      const grant = byId.get(closes ?? '')
      return grant ? [restoredCredit(grant, targeted.has(grant.id), amountMicrodollars)] : []
    }),
  }
}

function sum(rows: readonly LoggedRow[]): number {
  return rows.reduce((total, { amountMicrodollars }) => total + amountMicrodollars, 0)
}

function restoredCredit(grant: Transaction, targeted: boolean, closingMicrodollars: number): object {
  return creditRecord({
    id: grant.id,
    creditCategory: grant.creditCategory,
    description: grant.description,
    createdAt: grant.createdAt,
    isFree: grant.isFree,
    targeted,
    amountMicrodollars: grant.amountMicrodollars,
    hadExpiryDate: grant.expiryDate,
    baselineMicrodollars: grant.expirationBaselineMicrodollars,
    expiredMicrodollars: closingMicrodollars,
  })
}

/** The line of a user whom a rollback leaves as they are, and what changed since the run. */
export function untouchedLine(
  run: RunName,
  user: LedgerUser,
  outcome: Outcome,
  changed: readonly object[],
): UserLine {
  const balance = user.acquiredMicrodollars - user.usedMicrodollars
  return {
    ...bareLine(run, user.id, user.email, outcome),
    balance_before_microdollars: balance,
    used_microdollars: user.usedMicrodollars,
    balance_after_expiry_microdollars: balance,
    final_balance_microdollars: balance,
    next_credit_expiration_at: user.nextCreditExpirationAt,
    ...(changed.length > 0 && { changed }),
  }
}

/** One line for each row that the rollback changes or deletes: `before` is what stands now, `after` what is left. */
export function undoMutations(run: RunName, attempt: string, undo: Undo): string[] {
  const { user, logged } = undo
  const line = mutationLine(run, attempt, user.id)
  return [
    line(
      'user_update',
      user.id,
      {
        total_microdollars_acquired: user.acquiredMicrodollars,
        next_credit_expiration_at: user.nextCreditExpirationAt,
      },
      {
        total_microdollars_acquired: undo.acquiredMicrodollars,
        next_credit_expiration_at: undo.nextCreditExpirationAt,
      },
    ),
    ...logged.grants.map(({ id, targeted, before, after }) =>
      line(targeted ? 'credit_restored' : 'baseline_restored', id, values(after), values(before)),
    ),
    ...logged.inserted.map(({ id, closes, row }) =>
      line(closes === null ? 'accounting_adjustment_delete' : 'credits_expired_delete', id, row, null),
    ),
  ]
}

function values({ expiryDate, expirationBaselineMicrodollars }: GrantValues): object {
  return { expiry_date: expiryDate, expiration_baseline_microdollars_used: expirationBaselineMicrodollars }
}

import { add } from '../../rules/amounts.ts'
import { creditLine } from '../../rules/plan.ts'
import type { Changed, LoggedRow, Rollback } from '../../rules/rollback.ts'
import type { LedgerUser, Transaction } from '../../rules/types.ts'
import { grantValues, mutationLineFor, userValues } from './mutation-lines.ts'
import { bareLine, creditRecord, type LineContext, type Outcome, type UserLine } from './user-line.ts'

/**
 * The line of a user who is rolled back. Amounts have the opposite sign of the run's own, so that the lines
 * of all runs add up to what expired: a rollback of 5 USD that had expired shows `expired_microdollars:
 * -5000000`.
 */
export function rollbackLine(
  context: LineContext,
  rollback: Rollback,
  rows: readonly Transaction[],
  inputs: unknown,
): UserLine {
  const { user, logged } = rollback
  const byId = new Map(rows.map((row) => [row.id, row]))
  const targeted = new Set(logged.grants.filter((grant) => grant.targeted).map(({ id }) => id))
  const closings = logged.inserted.filter(({ closes }) => closes !== null)
  const expired = sum(closings.filter(({ closes }) => targeted.has(closes ?? '')))
  const duePaid = sum(closings.filter(({ closes }) => !targeted.has(closes ?? '')))
  const correction = 0 - sum(logged.inserted.filter(({ closes }) => closes === null))
  const final = rollback.acquiredMicrodollars - user.usedMicrodollars
  return {
    ...notRolledBackLine(context, user, 'rolled_back', [], inputs),
    grants_targeted: targeted.size,
    expired_microdollars: expired,
    due_paid_microdollars: duePaid,
    balance_after_expiry_microdollars: final - correction,
    correction_microdollars: correction,
    final_balance_microdollars: final,
    next_credit_expiration_at: rollback.nextCreditExpirationAt,
    credits: closings.flatMap(({ closes, amountMicrodollars }) => {
      const grant = byId.get(closes ?? '')
      if (!grant) return []
      const baseline = grant.expirationBaselineMicrodollars
      return [creditRecord(creditLine(grant, targeted.has(grant.id), baseline, amountMicrodollars))]
    }),
  }
}

function sum(rows: readonly LoggedRow[]): number {
  return rows.reduce((total, { amountMicrodollars }) => total + amountMicrodollars, 0)
}

/** The line of a user that a rollback does not change: what differs from what the run left. @throws UnusableValue */
export function notRolledBackLine(
  context: LineContext,
  user: LedgerUser,
  outcome: Outcome,
  changed: readonly Changed[],
  inputs: unknown,
): UserLine {
  const balance = add(user.acquiredMicrodollars, -user.usedMicrodollars)
  return {
    ...bareLine(context, user.id, user.email, outcome),
    balance_before_microdollars: balance,
    used_microdollars: user.usedMicrodollars,
    balance_after_expiry_microdollars: balance,
    final_balance_microdollars: balance,
    next_credit_expiration_at: user.nextCreditExpirationAt,
    ...(changed.length > 0 && { changed }),
    inputs,
  }
}

/**
 * One line for each row that the rollback changes or deletes: `before` is what is there now, `after` what is
 * left.
 */
export function rollbackMutations(context: LineContext, rollback: Rollback): string[] {
  const { user, logged } = rollback
  const line = mutationLineFor(context, user.id)
  return [
    line(
      'user_update',
      user.id,
      userValues(user.acquiredMicrodollars, user.nextCreditExpirationAt),
      userValues(rollback.acquiredMicrodollars, rollback.nextCreditExpirationAt),
    ),
    ...logged.grants.map(({ id, targeted, before, after }) =>
      line(
        targeted ? 'credit_restored' : 'baseline_restored',
        id,
        grantValues(after.expiryDate, after.expirationBaselineMicrodollars),
        grantValues(before.expiryDate, before.expirationBaselineMicrodollars),
      ),
    ),
    ...logged.inserted.map(({ id, closes, row }) =>
      line(closes === null ? 'accounting_adjustment_delete' : 'credits_expired_delete', id, row, null),
    ),
  ]
}

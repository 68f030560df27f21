import { createHash } from 'node:crypto'
import type { PlannedUser } from '../ledger/apply.ts'
import { CLOSING_CATEGORY, CORRECTION_CATEGORY, isClosingRow, isCorrection } from '../rules/grants.ts'
import type {
  ChangePlan,
  CreditLine,
  Flag,
  Plan,
  RuleSettings,
  SkippedPlan,
  Transaction,
} from '../rules/types.ts'

/** The lines of the logs, as objects: 3-contract, "The bucket". snake_case, ISO times, integers in microdollars. */

export type Outcome =
  | ChangePlan['outcome']
  | SkippedPlan['outcome']
  | 'exceeds_plan'
  | 'rolled_back'
  | 'already_rolled_back'
  | 'changed_since'
  | 'not_internal'
  | 'gone'
  | 'failed'
  | 'not_reached'

export type UserLine = {
  run_id: string
  mode: string
  user_id: string
  email: string | null
  outcome: Outcome
  balance_before_microdollars: number | null
  used_microdollars: number | null
  grants_targeted: number
  expired_microdollars: number
  due_paid_microdollars: number
  balance_after_expiry_microdollars: number | null
  correction_microdollars: number
  final_balance_microdollars: number | null
  next_credit_expiration_at: string | null
  flags: readonly Flag[]
  credits: readonly object[]
  recovered?: true
  /** Rollback: what changed since the run, where that keeps the user from being rolled back. */
  changed?: readonly object[]
}

/** Which run a line belongs to. */
export type RunName = { readonly runId: string; readonly mode: string }

/** The line of a user who was planned; balances are those before, after expiry and at the end. */
export function planLine(run: RunName, plan: Plan): UserLine {
  const { user, change } = plan
  const before = user.acquiredMicrodollars - user.usedMicrodollars
  const correction = change?.correction?.amountMicrodollars ?? 0
  const final = change ? change.acquiredMicrodollars - user.usedMicrodollars : before
  return {
    run_id: run.runId,
    mode: run.mode,
    user_id: user.id,
    email: user.email,
    outcome: plan.outcome,
    balance_before_microdollars: before,
    used_microdollars: user.usedMicrodollars,
    grants_targeted: plan.grantsTargeted,
    expired_microdollars: change ? plan.expiredMicrodollars : 0,
    due_paid_microdollars: change ? plan.duePaidMicrodollars : 0,
    balance_after_expiry_microdollars: final - correction,
    correction_microdollars: correction,
    final_balance_microdollars: final,
    next_credit_expiration_at: change ? change.nextCreditExpirationAt : user.nextCreditExpirationAt,
    flags: plan.flags,
    credits: plan.credits.map(creditRecord),
  }
}

/** The line of a user whose fresh plan goes beyond the approved one: nothing is done, and it shows what was found. */
export function exceedsPlanLine(run: RunName, plan: ChangePlan): UserLine {
  const { user } = plan
  const balance = user.acquiredMicrodollars - user.usedMicrodollars
  return {
    ...planLine(run, plan),
    outcome: 'exceeds_plan',
    expired_microdollars: 0,
    due_paid_microdollars: 0,
    balance_after_expiry_microdollars: balance,
    correction_microdollars: 0,
    final_balance_microdollars: balance,
    next_credit_expiration_at: user.nextCreditExpirationAt,
    flags: [],
    credits: plan.credits.map((credit) => creditRecord({ ...credit, expiredMicrodollars: null })),
  }
}

/** The line of a user of whom there is no plan. */
export function bareLine(run: RunName, userId: string, email: string | null, outcome: Outcome): UserLine {
  return {
    run_id: run.runId,
    mode: run.mode,
    user_id: userId,
    email,
    outcome,
    balance_before_microdollars: null,
    used_microdollars: null,
    grants_targeted: 0,
    expired_microdollars: 0,
    due_paid_microdollars: 0,
    balance_after_expiry_microdollars: null,
    correction_microdollars: 0,
    final_balance_microdollars: null,
    next_credit_expiration_at: null,
    flags: [],
    credits: [],
  }
}

/** One grant as a user's line shows it. */
export function creditRecord(credit: CreditLine): object {
  return {
    id: credit.id,
    credit_category: credit.creditCategory,
    is_free: credit.isFree,
    targeted: credit.targeted,
    amount_microdollars: credit.amountMicrodollars,
    had_expiry_date: credit.hadExpiryDate,
    baseline_microdollars_used: credit.baselineMicrodollars,
    expired_microdollars: credit.expiredMicrodollars,
  }
}

/** Makes the lines of mutations.jsonl for one user of one attempt: one changed, inserted or deleted row each. */
export function mutationLine(run: RunName, attempt: string, userId: string) {
  const { runId: run_id, mode } = run
  return (type: string, row_id: string, before: object | null, after: object | null): string =>
    JSON.stringify({ run_id, mode, attempt, user_id: userId, type, row_id, before, after })
}

/** One line for each row that is changed or inserted, with its values before and after; the user's own first. */
export function mutationLines(
  run: RunName,
  attempt: string,
  planned: PlannedUser,
  closings: object,
): string[] {
  const { plan, closingIds, correctionId } = planned
  const { user, change } = plan
  const line = mutationLine(run, attempt, user.id)
  return [
    line(
      'user_update',
      user.id,
      {
        total_microdollars_acquired: user.acquiredMicrodollars,
        next_credit_expiration_at: user.nextCreditExpirationAt,
        ...closings,
      },
      {
        total_microdollars_acquired: change.acquiredMicrodollars,
        next_credit_expiration_at: change.nextCreditExpirationAt,
      },
    ),
    ...change.grants.map(({ grant, targeted, expiryDate, expirationBaselineMicrodollars }) =>
      line(
        targeted ? 'credit_dated' : 'baseline_raised',
        grant.id,
        dateAndBaseline(grant.expiryDate, grant.expirationBaselineMicrodollars),
        dateAndBaseline(expiryDate, expirationBaselineMicrodollars),
      ),
    ),
    ...change.closings.map((row, index) => {
      const id = closingIds[index] ?? ''
      const closing = { ...row, isFree: row.grant.isFree, category: CLOSING_CATEGORY, link: row.grant.id }
      return line('credits_expired_insert', id, null, wholeRow(id, user.id, closing))
    }),
    ...(change.correction && correctionId !== null
      ? [
          line(
            'accounting_adjustment_insert',
            correctionId,
            null,
            wholeRow(correctionId, user.id, {
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

function dateAndBaseline(expiryDate: string | null, baseline: number | null): object {
  return { expiry_date: expiryDate, expiration_baseline_microdollars_used: baseline }
}

type NewRow = {
  amountMicrodollars: number
  description: string
  createdAt: string
  originalBaselineMicrodollars: number
  isFree: boolean
  category: string
  link: string | null
}

/** All columns of an inserted row, those left to their defaults too: a rollback compares the whole row. */
function wholeRow(id: string, userId: string, row: NewRow): object {
  return {
    id,
    kilo_user_id: userId,
    amount_microdollars: row.amountMicrodollars,
    expiration_baseline_microdollars_used: null,
    original_baseline_microdollars_used: row.originalBaselineMicrodollars,
    is_free: row.isFree,
    description: row.description,
    stripe_payment_id: null,
    coinbase_credit_block_id: null,
    credit_category: row.category,
    original_transaction_id: row.link,
    expiry_date: null,
    created_at: row.createdAt,
    organization_id: null,
    check_category_uniqueness: false,
    created_by_kilo_user_id: null,
  }
}

/** Count and hash of a user's closing rows and corrections: how a rollback sees that something was built on top. */
export function closingsBefore(
  rows: readonly Transaction[],
  rules: RuleSettings,
): { closings_count: number; closings_sha256: string } {
  const ids = rows
    .filter((row) => isClosingRow(row) || isCorrection(row, rules))
    .map((row) => `${row.id}:${row.amountMicrodollars}`)
  const sha256 = createHash('sha256').update(ids.toSorted().join('\n')).digest('hex')
  return { closings_count: ids.length, closings_sha256: sha256 }
}

export type ErrorStage = 'read' | 'plan' | 'intent' | 'apply' | 'outcome'

/** One line of the error log: which user failed, where, and after how many attempts. */
export function errorLine(
  run: RunName,
  failure: {
    userId: string
    page: number
    stage: ErrorStage
    error: string
    sqlState: string | null
    message: string
    attempts: number
  },
  at: Date,
): object {
  return {
    run_id: run.runId,
    user_id: failure.userId,
    page: failure.page,
    stage: failure.stage,
    error: failure.error,
    sqlstate: failure.sqlState,
    message: failure.message,
    attempts: failure.attempts,
    at: at.toISOString(),
  }
}

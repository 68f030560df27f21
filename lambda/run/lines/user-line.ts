import type { Mode } from '../../constants.ts'
import { add } from '../../rules/amounts.ts'
import type {
  ChangePlan,
  CreditLine,
  Flag,
  FlagDetail,
  Plan,
  ReviewRow,
  SkippedPlan,
} from '../../rules/types.ts'
import type { Exceeded } from '../../rules/within-plan.ts'

/** The lines of the users log: 3-contract, "The bucket". snake_case, ISO times, integers in microdollars. */

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

/** Which attempt of which run a line belongs to, and the run's instant. */
export type LineContext = {
  readonly runId: string
  readonly mode: Mode
  readonly at: string
  readonly attempt: string
}

export type CreditRecord = {
  readonly id: string
  readonly credit_category: string | null
  readonly description: string | null
  readonly created_at: string
  readonly is_free: boolean
  readonly targeted: boolean
  readonly amount_microdollars: number
  readonly had_expiry_date: string | null
  readonly baseline_microdollars_used: number | null
  readonly expired_microdollars: number | null
}

/** One flag's figures; which ones it has depends on the flag. */
export type FlagRecord = {
  readonly flag: Flag
  readonly amount_microdollars?: number
  readonly expiry_date?: string
  readonly [figure: string]: string | number | null | undefined
}

export type ReviewRecord = {
  readonly id: string
  readonly credit_category: string | null
  readonly amount_microdollars: number
  readonly created_at: string
  readonly why: ReviewRow['why']
}

export type UserLine = {
  readonly run_id: string
  readonly mode: string
  readonly at: string
  readonly attempt: string
  readonly user_id: string
  readonly email: string | null
  readonly outcome: Outcome
  readonly balance_before_microdollars: number | null
  readonly used_microdollars: number | null
  readonly grants_targeted: number
  readonly expired_microdollars: number
  readonly due_paid_microdollars: number
  readonly balance_after_expiry_microdollars: number | null
  readonly correction_microdollars: number
  readonly final_balance_microdollars: number | null
  readonly next_credit_expiration_at: string | null
  readonly flags: readonly Flag[]
  /** The figures behind the flags. */
  readonly flag_details: readonly FlagRecord[]
  readonly credits: readonly CreditRecord[]
  /** Grants that a selection or the configuration takes out. */
  readonly excluded?: readonly object[]
  /** The rows that made the user `needs_review`. */
  readonly review?: readonly ReviewRecord[]
  /** What exceeds the plan: shown and found. */
  readonly exceeds?: readonly object[]
  /** What differs from what the run left: expected and found. */
  readonly changed?: readonly object[]
  /** What planning was given, packed: see rules/inputs.ts. */
  readonly inputs?: unknown
  readonly recovered?: true
}

/**
 * The line of a user who was planned; balances are those before, after expiry and at the end.
 * @throws UnusableValue
 */
export function planLine(context: LineContext, plan: Plan, inputs: unknown): UserLine {
  const { user, change } = plan
  const before = add(user.acquiredMicrodollars, -user.usedMicrodollars)
  const correction = change?.correction?.amountMicrodollars ?? 0
  const final = change ? change.acquiredMicrodollars - user.usedMicrodollars : before
  return {
    ...headOf(context, user.id, user.email),
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
    flag_details: plan.details.map(detailRecord),
    credits: plan.credits.map(creditRecord),
    ...(plan.excluded.length > 0 && { excluded: plan.excluded.map(excludedRecord) }),
    ...(plan.change === null && plan.review.length > 0 && { review: plan.review.map(reviewRecord) }),
    inputs,
  }
}

/**
 * The line of a user who is not touched, although there was a plan: nothing expires, and it shows the grants
 * found.
 */
export function untouchedLine(
  context: LineContext,
  plan: ChangePlan,
  why: { readonly outcome: Outcome; readonly exceeds: readonly object[] },
  inputs: unknown,
): UserLine {
  const { user } = plan
  const balance = user.acquiredMicrodollars - user.usedMicrodollars
  return {
    ...planLine(context, plan, inputs),
    outcome: why.outcome,
    expired_microdollars: 0,
    due_paid_microdollars: 0,
    balance_after_expiry_microdollars: balance,
    correction_microdollars: 0,
    final_balance_microdollars: balance,
    next_credit_expiration_at: user.nextCreditExpirationAt,
    flags: [],
    flag_details: [],
    credits: plan.credits.map((credit) => creditRecord({ ...credit, expiredMicrodollars: null })),
    exceeds: why.exceeds,
  }
}

/** The line of a user without a plan. */
export function bareLine(
  context: LineContext,
  userId: string,
  email: string | null,
  outcome: Outcome,
): UserLine {
  return {
    ...headOf(context, userId, email),
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
    flag_details: [],
    credits: [],
  }
}

function headOf({ runId, mode, at, attempt }: LineContext, userId: string, email: string | null) {
  return { run_id: runId, mode, at, attempt, user_id: userId, email }
}

/** One grant as a user's line shows it. */
export function creditRecord(credit: CreditLine): CreditRecord {
  return {
    id: credit.id,
    credit_category: credit.creditCategory,
    description: credit.description,
    created_at: credit.createdAt,
    is_free: credit.isFree,
    targeted: credit.targeted,
    amount_microdollars: credit.amountMicrodollars,
    had_expiry_date: credit.hadExpiryDate,
    baseline_microdollars_used: credit.baselineMicrodollars,
    expired_microdollars: credit.expiredMicrodollars,
  }
}

function excludedRecord(grant: Plan['excluded'][number]): object {
  return {
    id: grant.id,
    credit_category: grant.creditCategory,
    amount_microdollars: grant.amountMicrodollars,
    why: grant.why,
  }
}

function reviewRecord(row: ReviewRow): ReviewRecord {
  return {
    id: row.id,
    credit_category: row.category,
    amount_microdollars: row.amountMicrodollars,
    created_at: row.createdAt,
    why: row.why,
  }
}

function detailRecord(detail: FlagDetail): FlagRecord {
  switch (detail.flag) {
    case 'auto_top_up_risk':
      return { flag: detail.flag, final_balance_microdollars: detail.finalBalanceMicrodollars }
    case 'due_paid_credit':
      return { flag: detail.flag, amount_microdollars: detail.amountMicrodollars }
    case 'overdrawn_before':
      return { flag: detail.flag, balance_microdollars: detail.balanceMicrodollars }
    case 'link_taken':
      return { flag: detail.flag, grant_id: detail.grantId, link_id: detail.linkId }
    case 'negative_dated':
      return {
        flag: detail.flag,
        id: detail.id,
        amount_microdollars: detail.amountMicrodollars,
        expiry_date: detail.expiryDate,
      }
    case 'unlinked_deduction':
      return { flag: detail.flag, rows: detail.rows, amount_microdollars: detail.amountMicrodollars }
  }
}

/** What exceeds an approved plan, as the user's line shows it. */
export function exceededRecord({ what, id, shownMicrodollars, nowMicrodollars }: Exceeded): object {
  return { what, id, expected_microdollars: shownMicrodollars, found_microdollars: nowMicrodollars }
}

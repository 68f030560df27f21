/** One row of `kilocode_users`, as far as the rules need it. Amounts are safe integers in microdollars. */
export type LedgerUser = {
  readonly id: string
  readonly email: string
  readonly usedMicrodollars: number
  readonly acquiredMicrodollars: number
  readonly nextCreditExpirationAt: LedgerTime | null
  readonly autoTopUpEnabled: boolean
}

/** One row of `credit_transactions`. A positive personal one is a grant, free or paid. */
export type Transaction = {
  readonly id: string
  readonly amountMicrodollars: number
  readonly expirationBaselineMicrodollars: number | null
  readonly originalBaselineMicrodollars: number | null
  readonly isFree: boolean
  readonly description: string | null
  readonly creditCategory: string | null
  readonly originalTransactionId: string | null
  readonly expiryDate: LedgerTime | null
  readonly createdAt: LedgerTime
  readonly organizationId: string | null
}

/** ISO text in UTC with six decimals (`2026-11-22T06:12:30.123456Z`), `infinity` or `-infinity`: see times.ts. */
export type LedgerTime = string

/** What the rules may depend on beside the user and their rows. */
export type Rules = {
  /** The run's instant, with six decimals. */
  readonly instant: LedgerTime
  readonly minGrantAgeSeconds: number
  /** Descriptions of corrections that earlier tools wrote, beside this job's own. */
  readonly correctionDescriptions: readonly string[]
}

/** What is known about one user beside their rows. */
export type Circumstances = {
  /** Named in the event's `userIds`: a person has looked at this user. */
  readonly named: boolean
  /** Transactions whose link the database said is taken (by a row of somebody else). */
  readonly takenLinks: ReadonlySet<string>
}

export type Flag =
  | 'auto_top_up_risk'
  | 'due_paid_credit'
  | 'overdrawn_before'
  | 'link_taken'
  | 'negative_dated'

/** One grant as the user's log line shows it; `expiredMicrodollars` is null where the user is left alone. */
export type CreditLine = {
  readonly id: string
  readonly creditCategory: string | null
  readonly isFree: boolean
  readonly targeted: boolean
  readonly amountMicrodollars: number
  readonly hadExpiryDate: LedgerTime | null
  readonly baselineMicrodollars: number | null
  readonly expiredMicrodollars: number | null
}

/** A `credits_expired` row to insert, beside the grant that it closes. */
export type ClosingRow = {
  readonly grant: Transaction
  readonly amountMicrodollars: number
  readonly description: string
  readonly createdAt: LedgerTime
  readonly originalBaselineMicrodollars: number
}

/** The one `accounting_adjustment` row that brings a negative balance to exactly zero. */
export type CorrectionRow = {
  readonly amountMicrodollars: number
  readonly description: string
  readonly createdAt: LedgerTime
  readonly originalBaselineMicrodollars: number
}

/** An existing grant whose date or baseline is written. */
export type GrantChange = {
  readonly grant: Transaction
  readonly targeted: boolean
  readonly expiryDate: LedgerTime | null
  readonly expirationBaselineMicrodollars: number
}

/** What is to be written for one user: complete, printable, and nothing else is written. */
export type Change = {
  readonly closings: readonly ClosingRow[]
  readonly grants: readonly GrantChange[]
  readonly correction: CorrectionRow | null
  readonly acquiredMicrodollars: number
  readonly nextCreditExpirationAt: LedgerTime | null
}

type PlanCommon = {
  readonly user: LedgerUser
  readonly flags: readonly Flag[]
  readonly credits: readonly CreditLine[]
  readonly grantsTargeted: number
}

/** A user whom the run changes. Balances and amounts in microdollars. */
export type ChangePlan = PlanCommon & {
  readonly outcome: 'expired' | 'nothing_to_expire'
  readonly expiredMicrodollars: number
  readonly duePaidMicrodollars: number
  readonly change: Change
}

/** A user whom the run does not touch, and why. */
export type LeftAlonePlan = PlanCommon & {
  readonly outcome: 'no_targeted_grant' | 'too_recent' | 'needs_review'
  readonly change: null
}

export type Plan = ChangePlan | LeftAlonePlan

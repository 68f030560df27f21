/** One row of `kilocode_users`, as far as the rules need it. Amounts are safe integers in microdollars. */
export type LedgerUser = {
  readonly id: string
  readonly email: string
  readonly usedMicrodollars: number
  readonly acquiredMicrodollars: number
  readonly nextCreditExpirationAt: LedgerTime | null
  readonly autoTopUpEnabled: boolean
}

/**
 * One row of `credit_transactions`. A positive personal one that is no closing row is a grant, free or paid.
 */
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

/**
 * ISO text in UTC with six decimals (`2026-11-22T06:12:30.123456Z`), `infinity` or `-infinity`: see times.ts.
 */
export type LedgerTime = string

/** What the rules of a whole run depend on. A category pattern is exact or ends in `*`: see categories.ts. */
export type RuleSettings = {
  /** The run's instant, with six decimals. */
  readonly instant: LedgerTime
  readonly minGrantAgeSeconds: number
  /** Descriptions of corrections that earlier tools wrote, beside this job's own. */
  readonly correctionDescriptions: readonly string[]
  /** Category patterns of rows that may have taken a grant back without a link. */
  readonly reviewCategories: readonly string[]
  /** Only grants of these category patterns are targeted; null selects all. */
  readonly categories: readonly string[] | null
  /** Grants of these category patterns are not targeted. */
  readonly excludedCategories: readonly string[]
}

/** What is known about one user beside the user's rows. */
export type Circumstances = {
  /** Named in the event's `userIds`: a person has looked at this user. */
  readonly named: boolean
  /** Listed in `exceptUserIds` or EXCLUDED_USER_IDS: the user is not touched. */
  readonly excluded: boolean
  /** Transactions whose link the database reported as taken, by a row of another user. */
  readonly takenLinks: ReadonlySet<string>
}

/**
 * Something to know about a user, with the figures that a sentence about it needs. Amounts in microdollars.
 */
export type FlagDetail =
  | { readonly flag: 'auto_top_up_risk'; readonly finalBalanceMicrodollars: number }
  /** The sum of paid credit that was due and expires in the same pass. */
  | { readonly flag: 'due_paid_credit'; readonly amountMicrodollars: number }
  /** The negative balance before the run. */
  | { readonly flag: 'overdrawn_before'; readonly balanceMicrodollars: number }
  /** One for each grant; `linkId` is the row that links to it, null where it belongs to another user. */
  | { readonly flag: 'link_taken'; readonly grantId: string; readonly linkId: string | null }
  /** One for each row; on `expiryDate` production gives the user `-amountMicrodollars` of credit back. */
  | {
      readonly flag: 'negative_dated'
      readonly id: string
      readonly amountMicrodollars: number
      readonly expiryDate: LedgerTime
    }
  /** Number and sum (negative) of the rows. */
  | { readonly flag: 'unlinked_deduction'; readonly rows: number; readonly amountMicrodollars: number }

export type Flag = FlagDetail['flag']

/** One grant as the user's log line shows it; `expiredMicrodollars` is null where the user is skipped. */
export type CreditLine = {
  readonly id: string
  readonly creditCategory: string | null
  readonly description: string | null
  readonly createdAt: LedgerTime
  readonly isFree: boolean
  readonly targeted: boolean
  readonly amountMicrodollars: number
  readonly hadExpiryDate: LedgerTime | null
  readonly baselineMicrodollars: number | null
  readonly expiredMicrodollars: number | null
}

/** A grant that would be targeted if it were not excluded, and what excluded it. */
export type ExcludedGrant = {
  readonly id: string
  readonly creditCategory: string | null
  readonly amountMicrodollars: number
  readonly why: 'user_excluded' | 'category_excluded' | 'category_not_selected'
}

/** A row that makes a user `needs_review`. What to check: see WHAT_TO_CHECK in review.ts. */
export type ReviewRow = {
  readonly id: string
  readonly category: string | null
  readonly amountMicrodollars: number
  readonly createdAt: LedgerTime
  readonly why: 'reversal_without_link' | 'positive_closing_row'
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
  /** The names in `details`, once each. */
  readonly flags: readonly Flag[]
  readonly details: readonly FlagDetail[]
  readonly credits: readonly CreditLine[]
  readonly grantsTargeted: number
  readonly excluded: readonly ExcludedGrant[]
}

/** A user that the run changes. Balances and amounts in microdollars. */
export type ChangePlan = PlanCommon & {
  readonly outcome: 'expired' | 'nothing_to_expire'
  /** What expires of targeted grants. */
  readonly expiredMicrodollars: number
  /** What expires by the other closing rows: due paid credit, and due free credit that is not targeted. */
  readonly duePaidMicrodollars: number
  readonly change: Change
}

/** A user that the run does not touch, and why. `review` is empty unless the outcome is `needs_review`. */
export type SkippedPlan = PlanCommon & {
  readonly outcome: 'no_targeted_grant' | 'excluded' | 'too_recent' | 'needs_review'
  readonly review: readonly ReviewRow[]
  readonly change: null
}

export type Plan = ChangePlan | SkippedPlan

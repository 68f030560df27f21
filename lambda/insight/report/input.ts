/** What a report needs of an exit card (3-contract, "Exit card"). Amounts have the sign of the log lines. */
export type ReportCard = {
  readonly runId: string
  readonly mode: string
  readonly instant: string
  readonly status: string
  readonly why: string
  readonly asked: {
    readonly by: string
    readonly via: string
    readonly reason: string | null
    readonly plan: string | null
    readonly payload: Readonly<Record<string, unknown>>
  }
  readonly domains: readonly string[]
  readonly totals: {
    readonly usersMatched: number
    readonly usersWithoutGrants: number
    readonly usersProcessed: number
    readonly usersSkipped: number
    readonly usersFailed: number
    readonly usersNotReached: number
    readonly grantsTargeted: number
    readonly expiredMicrodollars: number
    readonly duePaidMicrodollars: number
    readonly usersCorrected: number
    readonly correctedMicrodollars: number
    /** Users by the outcome of their line. */
    readonly outcomes: Readonly<Record<string, number>>
  }
  readonly byCategory: readonly CategoryTotal[]
  readonly warnings: readonly string[]
  /** Where the logs are, by name: `s3://` locations, and `https://` addresses of the console. */
  readonly logs: Readonly<Record<string, string>>
  readonly next: { readonly text: string; readonly payload: Readonly<Record<string, unknown>> } | null
  /** The rollback runs that rolled this run back, wholly or for some users. */
  readonly rolledBackBy: readonly string[]
  readonly rollsBack: string | null
  readonly sincePrevious: NewSince | null
  readonly sinceExecuted: NewSince | null
}

/** Grants of one credit category; null for grants without a category. */
export type CategoryTotal = {
  readonly category: string | null
  readonly grants: number
  readonly expiredMicrodollars: number
  readonly faceValueMicrodollars: number
}

/** What a dry run shows that an earlier run did not: users, grants, and dollars as text. */
export type NewSince = {
  readonly runId: string
  readonly users: number
  readonly grants: number
  readonly expired: string
}

/** What a report needs of a line of users.jsonl (3-contract, "The bucket"). */
export type UserLogLine = {
  readonly user_id: string
  readonly email: string | null
  readonly outcome: string
  readonly balance_before_microdollars: number | null
  readonly grants_targeted: number
  readonly expired_microdollars: number
  readonly due_paid_microdollars: number
  readonly correction_microdollars: number
  readonly final_balance_microdollars: number | null
  readonly next_credit_expiration_at: string | null
  readonly flags: readonly string[]
  readonly credits: readonly GrantLogEntry[]
  readonly recovered?: boolean
  /**
   * The rows, changes or excesses that kept a user from being touched: texts, or records of columns and
   * values.
   */
  readonly review?: readonly unknown[]
  readonly changed?: readonly unknown[]
  readonly exceeds?: readonly unknown[]
}

export type GrantLogEntry = {
  readonly id: string
  readonly credit_category: string | null
  readonly description: string | null
  readonly created_at: string
  readonly is_free: boolean
  readonly targeted: boolean
  readonly amount_microdollars: number
  readonly expired_microdollars: number | null
}

/** What a report needs of a line of errors.jsonl. */
export type ErrorLogLine = {
  readonly user_id: string | null
  readonly stage: string
  readonly error: string
  readonly message: string
}

/** Everything that a report shows. Amounts moved are magnitudes, whichever way the mode moves them. */
export type ReportInput = {
  readonly card: ReportCard
  /** Those with the largest amounts, the largest first. */
  readonly users: readonly ReportUser[]
  /** Lines read, of which `users` may hold a part. */
  readonly usersLogged: number
  readonly byDomain: readonly Share[]
  readonly byBalance: readonly Share[]
  /** By outcome; the users with the largest amounts of each as examples. */
  readonly skipped: readonly { readonly outcome: string; readonly users: readonly ReportUser[] }[]
  readonly corrected: readonly ReportUser[]
  readonly failures: readonly Failure[]
}

/** One bar: users whose credit the run moved, and how much of it. */
export type Share = {
  readonly label: string
  readonly users: number
  readonly movedMicrodollars: number
}

/** Texts are shortened and without invisible characters; they are still hostile to HTML. */
export type ReportUser = {
  readonly id: string
  readonly email: string | null
  readonly outcome: string
  readonly grantsTargeted: number
  /** Face value of the targeted grants. */
  readonly targetedMicrodollars: number
  readonly beforeMicrodollars: number | null
  readonly movedMicrodollars: number
  readonly otherMicrodollars: number
  readonly correctedMicrodollars: number
  readonly finalMicrodollars: number | null
  readonly nextExpiration: string | null
  readonly flags: readonly string[]
  readonly reasons: readonly string[]
  readonly recovered: boolean
  readonly grants: readonly ReportGrant[]
  /** Grants of the log line that `grants` leaves out: the smaller ones. */
  readonly grantsOmitted: number
}

export type ReportGrant = {
  readonly category: string | null
  readonly description: string | null
  /** The day, `2026-04-01`. */
  readonly created: string
  readonly free: boolean
  readonly targeted: boolean
  readonly amountMicrodollars: number
  /** Null where the run did not close the grant. */
  readonly movedMicrodollars: number | null
}

export type Failure = {
  readonly userId: string | null
  readonly stage: string
  readonly message: string
}

import * as z from 'zod'
import type { ExitCard } from '../../exit-card.ts'
import { loggedCredit, loggedLine, SHOWN_OF_A_USER } from '../logged-line.ts'
import type { Warning } from '../../run/lines/glossary.ts'

/** What a report needs of an exit card (3-contract, "Exit card"). Amounts have the sign of the log lines. */
export type ReportCard = Omit<ExitCard, 'progress' | 'status'> & {
  /** One that this version does not know is shown by its name. */
  readonly status: string
}

/** What a report needs of a line of the users log (3-contract, "The bucket"). */
export const userLogLine = loggedLine
  .pick({ ...SHOWN_OF_A_USER, next_credit_expiration_at: true, recovered: true })
  .extend({
    flags: z.array(z.string()).readonly(),
    flag_details: z.array(z.unknown()).readonly(),
    credits: z
      .array(loggedCredit.omit({ had_expiry_date: true, baseline_microdollars_used: true }))
      .readonly(),
    /**
     * The rows, changes or excesses that kept a user from being touched: texts, or records of columns and
     * values.
     */
    review: z.array(z.unknown()).readonly().optional(),
    changed: z.array(z.unknown()).readonly().optional(),
    exceeds: z.array(z.unknown()).readonly().optional(),
  })
export type UserLogLine = z.infer<typeof userLogLine>
export type GrantLogEntry = UserLogLine['credits'][number]

/** What a report needs of a line of the errors log. */
export const errorLogLine = z.object({
  user_id: z.string().nullable(),
  stage: z.string(),
  error: z.string(),
  message: z.string(),
})
export type ErrorLogLine = z.infer<typeof errorLogLine>

/** Everything that a report shows. Amounts moved are magnitudes, whichever way the mode moves them. */
export type ReportInput = {
  readonly card: ReportCard
  /** Those of the card. */
  readonly warnings: readonly Warning[]
  /** Those with the largest amounts, the largest first. */
  readonly users: readonly ReportUser[]
  /** Lines read, of which `users` may hold a part. */
  readonly usersLogged: number
  readonly byDomain: readonly Share[]
  readonly byBalance: readonly Share[]
  /** By outcome; the users with the largest amounts of each as examples. */
  readonly skipped: readonly { readonly outcome: string; readonly users: readonly ReportUser[] }[]
  readonly corrected: readonly ReportUser[]
  readonly failures: readonly ReportedFailure[]
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

export type ReportedFailure = {
  readonly userId: string | null
  readonly stage: string
  readonly message: string
}

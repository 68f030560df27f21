import * as z from 'zod'

const microdollars = z.int()

/** A grant on a line of the users log. */
export const loggedCredit = z.object({
  id: z.string(),
  credit_category: z.string().nullable(),
  description: z.string().nullable(),
  created_at: z.string(),
  is_free: z.boolean(),
  targeted: z.boolean(),
  amount_microdollars: microdollars,
  had_expiry_date: z.string().nullable(),
  baseline_microdollars_used: microdollars.nullable(),
  expired_microdollars: microdollars.nullable(),
})
export type LoggedCredit = z.infer<typeof loggedCredit>

/**
 * Rows that a line shows as they are: what made a user `needs_review`, what exceeds a plan, what changed
 * since.
 */
const shownRows = z.array(z.record(z.string(), z.unknown())).optional()

/** One line of the users log as insight reads it back: 3-contract, "The bucket". */
export const loggedLine = z.object({
  run_id: z.string(),
  mode: z.string(),
  attempt: z.string(),
  user_id: z.string(),
  email: z.string().nullable(),
  outcome: z.string(),
  balance_before_microdollars: microdollars.nullable(),
  used_microdollars: microdollars.nullable(),
  grants_targeted: z.int(),
  expired_microdollars: microdollars,
  due_paid_microdollars: microdollars,
  balance_after_expiry_microdollars: microdollars.nullable(),
  correction_microdollars: microdollars,
  final_balance_microdollars: microdollars.nullable(),
  next_credit_expiration_at: z.string().nullable(),
  flags: z.array(z.string()),
  /** The rows and amounts because of which a flag is set. */
  flag_details: z.array(z.record(z.string(), z.unknown())),
  credits: z.array(loggedCredit),
  excluded: shownRows,
  review: shownRows,
  exceeds: shownRows,
  changed: shownRows,
  recovered: z.boolean().optional(),
  inputs: z.unknown().optional(),
})
export type LoggedLine = z.infer<typeof loggedLine>

/** What is shown of a user in any list, as the columns to pick. Amounts in microdollars. */
export const SHOWN_OF_A_USER = {
  user_id: true,
  email: true,
  outcome: true,
  balance_before_microdollars: true,
  grants_targeted: true,
  expired_microdollars: true,
  due_paid_microdollars: true,
  correction_microdollars: true,
  final_balance_microdollars: true,
} as const

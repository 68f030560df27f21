/** Flags of users who would be processed: one such user is enough to ask a person. */
export const FLAGS_THAT_STOP = [
  'auto_top_up_risk',
  'due_paid_credit',
  'overdrawn_before',
  'unlinked_deduction',
  'link_taken',
  'negative_dated',
] as const

/** Reasons for which users are skipped: those that the last executed plan showed already do not stop. */
export const SKIPS_THAT_STOP = ['needs_review', 'too_recent', 'excluded'] as const

/** Every name that `autoExecuteStopsOn` may list. */
export const STOPS: readonly string[] = [...FLAGS_THAT_STOP, ...SKIPS_THAT_STOP]

/** The word for an empty list. */
export const NO_STOPS = 'none'

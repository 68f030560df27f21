import { FLAGS } from '../../lambda/run/lines/glossary.ts'
import type { Outcome } from '../../lambda/run/lines/user-line.ts'

/** Flags of users who would be processed: one such user is enough to ask a person. */
export const FLAGS_THAT_STOP = Object.keys(FLAGS)

/** Reasons for which users are skipped: those that the last executed plan showed already do not stop. */
export const SKIPS_THAT_STOP = ['needs_review', 'too_recent', 'excluded'] satisfies Outcome[]

/** Every name that `autoExecuteStopsOn` may list. */
export const STOPS: readonly string[] = [...FLAGS_THAT_STOP, ...SKIPS_THAT_STOP]

/** The word for an empty list. */
export const NO_STOPS = 'none'

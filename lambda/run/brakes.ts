import type { Cursor, Run } from '../archive/documents.ts'
import { dollars, microdollarsOf } from '../exit-card.ts'

/** The same error hitting this many users in a row stops the run: something is wrong with more than these users. */
const SAME_ERROR_IN_A_ROW = 5

/** Corrections done and in flight, held against the run's limit before each apply. */
export type CorrectionsGate = {
  /**
   * Takes an amount into account before it is applied.
   * @throws CorrectionsLimit when the limit would be passed
   */
  reserve(microdollars: number): void
  /** Gives back what was reserved and then not committed. */
  release(microdollars: number): void
}

/** The corrections would pass their limit: the run stops, with everything committed so far in its logs. */
export class CorrectionsLimit extends Error {
  override readonly name = 'CorrectionsLimit'
}

/** A gate for one invocation, beginning with what the run has corrected so far. */
export function correctionsGate(limitUsd: number, doneMicrodollars: number): CorrectionsGate {
  const limit = microdollarsOf(limitUsd)
  let taken = doneMicrodollars
  return {
    reserve(microdollars) {
      if (microdollars > 0 && taken + microdollars > limit) {
        throw new CorrectionsLimit(
          `corrections of ${dollars(taken + microdollars)} would pass the limit of ${dollars(limit)} (LIMIT_CORRECTIONS_USD, limits.correctionsUsd)`,
        )
      }
      taken += microdollars
    },
    release(microdollars) {
      taken -= microdollars
    },
  }
}

/** Why an execute over these matches is refused: one sentence a limit that is passed, none where all hold. 0 means zero. */
export function limitsPassed(matched: Run['matched'], limits: Run['settings']['limits']): string[] {
  const face = microdollarsOf(limits.usd)
  return [
    ...(matched.users > limits.users
      ? [`${matched.users} users match, the limit is ${limits.users} (LIMIT_USERS, limits.users)`]
      : []),
    ...(matched.grants > limits.grants
      ? [`${matched.grants} grants are targeted, the limit is ${limits.grants} (LIMIT_GRANTS, limits.grants)`]
      : []),
    ...(matched.faceValueMicrodollars > face
      ? [
          `the targeted grants' face value is ${dollars(matched.faceValueMicrodollars)}, the limit is ${dollars(face)} (LIMIT_USD, limits.usd)`,
        ]
      : []),
  ]
}

/** Goes on counting how often the last error came in a row; a user who did not fail ends the row. */
export function errorRunAfter(
  errorRun: Cursor['errorRun'],
  errors: readonly (string | null)[],
): Cursor['errorRun'] {
  return errors.reduce<Cursor['errorRun']>((row, error) => {
    if (row.users >= SAME_ERROR_IN_A_ROW) return row
    return { error, users: error !== null && error === row.error ? row.users + 1 : error === null ? 0 : 1 }
  }, errorRun)
}

/** Why the run must stop after what has failed so far, or null. */
export function errorThresholdPassed(cursor: Cursor, settings: Run['settings']): string | null {
  const failed = cursor.totals.usersFailed
  const allowed = Math.max(settings.maxFailedUsers, (cursor.usersDone * settings.maxFailedPercent) / 100)
  if (failed > allowed) {
    return `${failed} of ${cursor.usersDone} users failed, more than ${settings.maxFailedUsers} (MAX_FAILED_USERS) and ${settings.maxFailedPercent} % (MAX_FAILED_PERCENT)`
  }
  if (cursor.errorRun.users >= SAME_ERROR_IN_A_ROW)
    return `the same error hit ${cursor.errorRun.users} users in a row: ${cursor.errorRun.error}`
  return null
}

import type { Cursor } from '../../archive/cursor.ts'
import type { Run } from '../../archive/runs.ts'
import { CorrectionsLimit } from '../errors.ts'
import { correctionsExceeded } from '../lines/totals.ts'

/** The same error for this many users in a row stops the run: more is wrong than these users' data. */
const SAME_ERROR_IN_A_ROW = 5

/**
 * Amounts that a run has written or is about to write, held against its limit and against what a total can
 * hold.
 */
export type Gate = {
  /**
   * Counts amounts before they are written.
   * @throws CorrectionsLimit when the limit would be exceeded or the sum could not be logged exactly
   */
  reserve(amounts: Amounts): void
  /** Takes back what was reserved and then not committed. */
  release(amounts: Amounts): void
}
export type Amounts = { readonly correctedMicrodollars: number; readonly expiredMicrodollars: number }

/** A gate for one invocation, beginning with what the run has written so far. */
export function openGate(limitUsd: number, written: Amounts): Gate {
  let { correctedMicrodollars, expiredMicrodollars } = written
  return {
    reserve(amounts) {
      const corrected = correctedMicrodollars + amounts.correctedMicrodollars
      const why = amounts.correctedMicrodollars > 0 ? correctionsExceeded(corrected, limitUsd) : null
      if (why !== null) throw new CorrectionsLimit(why)
      const expired = expiredMicrodollars + amounts.expiredMicrodollars
      for (const [total, sum] of Object.entries({
        correctedMicrodollars: corrected,
        expiredMicrodollars: expired,
      })) {
        if (!Number.isSafeInteger(sum))
          throw new CorrectionsLimit(`totals.${total} would exceed 2^53 − 1 and could not be exact`)
      }
      correctedMicrodollars = corrected
      expiredMicrodollars = expired
    },
    release(amounts) {
      correctedMicrodollars -= amounts.correctedMicrodollars
      expiredMicrodollars -= amounts.expiredMicrodollars
    },
  }
}

/** Counts how often the last error came in a row; a user who did not fail ends the row. */
export function sameErrorAfter(
  before: Cursor['sameError'],
  errors: readonly (string | null)[],
): Cursor['sameError'] {
  return errors.reduce<Cursor['sameError']>((row, error) => {
    if (row.users >= SAME_ERROR_IN_A_ROW) return row
    return { error, users: error !== null && error === row.error ? row.users + 1 : error === null ? 0 : 1 }
  }, before)
}

/** Why the run must stop after the failures so far, or null. */
export function errorThresholdExceeded(cursor: Cursor, settings: Run['settings']): string | null {
  const failed = cursor.totals.usersFailed
  const { maxFailedUsers, maxFailedPercent } = settings
  if (failed > Math.max(maxFailedUsers, (cursor.usersDone * maxFailedPercent) / 100)) {
    return (
      `${failed} of ${cursor.usersDone} users failed, more than ${maxFailedUsers} (MAX_FAILED_USERS) ` +
      `and ${maxFailedPercent} % (MAX_FAILED_PERCENT)`
    )
  }
  const { error, users } = cursor.sameError
  return users >= SAME_ERROR_IN_A_ROW ? `the same error hit ${users} users in a row: ${error}` : null
}

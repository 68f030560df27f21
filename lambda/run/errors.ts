import { LedgerBusy, LedgerUnavailable } from '../ledger/errors.ts'

/**
 * It is not known yet whether a commit took effect: its users are neither done nor failed. The lease is kept
 * and expires.
 */
export class AttemptOpen extends Error {
  override readonly name = 'AttemptOpen'
}

/**
 * The invocation's time ended in the middle of a page. Its commits are in its intents, and the next
 * invocation settles them.
 */
export class OutOfTime extends Error {
  override readonly name = 'OutOfTime'
}

/**
 * An intent was planned by rules that differ from those of this version, which therefore cannot tell what its
 * attempt committed.
 */
export class PlannedByOtherVersion extends Error {
  override readonly name = 'PlannedByOtherVersion'
}

/**
 * Does what comes before a run is worked on. Where the ledger fails there, nothing was written, and the
 * message says so: the error itself cannot know. `progress` is how far a run that is open already has got.
 * @throws whatever `work` throws
 */
export async function beforeWriting<T>(work: () => Promise<T>, progress?: string): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const isLedgers = error instanceof LedgerUnavailable || error instanceof LedgerBusy
    if (isLedgers && progress !== undefined) error.message += ` This invocation wrote nothing. ${progress}`
    else if (isLedgers && !error.message.includes('Nothing was')) error.message += ' Nothing was written.'
    throw error
  }
}

/** Corrections would exceed their limit: the run stops, with everything committed so far in its logs. */
export class CorrectionsLimit extends Error {
  override readonly name = 'CorrectionsLimit'
}

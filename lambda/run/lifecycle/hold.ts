import { type Hold, readHold, readWriter, swapHold } from '../../archive/control.ts'
import { readCursor } from '../../archive/cursor.ts'
import { ArchiveCorrupt, ArchiveUnavailable } from '../../archive/errors.ts'
import { HOLD_KEY } from '../../archive/keys.ts'
import type { Tools } from '../tools.ts'

/** What a hold or a release answers. Never stored as a card. */
export type HoldAnswer = {
  readonly answer: 'hold' | 'release'
  readonly result: 'held' | 'released'
  readonly by: string
  readonly at: string
  readonly reason: string
  /** The open writing run, and until when it may still commit. */
  readonly openRun: { readonly runId: string; readonly mayCommitUntil: string | null } | null
  /** Why `openRun` is not, or not wholly, known. */
  readonly problem: string | null
  readonly next: { readonly text: string; readonly payload: Record<string, unknown> } | null
}

/** Why writing is held, as a sentence; null when it is not. @throws ArchiveUnavailable */
export async function heldBecause(tools: Pick<Tools, 'store'>): Promise<string | null> {
  const hold = (await readHold(tools.store))?.document
  return hold?.held ? `held by ${hold.by} since ${hold.at}: ${hold.reason}` : null
}

/** So often a hold is tried again where a release came between. */
const MOST_TRIES = 5

/**
 * Holds or releases writing. Changed only by compare-and-swap, so that a late release cannot lift a newer
 * hold: the answer to the loser of a race is what is stored now.
 * @throws ArchiveUnavailable, also when a hold could not be set because others kept releasing
 */
export async function setHold(held: boolean, reason: string, by: string, tools: Tools): Promise<HoldAnswer> {
  const stored = await storeHold({ held, by, at: tools.now().toISOString(), reason }, tools)
  return answerOf(held, stored, await openRunOf(tools))
}

/** Returns what is stored: what is wanted, or the change by another invocation that is kept instead. */
async function storeHold(wanted: Omit<Hold, 'nonce'>, { store }: Tools): Promise<Omit<Hold, 'nonce'>> {
  let read = await readHold(store)
  for (let nth = 1; nth <= MOST_TRIES; nth++) {
    if (await swapHold(store, read, wanted)) return wanted
    read = await readHold(store)
    // A hold is set in spite of a release that came between: stopping must not depend on who was faster.
    if (read && (read.document.held || !wanted.held)) return read.document
  }
  throw new ArchiveUnavailable(
    `${HOLD_KEY} was changed by other invocations ${MOST_TRIES} times while this one tried to write it. ` +
      'Writing is not held. Send the payload again.',
  )
}

type OpenRun = Pick<HoldAnswer, 'openRun' | 'problem'>

function answerOf(asked: boolean, now: Omit<Hold, 'nonce'>, { openRun, problem }: OpenRun): HoldAnswer {
  return {
    answer: asked ? 'hold' : 'release',
    result: now.held ? 'held' : 'released',
    by: now.by,
    at: now.at,
    reason: now.reason,
    openRun,
    problem,
    next: now.held
      ? { text: 'release the hold', payload: { release: 'why it is safe to write again' } }
      : openRun && { text: 'resume the open run', payload: { resume: openRun.runId } },
  }
}

/** Whoever sets a hold must hear that it is set, also where the objects of the open run cannot be read. */
async function openRunOf({ store }: Tools): Promise<OpenRun> {
  let runId: string | null = null
  try {
    runId = (await readWriter(store))?.document.runId ?? null
    if (runId === null) return { openRun: null, problem: null }
    const { lease } = (await readCursor(store, runId)).document
    return { openRun: { runId, mayCommitUntil: lease?.expiresAt ?? null }, problem: null }
  } catch (error) {
    if (!(error instanceof ArchiveCorrupt || error instanceof ArchiveUnavailable)) throw error
    const what = runId === null ? 'which run is open' : 'until when the open run may still commit'
    return {
      openRun: runId === null ? null : { runId, mayCommitUntil: null },
      problem: `it is not known ${what}: an object could not be read. Send {"check": true} to see which one`,
    }
  }
}

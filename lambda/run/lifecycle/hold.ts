import { type Hold, readHold, readWriter, swapHold } from '../../archive/control.ts'
import { findCursor } from '../../archive/cursor.ts'
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
  readonly next: { readonly text: string; readonly payload: Record<string, unknown> } | null
}

/** Why writing is held, as a sentence; null when it is not. @throws ArchiveUnavailable */
export async function heldBecause(tools: Pick<Tools, 'store'>): Promise<string | null> {
  const hold = (await readHold(tools.store))?.document
  return hold?.held ? `held by ${hold.by} since ${hold.at}: ${hold.reason}` : null
}

/**
 * Holds or releases writing. Changed only by compare-and-swap, so that a late release cannot lift a newer
 * hold: the answer to the loser of a race is the hold that is there now.
 * @throws ArchiveUnavailable
 */
export async function setHold(held: boolean, reason: string, by: string, tools: Tools): Promise<HoldAnswer> {
  const read = await readHold(tools.store)
  const wanted = { held, by, at: tools.now().toISOString(), reason }
  const written = await swapHold(tools.store, read, wanted)
  const { document } = (written ? null : await readHold(tools.store)) ?? { document: wanted }
  return answerOf(held, document, await openRunOf(tools))
}

function answerOf(asked: boolean, now: Omit<Hold, 'nonce'>, openRun: HoldAnswer['openRun']): HoldAnswer {
  return {
    answer: asked ? 'hold' : 'release',
    result: now.held ? 'held' : 'released',
    by: now.by,
    at: now.at,
    reason: now.reason,
    openRun,
    next: now.held
      ? { text: 'release the hold', payload: { release: 'why it is safe to write again' } }
      : openRun && { text: 'resume the open run', payload: { resume: openRun.runId } },
  }
}

async function openRunOf({ store }: Tools): Promise<HoldAnswer['openRun']> {
  const runId = (await readWriter(store))?.document.runId ?? null
  if (runId === null) return null
  const cursor = await findCursor(store, runId).catch(() => null)
  return { runId, mayCommitUntil: cursor?.document.lease?.expiresAt ?? null }
}

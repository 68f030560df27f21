import { type ExitCard, isFinal } from '../exit-card.ts'
import { lastCard } from './cards.ts'
import { readWriter } from './control.ts'
import { type Cursor, findCursor, readCursor } from './cursor.ts'
import { ArchiveCorrupt } from './errors.ts'
import { WRITER_KEY } from './keys.ts'
import { isWriting, type Run } from './runs.ts'
import type { Store } from './s3/store.ts'

/**
 * The state of a run: open; closed, with its card (null only where it was deleted); refused at its opening;
 * or prepared and never opened, with nothing written.
 */
export type RunState =
  | { readonly is: 'open'; readonly cursor: Cursor }
  | { readonly is: 'never_opened'; readonly cursor: Cursor | null }
  | { readonly is: 'closed'; readonly cursor: Cursor; readonly card: ExitCard | null }
  | { readonly is: 'refused'; readonly card: ExitCard }

/**
 * Finds out the state of a run. The cursor's state decides; a writing run is worked on only while writer.json
 * names it.
 * @throws ArchiveCorrupt when a run that was opened has no cursor, or is open and writer.json does not name
 * it;
 *   ArchiveUnavailable
 */
export async function stateOf(store: Store, run: Pick<Run, 'runId' | 'mode'>): Promise<RunState> {
  // Closing writes the cursor and then frees the writer: if they disagree, both are read again.
  const found = (await lookUp(store, run)) ?? (await lookUp(store, run))
  if (found) return found
  throw new ArchiveCorrupt(
    `The cursor of run ${run.runId} is open, but ${WRITER_KEY} does not name the run: probably an older version of ` +
      `it was restored. The run may have written to the ledger. Restore the version of ${WRITER_KEY} that names ` +
      `${run.runId}, then send {"resume": "${run.runId}"}.`,
  )
}

/** Null where a run is open by its cursor, and writer.json does not name it. */
async function lookUp(store: Store, { runId, mode }: Pick<Run, 'runId' | 'mode'>): Promise<RunState | null> {
  const isNamed = isWriting(mode) && (await readWriter(store))?.document.runId === runId
  const cursor = (await findCursor(store, runId))?.document ?? null
  const card = await lastCard(store, runId)
  if (cursor?.state === 'closed')
    return { is: 'closed', cursor, card: card && isFinal(card.status) ? card : null }
  if (card?.status === 'refused' || card?.status === 'abandoned') return { is: 'refused', card }
  if (cursor === null) {
    // A run that is named, or has a card, was prepared to the end: its cursor must be there.
    if (card || isNamed) return { is: 'open', cursor: (await readCursor(store, runId)).document }
    return { is: 'never_opened', cursor: null }
  }
  if (!isWriting(mode) || isNamed) return { is: 'open', cursor }
  return cursor.state === 'prepared' ? { is: 'never_opened', cursor } : null
}

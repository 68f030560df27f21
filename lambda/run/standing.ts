import { findCursor, readCursor, readWriter } from '../archive/cursor.ts'
import { type Cursor, isWriting, type Run } from '../archive/documents.ts'
import type { ExitCard } from '../exit-card.ts'
import { cardOf } from './card.ts'
import { isFinal, lastCard } from './stored-card.ts'
import type { Tools } from './tools.ts'

/**
 * How a run stands: open; closed, with its card; refused at its opening; or prepared and never opened by an invocation
 * that was cut off, perhaps before it wrote the cursor.
 */
export type Standing =
  | { readonly is: 'open'; readonly cursor: Cursor }
  | { readonly is: 'unopened'; readonly cursor: Cursor | null }
  | { readonly is: 'closed' | 'refused'; readonly card: ExitCard }

/**
 * Finds out how a run stands. Of an old one only its card tells: state/ goes after 90 days, runs/ and logs/ are kept.
 * @throws ArchiveCorrupt when a run that was opened and not closed has no cursor, ArchiveUnavailable
 */
export async function standingOf(run: Run, tools: Tools): Promise<Standing> {
  const { store } = tools
  const { runId } = run
  // In this order: whoever closes a run writes its card, then its cursor, and then frees the writer.
  const isNamed = isWriting(run.mode) && (await readWriter(store))?.document.runId === runId
  const cursor = (await findCursor(store, runId))?.document ?? null
  const card = await lastCard(store, runId)
  if (card?.status === 'refused') return { is: 'refused', card }
  if (cursor?.closed)
    return {
      is: 'closed',
      card: card && isFinal(card.status) ? card : cardOf(run, cursor, cursor.closed, tools),
    }
  if (cursor) return isWriting(run.mode) && !isNamed ? { is: 'unopened', cursor } : { is: 'open', cursor }
  if (isNamed) return { is: 'open', cursor: (await readCursor(store, runId)).document }
  if (card && isFinal(card.status)) return { is: 'closed', card }
  // A run with a card that is not final was opened: its cursor must be there.
  return card
    ? { is: 'open', cursor: (await readCursor(store, runId)).document }
    : { is: 'unopened', cursor: null }
}

import { parseDocument, serialize } from '../archive/documents.ts'
import { runFileKey } from '../archive/keys.ts'
import { get, type Store, swap } from '../archive/store.ts'
import { type ExitCard, exitCardSchema } from '../exit-card.ts'

const NOT_FINAL = new Set(['incomplete', 'busy'])

/** Whether a card is a run's last word. */
export function isFinal(status: string): boolean {
  return !NOT_FINAL.has(status)
}

async function readCard(store: Store, runId: string) {
  const key = runFileKey(runId, 'summary')
  const stored = await get(store, key)
  return stored && { ...stored, card: parseDocument(exitCardSchema, key, stored.body) }
}

/**
 * Stores a card as the run's summary. A final one stays: whoever comes later gets that one back. Only the holder of
 * the lease may call this (or who refuses a run that nobody else knows of).
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function storeCard(store: Store, card: ExitCard): Promise<string> {
  const body = serialize(card)
  for (;;) {
    const there = await readCard(store, card.runId)
    if (there && isFinal(there.card.status)) return there.body
    // A holder that has lost its lease, and does not know it yet, may store its card in between.
    if ((await swap(store, runFileKey(card.runId, 'summary'), body, there?.etag ?? null)) !== null)
      return body
  }
}

/** The final card of a closed run, as it was stored; null when the run has none. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function finalCard(store: Store, runId: string): Promise<ExitCard | null> {
  const card = await lastCard(store, runId)
  return card && isFinal(card.status) ? card : null
}

/** A run's card as it was last stored, final or not; null when none was. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function lastCard(store: Store, runId: string): Promise<ExitCard | null> {
  return (await readCard(store, runId))?.card ?? null
}

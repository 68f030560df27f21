import { findCursor } from '../../../lambda/archive/cursor.ts'
import { readServer, type Server } from '../../../lambda/ledger/server.ts'
import type { Tools } from '../../../lambda/run/tools.ts'

/* What the command reads beside the handler. Nothing here writes. */

/** Where a writing command would write. @throws LedgerUnavailable */
export async function target({ ledger, store }: Tools): Promise<Server & { readonly bucket: string }> {
  return { ...(await readServer(ledger.writer)), bucket: store.bucket }
}

/**
 * When the lease of a run expires, as ISO text; null where none is held.
 * @throws ArchiveUnavailable, ArchiveCorrupt
 */
export async function leaseExpiresAt(runId: string, { store }: Tools): Promise<string | null> {
  return (await findCursor(store, runId))?.document.lease?.expiresAt ?? null
}

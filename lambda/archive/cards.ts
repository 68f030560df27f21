import * as z from 'zod'
import { type ExitCard, exitCardSchema, isFinal } from '../exit-card.ts'
import { BINARY_TYPE, checked, JSON_TYPE, JSONL_TYPE, parseDocument, serialize } from './documents.ts'
import { runFileKey, runLineKey } from './keys.ts'
import { create, get, swap } from './s3/objects.ts'
import type { Store } from './s3/store.ts'

async function readCard(store: Store, runId: string) {
  const key = runFileKey(runId, 'summary.json')
  const stored = await get(store, key)
  return (
    stored && { body: stored.body, etag: stored.etag, card: parseDocument(exitCardSchema, key, stored.body) }
  )
}

/** A card as it is stored, and its text. */
export type StoredCard = { readonly card: ExitCard; readonly body: string }

/**
 * What storing a card would leave as the run's summary, without storing it: a final one stays.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function cardToStore(store: Store, card: ExitCard): Promise<StoredCard> {
  const there = await readCard(store, card.runId)
  if (there && isFinal(there.card.status)) return { card: there.card, body: there.body }
  return { card, body: serialize(checked(exitCardSchema, card)) }
}

/**
 * Stores a card as the run's summary. A final one stays, and is returned to a later caller. Only the holder
 * of the lease may call this, or the invocation that refuses a run that it prepared.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function storeCard(store: Store, card: ExitCard): Promise<StoredCard> {
  const body = serialize(checked(exitCardSchema, card))
  for (;;) {
    const there = await readCard(store, card.runId)
    if (there && isFinal(there.card.status)) return { card: there.card, body: there.body }
    // A holder that has lost its lease, and does not know it yet, may store its card in between.
    const key = runFileKey(card.runId, 'summary.json')
    if ((await swap(store, key, body, there?.etag ?? null)) !== null) return { card, body }
  }
}

/**
 * Stores the card of a run that is abandoned in place of the one that is there, which may be damaged.
 * @throws ArchiveUnavailable
 */
export async function replaceCard(store: Store, card: ExitCard): Promise<void> {
  const key = runFileKey(card.runId, 'summary.json')
  const body = serialize(checked(exitCardSchema, card))
  for (let stored = false; !stored;) {
    const there = await get(store, key)
    stored = (await swap(store, key, body, there?.etag ?? null)) !== null
  }
}

/**
 * A run's card as it was last stored, final or not; null when none was.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function lastCard(store: Store, runId: string): Promise<ExitCard | null> {
  return (await readCard(store, runId))?.card ?? null
}

const fileSchema = z.object({ key: z.string(), bytes: z.int(), sha256: z.string() })
export const manifestSchema = z.object({
  runId: z.string(),
  softwareVersion: z.string(),
  files: z.array(fileSchema),
  /** Of a writing run: the closed writing run before it, and its manifest. */
  previous: z.object({ runId: z.string(), manifestSha256: z.string() }).nullable(),
})
/** The files of a closed run with size and SHA-256: 8-insight, "verify". */
export type Manifest = z.infer<typeof manifestSchema>
export type ManifestFile = z.infer<typeof fileSchema>

/** A manifest as it is stored: the text whose SHA-256 the next run's manifest names, and which is signed. */
export function manifestText(manifest: Manifest): string {
  return serialize(checked(manifestSchema, manifest))
}

/**
 * Stores the manifest of a run once, and returns the text that is stored.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function createManifest(store: Store, runId: string, body: string): Promise<string> {
  const key = runFileKey(runId, 'manifest.json')
  if (await create(store, key, body, JSON_TYPE)) return body
  // A closing that was interrupted stored it: what is there counts.
  return (await get(store, key))?.body ?? body
}

/**
 * Stores the signature of a run's manifest, unless there is one already: no two signatures are alike, and
 * each is valid.
 * @throws ArchiveUnavailable
 */
export async function createSignature(store: Store, runId: string, signature: Uint8Array): Promise<void> {
  await create(store, runFileKey(runId, 'manifest.sig'), signature, BINARY_TYPE)
}

/** Reads a run's manifest; null when it has none. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function readManifest(
  store: Store,
  runId: string,
): Promise<{ readonly manifest: Manifest; readonly body: string } | null> {
  const key = runFileKey(runId, 'manifest.json')
  const stored = await get(store, key)
  return stored && { manifest: parseDocument(manifestSchema, key, stored.body), body: stored.body }
}

/** Stores the line of a closed run in the table of runs. @throws ArchiveUnavailable */
export async function createRunLine(store: Store, runId: string, line: object): Promise<void> {
  await create(store, runLineKey(runId), `${JSON.stringify(line)}\n`, JSONL_TYPE)
}

import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import { JSON_TYPE, parseDocument, serialize, type Versioned } from './documents.ts'
import { ArchiveCorrupt, writtenByVersion010 } from './errors.ts'
import {
  HOLD_KEY,
  type MarkKind,
  markKey,
  rollbackFolder,
  rollbackKey,
  ROLLBACKS,
  runFileKey,
  WRITER_KEY,
} from './keys.ts'
import { list } from './s3/list.ts'
import { create, get, swap } from './s3/objects.ts'
import type { Store } from './s3/store.ts'

const closedRun = z.object({ runId: z.string(), manifestSha256: z.string() })
/** The last closed writing run, and the SHA-256 of its manifest: the link of the chain of runs. */
export type ClosedRun = z.infer<typeof closedRun>

const writerSchema = z.object({
  /** The open writing run, or none. */
  runId: z.string().nullable(),
  /** Kept while a run is open too: its manifest will name it. */
  lastClosed: closedRun.nullable(),
  /** Also when free, so that an old ETag never comes back. */
  nonce: z.string(),
})
export type Writer = z.infer<typeof writerSchema>

/**
 * Reads which writing run is open; null when the bucket never had one.
 * @throws ArchiveCorrupt (for a bucket of version 0.1.0 too), ArchiveUnavailable
 */
export async function readWriter(store: Store): Promise<Versioned<Writer> | null> {
  const stored = await get(store, WRITER_KEY)
  if (!stored) return null
  if (isOfVersion010(stored.body)) {
    throw writtenByVersion010(`${WRITER_KEY} of bucket ${store.bucket}`, 'the runs of this bucket')
  }
  return { document: parseDocument(writerSchema, WRITER_KEY, stored.body), etag: stored.etag }
}

/** Version 0.1.0 recorded no last closed run. A document that is cut short lacks the nonce, which is last. */
function isOfVersion010(body: string): boolean {
  return body.includes('"nonce"') && !body.includes('"lastClosed"')
}

/**
 * Names the open writing run, or none; false when another invocation wrote it since it was read.
 * @throws ArchiveUnavailable
 */
export async function swapWriter(
  store: Store,
  read: Versioned<Writer> | null,
  next: Omit<Writer, 'nonce'>,
): Promise<boolean> {
  const body = serialize({ ...next, nonce: randomUUID() } satisfies Writer)
  return (await swap(store, WRITER_KEY, body, read?.etag ?? null)) !== null
}

const holdSchema = z.object({
  held: z.boolean(),
  by: z.string(),
  at: z.string(),
  reason: z.string(),
  nonce: z.string(),
})
export type Hold = z.infer<typeof holdSchema>

/**
 * Reads whether writing is held; null when it never was. Unreadable means held.
 * @throws ArchiveUnavailable
 */
export async function readHold(store: Store): Promise<Versioned<Hold> | null> {
  const stored = await get(store, HOLD_KEY)
  if (!stored) return null
  try {
    return { document: parseDocument(holdSchema, HOLD_KEY, stored.body), etag: stored.etag }
  } catch (error) {
    if (!(error instanceof ArchiveCorrupt)) throw error
    const reason = `${HOLD_KEY} is damaged, which counts as held. Send {"release": "…"} to rewrite it`
    return { document: { held: true, by: 'unknown', at: '', reason, nonce: '' }, etag: stored.etag }
  }
}

/** Sets or lifts the hold; false when it was changed since it was read. @throws ArchiveUnavailable */
export async function swapHold(
  store: Store,
  read: Versioned<Hold> | null,
  next: Omit<Hold, 'nonce'>,
): Promise<boolean> {
  const body = serialize({ ...next, nonce: randomUUID() } satisfies Hold)
  return (await swap(store, HOLD_KEY, body, read?.etag ?? null)) !== null
}

const markSchema = z.object({ runId: z.string() })

/**
 * Which run a request key or a plan belongs to; null if none yet.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function readMark(store: Store, kind: MarkKind, name: string): Promise<string | null> {
  const key = markKey(kind, name)
  const stored = await get(store, key)
  return stored && parseDocument(markSchema, key, stored.body).runId
}

/**
 * Assigns a request key or a plan to a run, for good, and returns the run that it belongs to.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function mark(store: Store, kind: MarkKind, name: string, runId: string): Promise<string> {
  if (await create(store, markKey(kind, name), serialize({ runId }), JSON_TYPE)) return runId
  return (await readMark(store, kind, name)) ?? runId
}

const cancelSchema = z.object({
  runId: z.string(),
  by: z.string(),
  at: z.string(),
  reason: z.string().nullable(),
})
/** A request to cancel a run. */
export type CancellationRequest = z.infer<typeof cancelSchema>

/** Records a cancellation request. The first one stays. @throws ArchiveUnavailable */
export async function requestCancellation(store: Store, request: CancellationRequest): Promise<void> {
  await create(store, runFileKey(request.runId, 'cancel.json'), serialize(request), JSON_TYPE)
}

/** The cancellation request of a run, or null. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function readCancellation(store: Store, runId: string): Promise<CancellationRequest | null> {
  const key = runFileKey(runId, 'cancel.json')
  const stored = await get(store, key)
  return stored && parseDocument(cancelSchema, key, stored.body)
}

const rollbackSchema = z.object({
  runId: z.string(),
  rollbackRunId: z.string(),
  by: z.string(),
  at: z.string(),
  users: z.int(),
})
/** The record that a rollback run rolled back users of a run. */
export type RollbackRecord = z.infer<typeof rollbackSchema>

/** Records that a run was rolled back, for some or all of its users. @throws ArchiveUnavailable */
export async function recordRollback(store: Store, record: RollbackRecord): Promise<void> {
  await create(store, rollbackKey(record.runId, record.rollbackRunId), serialize(record), JSON_TYPE)
}

/** The rollback runs of a run, oldest first. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function readRollbacks(store: Store, runId: string): Promise<RollbackRecord[]> {
  const records: RollbackRecord[] = []
  for await (const { key } of list(store, rollbackFolder(runId))) {
    const stored = await get(store, key)
    if (stored) records.push(parseDocument(rollbackSchema, key, stored.body))
  }
  return records
}

/**
 * The rollback runs of every run that was rolled back, oldest first: from the keys alone.
 * @throws ArchiveUnavailable
 */
export async function listRollbacks(store: Store): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, string[]>()
  for await (const { key } of list(store, ROLLBACKS)) {
    const [runId = '', rollbackRunId = ''] = key.slice(ROLLBACKS.length, -'.json'.length).split('/')
    const others = found.get(runId)
    if (others) others.push(rollbackRunId)
    else found.set(runId, [rollbackRunId])
  }
  return found
}

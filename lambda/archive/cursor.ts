import { randomUUID } from 'node:crypto'
import {
  type Cursor,
  cursorSchema,
  type PageList,
  pageListSchema,
  parseDocument,
  type Run,
  runSchema,
  serialize,
  type Writer,
  writerSchema,
} from './documents.ts'
import { ArchiveCorrupt, LeaseLost } from './errors.ts'
import { cursorKey, pageListKey, runFileKey, WRITER_KEY } from './keys.ts'
import { create, get, type Store, swap } from './store.ts'

/** A document together with the ETag that a later compare-and-swap needs. */
export type Held<T> = { readonly document: T; readonly etag: string }

const JSON_TYPE = 'application/json'

/**
 * Reads a run's cursor. A run without one is an error, never a fresh start.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function readCursor(store: Store, runId: string): Promise<Held<Cursor>> {
  const held = await findCursor(store, runId)
  if (held) return held
  throw new ArchiveCorrupt(
    `${cursorKey(runId)} is missing although the run was opened. Restore its last version in S3, then resume the run.`,
  )
}

/**
 * Reads a run's cursor where there is one: a run may have been cut off before it got one, and state/ goes after 90 days.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function findCursor(store: Store, runId: string): Promise<Held<Cursor> | null> {
  const key = cursorKey(runId)
  const stored = await get(store, key)
  return stored && { document: parseDocument(cursorSchema, key, stored.body), etag: stored.etag }
}

/** Writes the first cursor of a run. @throws ArchiveUnavailable */
export async function createCursor(store: Store, cursor: Omit<Cursor, 'nonce'>): Promise<Held<Cursor>> {
  const document = { ...cursor, nonce: randomUUID() }
  const etag = await swap(store, cursorKey(cursor.runId), serialize(document), null)
  if (etag === null) throw new LeaseLost(`The run ${cursor.runId} has a cursor already.`)
  return { document, etag }
}

/**
 * Compare-and-swap of the cursor. Null when somebody else wrote it since it was read.
 * @throws ArchiveCorrupt when it has gone, ArchiveUnavailable
 */
export async function swapCursor(
  store: Store,
  held: Held<Cursor>,
  next: Omit<Cursor, 'nonce'>,
): Promise<Held<Cursor> | null> {
  const document = { ...next, nonce: randomUUID() }
  const etag = await swap(store, cursorKey(next.runId), serialize(document), held.etag)
  return etag === null ? null : { document, etag }
}

/** Reads which writing run is open; null when the bucket never had one. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function readWriter(store: Store): Promise<Held<Writer> | null> {
  const stored = await get(store, WRITER_KEY)
  return stored && { document: parseDocument(writerSchema, WRITER_KEY, stored.body), etag: stored.etag }
}

/** Names the open writing run, or none; false when somebody else was faster. @throws ArchiveUnavailable */
export async function swapWriter(
  store: Store,
  held: Held<Writer> | null,
  runId: string | null,
): Promise<boolean> {
  const body = serialize({ runId, nonce: randomUUID() } satisfies Writer)
  return (await swap(store, WRITER_KEY, body, held?.etag ?? null)) !== null
}

/** Stores what was asked and fixed, once per run. @throws ArchiveUnavailable */
export async function createRun(store: Store, run: Run): Promise<void> {
  await create(store, runFileKey(run.runId, 'run'), serialize(run), JSON_TYPE)
}

/** Reads what was asked and fixed at opening; null for an id that the bucket does not know. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function readRun(store: Store, runId: string): Promise<Run | null> {
  const key = runFileKey(runId, 'run')
  const stored = await get(store, key)
  return stored && parseDocument(runSchema, key, stored.body)
}

/** Stores the frozen users of one page. @throws ArchiveUnavailable */
export async function createPageList(store: Store, runId: string, list: PageList): Promise<void> {
  await create(store, pageListKey(runId, list.page), `${JSON.stringify(list)}\n`, JSON_TYPE)
}

/** Reads the frozen users of one page. @throws ArchiveCorrupt when it is missing or damaged, ArchiveUnavailable */
export async function readPageList(store: Store, runId: string, page: number): Promise<PageList> {
  const key = pageListKey(runId, page)
  const stored = await get(store, key)
  if (!stored)
    throw new ArchiveCorrupt(`${key} is missing. Restore it from its versions in S3, then resume the run.`)
  const list = parseDocument(pageListSchema, key, stored.body)
  if (list.page === page) return list
  throw new ArchiveCorrupt(
    `${key} is the list of page ${list.page}, not of page ${page}. Restore it from its versions in S3, then resume the run.`,
  )
}

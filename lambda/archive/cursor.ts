import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import { checked, parseDocument, serializeCompactly, type Versioned } from './documents.ts'
import { ArchiveCorrupt, ifLost } from './errors.ts'
import { runFileKey } from './keys.ts'
import { get, swap } from './s3/objects.ts'
import type { Store } from './s3/store.ts'

const counts = z.record(z.string(), z.int())

/** Sums over the named pages; amounts in microdollars. */
export const totalsSchema = z.object({
  usersWithoutGrants: z.int(),
  usersProcessed: z.int(),
  usersSkipped: z.int(),
  usersFailed: z.int(),
  usersCorrected: z.int(),
  grantsTargeted: z.int(),
  expiredMicrodollars: z.int(),
  duePaidMicrodollars: z.int(),
  correctedMicrodollars: z.int(),
  userLines: z.int(),
  mutationLines: z.int(),
  errorLines: z.int(),
  outcomes: counts,
  flags: counts,
  /** Sums of the amounts behind flags, by flag. */
  flagMicrodollars: counts,
  byCategory: z.record(
    z.string(),
    z.object({ grants: z.int(), expiredMicrodollars: z.int(), faceValueMicrodollars: z.int() }),
  ),
  /** What the card's warnings quote, by flag or outcome: one user, with the row in question. */
  examples: z.record(z.string(), z.object({ userId: z.string(), text: z.string() })),
})
export type Totals = z.infer<typeof totalsSchema>

export const FINAL_STATUSES = [
  'complete',
  'complete_with_errors',
  'stopped',
  'cancelled',
  'abandoned',
] as const

const finalStatus = z.object({ status: z.enum(FINAL_STATUSES), why: z.string() })
/** How a run ends, decided once. */
export type FinalStatus = z.infer<typeof finalStatus>

const lease = z.object({ invocationId: z.string(), epoch: z.int(), expiresAt: z.string() })

/** Size and SHA-256 of a part of a log, from its writer. */
const partSchema = z.object({ bytes: z.int(), sha256: z.string() })
export type Part = z.infer<typeof partSchema>

/** A page whose outcome counts: only the parts of this epoch belong to the log. */
const namedPage = z.object({
  page: z.int(),
  epoch: z.int(),
  users: partSchema,
  mutations: partSchema,
  errors: partSchema.nullable(),
})
export type NamedPage = z.infer<typeof namedPage>

const cursorSchema = z.object({
  runId: z.string(),
  mode: z.string(),
  instant: z.string(),
  /**
   * prepared: written, and no attempt may begin yet. open: pages are worked on. closing: the final status is
   * decided, no page is planned any more. closed: nothing changes any more.
   */
  state: z.enum(['prepared', 'open', 'closing', 'closed']),
  finalStatus: finalStatus.nullable(),
  /** New with every write, so that a writer whose reply was lost recognizes its own write. */
  nonce: z.string(),
  /** Raised by every acquisition of the lease; part of every attempt's name. */
  epoch: z.int(),
  lease: lease.nullable(),
  /** The latest expiry of a lease that was taken over instead of being released; null: there was none. */
  unreleasedUntil: z.string().nullable(),
  /** Parts that holders of lower epochs may have left on pages that are not named have been emptied. */
  emptiedBelowEpoch: z.int(),
  pagesTotal: z.int(),
  usersTotal: z.int(),
  /** In order of page number. A page that is not here has no outcome yet. */
  pages: z.array(namedPage),
  usersDone: z.int(),
  /** The last user of the highest named page. */
  lastUserId: z.string().nullable(),
  totals: totalsSchema,
  /** How many users in a row failed with the same error, for the error threshold. */
  sameError: z.object({ error: z.string().nullable(), users: z.int() }),
  progressAt: z.string(),
})
export type Cursor = z.infer<typeof cursorSchema>
export type VersionedCursor = Versioned<Cursor>

/**
 * Reads a run's cursor. A run without one is an error, never a fresh start.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function readCursor(store: Store, runId: string): Promise<VersionedCursor> {
  const found = await findCursor(store, runId)
  if (found) return found
  const key = runFileKey(runId, 'cursor.json')
  throw new ArchiveCorrupt(
    `${key} is missing. Nothing was done. Restore its last version in S3, then send the payload ` +
      `again.${ifLost(key)}`,
  )
}

/**
 * Reads a run's cursor where there is one: an opening that was cut off may not have written it yet.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function findCursor(store: Store, runId: string): Promise<VersionedCursor | null> {
  const key = runFileKey(runId, 'cursor.json')
  const stored = await get(store, key)
  return stored && { document: parseDocument(cursorSchema, key, stored.body), etag: stored.etag }
}

/** Writes the first cursor of a run. @throws ArchiveUnavailable */
export async function createCursor(store: Store, cursor: Omit<Cursor, 'nonce'>): Promise<VersionedCursor> {
  const written = await writeCursor(store, cursor, null)
  if (written) return written
  throw new ArchiveCorrupt(`Run ${cursor.runId} has a cursor already. Nothing was overwritten.`)
}

/**
 * Compare-and-swap of the cursor. Null when another invocation wrote it since it was read.
 * @throws ArchiveCorrupt when it is gone, ArchiveUnavailable when it is not known whether it was written
 */
export async function swapCursor(
  store: Store,
  read: VersionedCursor,
  next: Omit<Cursor, 'nonce'>,
): Promise<VersionedCursor | null> {
  return writeCursor(store, next, read.etag)
}

async function writeCursor(
  store: Store,
  cursor: Omit<Cursor, 'nonce'>,
  etag: string | null,
): Promise<VersionedCursor | null> {
  const document = checked(cursorSchema, { ...cursor, nonce: randomUUID() })
  const written = await swap(
    store,
    runFileKey(cursor.runId, 'cursor.json'),
    serializeCompactly(document),
    etag,
  )
  return written === null ? null : { document, etag: written }
}

/** The numbers of the pages that the cursor does not name, in order. */
export function* unnamedPages({
  pages,
  pagesTotal,
}: Pick<Cursor, 'pages' | 'pagesTotal'>): Generator<number> {
  const named = new Set(pages.map(({ page }) => page))
  for (let page = 0; page < pagesTotal; page++) if (!named.has(page)) yield page
}

import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import {
  type Cursor,
  readCursor,
  swapCursor,
  unnamedPages,
  type VersionedCursor,
} from '../../archive/cursor.ts'
import { ArchiveUnavailable, LeaseLost } from '../../archive/errors.ts'
import { emptyParts } from '../../archive/logs.ts'
import { isWriting, type Run } from '../../archive/runs.ts'
import { refuseOlderCursor } from '../../archive/state.ts'
import { RunRefused } from '../../errors.ts'
import { clocksApartMs, databaseClock, FURTHEST_CLOCKS_MS } from '../../ledger/preflight/clock.ts'
import { LONGEST_ORPHAN_MS } from '../../ledger/connection/transaction.ts'
import type { Tools } from '../tools.ts'

/**
 * A run whose lease this invocation holds. Only this invocation writes the cursor, one write after the other.
 */
export type Holder = {
  readonly run: Run
  readonly epoch: number
  readonly leaseExpiresAt: string
  /** The cursor as it was last written. */
  readonly cursor: () => Cursor
  /**
   * Writes the cursor with a change, which must give the same when it is applied twice.
   * @throws LeaseLost, ArchiveUnavailable
   */
  readonly update: (change: (cursor: Cursor) => Cursor) => Promise<void>
}

/**
 * A new lease: until this invocation's deadline, and as long as a transaction can outlive its process. By the
 * database's clock.
 */
export function leaseFrom(databaseNow: string, epoch: number, tools: Tools): NonNullable<Cursor['lease']> {
  const expiresAt = new Date(Date.parse(databaseNow) + tools.timeLeft() + LONGEST_ORPHAN_MS).toISOString()
  // A request that is delivered twice has one id: the rest tells the two invocations apart.
  return { invocationId: `${tools.caller.requestId}/${randomUUID()}`, epoch, expiresAt }
}

/**
 * The database's clock counts; but one that differs much from this machine's is wrong itself, or this one is:
 * a lease by it could expire next year. @throws RunRefused
 */
export function refuseClocksApart(databaseNow: string, now: Date): void {
  const apartMs = clocksApartMs(databaseNow, now)
  if (apartMs <= FURTHEST_CLOCKS_MS) return
  throw new RunRefused(
    `The clock of the database says ${databaseNow}, and the clock of this machine ` +
      `${now.toISOString()}: they differ by ${Math.round(apartMs / 60_000)} minutes. Nothing was written. ` +
      'Correct the wrong one (NTP), then retry.',
  )
}

/** Whether another invocation holds the lease of a run now. */
export function isHeldAt(cursor: Cursor, databaseNow: string): boolean {
  return cursor.lease !== null && cursor.lease.expiresAt > databaseNow
}

/**
 * Acquires the lease of an open run, or says who holds it. Every acquisition raises the epoch.
 * @throws RunRefused for a wrong clock, ArchiveCorrupt, ArchiveUnavailable, LedgerUnavailable
 */
export async function acquireLease(
  run: Run,
  tools: Tools,
): Promise<{ readonly holder: Holder } | { readonly busy: Cursor } | { readonly closed: Cursor }> {
  const read = await readCursor(tools.store, run.runId)
  const cursor = read.document
  if (cursor.state === 'closed') return { closed: cursor }
  const now = await databaseClock(isWriting(run.mode) ? tools.ledger.writer : tools.ledger.reader, tools)
  // Only ahead of this machine's: behind it, this process may have been stalled since it asked.
  if (Date.parse(now) > tools.now().getTime()) refuseClocksApart(now, tools.now())
  if (isHeldAt(cursor, now)) return { busy: cursor }
  await refuseOlderCursor(tools.store, run, read)
  const epoch = cursor.epoch + 1
  const lease = leaseFrom(now, epoch, tools)
  const unreleasedUntil = latestOf(cursor.unreleasedUntil, cursor.lease?.expiresAt ?? null)
  const taken = await swapCursor(tools.store, read, { ...cursor, epoch, lease, unreleasedUntil }).catch(
    async (error: unknown) => {
      // A write that took effect without a reply must not leave a lease that no invocation uses. Two
      // invocations can try for the same epoch, so the invocation id decides.
      const there = await readCursor(tools.store, run.runId)
      if (there.document.epoch === epoch && there.document.lease?.invocationId === lease.invocationId)
        return there
      throw error
    },
  )
  if (!taken) return { busy: (await readCursor(tools.store, run.runId)).document }
  return { holder: hold(run, taken, tools) }
}

function latestOf(one: string | null, other: string | null): string | null {
  return one === null || (other !== null && other > one) ? other : one
}

/**
 * Empties the parts that holders of lower epochs may have left on pages that the cursor does not name. A page
 * is in flight until the cursor that names it is acknowledged, so only the first `concurrency` of them can
 * have been begun. Comes before anything else that a holder does.
 * @throws LeaseLost, ArchiveUnavailable
 */
export async function emptyPredecessors(
  { run, epoch, cursor, update }: Holder,
  { store }: Pick<Tools, 'store'>,
): Promise<void> {
  const { emptiedBelowEpoch } = cursor()
  const epochs = Array.from({ length: epoch - emptiedBelowEpoch }, (_, index) => emptiedBelowEpoch + index)
  if (epochs.length === 0) return
  const begun = [...unnamedPages(cursor())].slice(0, run.settings.concurrency)
  await Promise.all(begun.map(async (page) => emptyParts(store, run.runId, page, epochs)))
  await update((before) => ({ ...before, emptiedBelowEpoch: epoch }))
}

/** The holder of a run whose cursor, with this invocation's lease in it, has just been written. */
export function hold(run: Run, taken: VersionedCursor, tools: Pick<Tools, 'store' | 'now'>): Holder {
  const { lease } = taken.document
  if (!lease) throw new Error(`The cursor of ${run.runId} has no lease.`)
  let current = taken
  let next: { readonly changes: ((cursor: Cursor) => Cursor)[]; readonly written: Promise<void> } | null =
    null
  let writing: Promise<void> = Promise.resolve()

  const writeNext = async (): Promise<void> => {
    const changes = next?.changes ?? []
    next = null
    current = await writeChanges(current, lease.epoch, changes, tools)
  }
  return {
    run,
    epoch: lease.epoch,
    leaseExpiresAt: lease.expiresAt,
    cursor: () => current.document,
    async update(change) {
      // Changes that come while a write is under way are written together, with the next one: they share its
      // success and its failure. A write that failed is repaired by the next one, which reads the cursor
      // back.
      if (!next) {
        writing = writing.catch(() => {}).then(writeNext)
        next = { changes: [], written: writing }
      }
      next.changes.push(change)
      return next.written
    },
  }
}

const WRITE_TRIES = 2

/**
 * Writes changes to the cursor. Where it is not known whether a write took effect, or another one did since,
 * the cursor is read back: with this holder's epoch it was written by this holder, and is what to continue
 * from.
 */
async function writeChanges(
  read: VersionedCursor,
  epoch: number,
  changes: readonly ((cursor: Cursor) => Cursor)[],
  tools: Pick<Tools, 'store' | 'now'>,
): Promise<VersionedCursor> {
  let base = read
  for (let tries = 1; ; tries++) {
    const next = changes.reduce((cursor, change) => change(cursor), base.document)
    // The cursor, perhaps read back, may say so already: that of a closed run is never written again.
    if (isDeepStrictEqual(next, base.document)) return base
    try {
      const written = await swapCursor(tools.store, base, {
        ...next,
        progressAt: progressAt(base.document, next, tools),
      })
      if (written) return written
    } catch (error) {
      if (!(error instanceof ArchiveUnavailable) || tries >= WRITE_TRIES) throw error
    }
    base = await readCursor(tools.store, next.runId)
    if (base.document.epoch !== epoch)
      throw new LeaseLost(
        `Another invocation has taken over run ${next.runId}. Nothing more is written here.`,
      )
  }
}

/** Acquiring or releasing a lease is not progress: a run that fails at every try must not look alive. */
function progressAt(before: Cursor, after: Cursor, tools: Pick<Tools, 'now'>): string {
  const isSame = before.pages.length === after.pages.length && before.state === after.state
  return isSame ? before.progressAt : tools.now().toISOString()
}

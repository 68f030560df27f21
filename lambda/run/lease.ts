import { type Held, readCursor, swapCursor } from '../archive/cursor.ts'
import { type Cursor, isWriting, type Run, type Verdict } from '../archive/documents.ts'
import { LeaseLost } from '../archive/errors.ts'
import { databaseClock } from '../ledger/clock.ts'
import { LONGEST_ORPHAN_MS } from '../ledger/transaction.ts'
import type { PageResult } from './page.ts'
import { errorRunAfter } from './brakes.ts'
import { isFinished, withFinished } from './ranges.ts'
import type { Tools } from './tools.ts'
import { addTotals } from './totals.ts'

/** A run whose lease this invocation holds. The cursor is written by nobody else, and by this one write after the other. */
export type Holding = {
  readonly run: Run
  readonly epoch: number
  readonly leaseExpiresAt: string
  /** Whether the holder before gave the lease back: it has come to its end, so nothing of it can commit any more. */
  readonly predecessorReleased: boolean
  /** The cursor as it was last written. */
  cursor(): Cursor
  /**
   * Adds a finished page: its outcome counts from now on. With a verdict, in the same write, the run is to end so.
   * @throws LeaseLost, ArchiveUnavailable
   */
  finish(result: PageResult, verdict: Verdict | null): Promise<void>
  /** Writes the cursor with these changes. @throws LeaseLost, ArchiveUnavailable */
  update(change: Partial<Cursor>): Promise<void>
}

/** A new lease for this invocation: until its own deadline, and as long as a transaction of its can outlive it. By the database's clock. */
export function leaseFrom(databaseNow: string, epoch: number, tools: Tools) {
  const expiresAt = new Date(Date.parse(databaseNow) + tools.timeLeft() + LONGEST_ORPHAN_MS).toISOString()
  return { invocationId: tools.invocation.id, epoch, expiresAt }
}

/**
 * Takes the lease of an open run, or says who holds it. Every acquisition raises the epoch.
 * @throws ArchiveCorrupt, ArchiveUnavailable, LedgerUnavailable
 */
export async function acquire(
  run: Run,
  tools: Tools,
): Promise<{ holding: Holding } | { busy: Cursor } | { closed: Cursor }> {
  const held = await readCursor(tools.store, run.runId)
  const cursor = held.document
  if (cursor.closed) return { closed: cursor }
  const now = await databaseClock(isWriting(run.mode) ? tools.ledger.writer : tools.ledger.reader)
  if (cursor.lease && cursor.lease.expiresAt > now) return { busy: cursor }
  const epoch = cursor.epoch + 1
  const taken = await swapCursor(tools.store, held, { ...cursor, epoch, lease: leaseFrom(now, epoch, tools) })
  return taken
    ? { holding: hold(run, taken, cursor.lease === null, tools) }
    : { busy: (await readCursor(tools.store, run.runId)).document }
}

/** The holding of a run whose cursor, with this invocation's lease in it, has just been written. */
export function hold(run: Run, taken: Held<Cursor>, predecessorReleased: boolean, tools: Tools): Holding {
  const { lease } = taken.document
  if (!lease) throw new Error(`The cursor of ${run.runId} holds no lease.`)
  let held = taken
  let waiting: ((cursor: Cursor) => Cursor)[] = []
  let writing: Promise<void> = Promise.resolve()

  // Changes that come while a write is under way go out together with the next one.
  const write = async (): Promise<void> => {
    const changes = waiting
    waiting = []
    if (changes.length === 0) return
    const next = changes.reduce((cursor, change) => change(cursor), held.document)
    const written = await swapCursor(tools.store, held, {
      ...next,
      progressAt: progressAt(held.document, next, tools),
    })
    if (!written)
      throw new LeaseLost(
        `Another invocation has taken over the run ${run.runId}. Nothing more is written here.`,
      )
    held = written
  }
  const save = (change: (cursor: Cursor) => Cursor): Promise<void> => {
    waiting.push(change)
    writing = writing.then(write)
    return writing
  }

  return {
    run,
    epoch: lease.epoch,
    leaseExpiresAt: lease.expiresAt,
    predecessorReleased,
    cursor: () => held.document,
    finish: (result, verdict) =>
      save((cursor) => ({ ...withPage(cursor, result, lease.epoch), closing: cursor.closing ?? verdict })),
    update: (change) => save((cursor) => ({ ...cursor, ...change })),
  }
}

/** To take or give back a lease is no progress: a run that fails every time it is tried must not look alive. */
function progressAt(before: Cursor, after: Cursor, tools: Tools): string {
  const stands =
    before.finished === after.finished && before.closing === after.closing && before.closed === after.closed
  return stands ? before.progressAt : tools.now().toISOString()
}

function withPage(cursor: Cursor, result: PageResult, epoch: number): Cursor {
  const highest = Math.max(-1, ...cursor.finished.map(({ to }) => to))
  return {
    ...cursor,
    finished: isFinished(cursor.finished, result.page)
      ? cursor.finished
      : withFinished(cursor.finished, result.page, epoch),
    errorPages:
      result.lines.errors.length > 0
        ? [...cursor.errorPages, result.page].toSorted((a, b) => a - b)
        : cursor.errorPages,
    usersDone: cursor.usersDone + result.errors.length,
    lastUserId: result.page > highest ? result.lastUserId : cursor.lastUserId,
    totals: addTotals(cursor.totals, result.totals),
    errorRun: errorRunAfter(cursor.errorRun, result.errors),
  }
}

import { storeCard } from '../../../archive/cards.ts'
import { type Cursor, createCursor, type VersionedCursor } from '../../../archive/cursor.ts'
import { createRun, isWriting, type Run } from '../../../archive/runs.ts'
import { RunRefused } from '../../../errors.ts'
import { databaseClock } from '../../../ledger/preflight/clock.ts'
import { beforeWriting } from '../../errors.ts'
import { cardOf } from '../../lines/card/card.ts'
import { noTotals } from '../../lines/totals.ts'
import { type PageSink, storedPages } from '../../pages/freeze.ts'
import type { Tools } from '../../tools.ts'
import { leaseFrom } from '../lease.ts'
import { draftRun } from './draft.ts'
import type { OpeningRequest, Selection } from './selection.ts'

/** A run that has been prepared: its pages, its run.json, and its cursor with this invocation's lease. */
export type Prepared = { readonly run: Run; readonly cursor: VersionedCursor }

/**
 * Prepares a new run: drafts it, and stores its run.json and cursor beside its pages. A writing run is open
 * only once writer.json names it, a dry run with a request key once the mark of that key does; what is left
 * of one that was prepared and never opened is unreferenced.
 * @throws as draftRun; RunRefused for a writing run that exceeds a limit; ArchiveUnavailable
 */
export async function prepareRun(
  request: OpeningRequest,
  selection: Selection,
  tools: Tools,
): Promise<Prepared> {
  const sinkFor = (runId: string): PageSink => storedPages(runId, tools.store)
  const run = await beforeWriting(async () => draftRun(request, selection, sinkFor, tools))
  const sql = isWriting(run.mode) ? tools.ledger.writer : tools.ledger.reader
  const cursor = firstCursor(run, await databaseClock(sql, tools), tools)
  await refuse(run, cursor, tools)
  await createRun(tools.store, run)
  return { run, cursor: await createCursor(tools.store, cursor) }
}

function firstCursor(run: Run, databaseNow: string, tools: Tools): Omit<Cursor, 'nonce'> {
  return {
    runId: run.runId,
    mode: run.mode,
    instant: run.instant,
    state: isWriting(run.mode) || run.asked.requestKey !== null ? 'prepared' : 'open',
    finalStatus: null,
    epoch: 1,
    lease: leaseFrom(databaseNow, 1, tools),
    unreleasedUntil: null,
    emptiedBelowEpoch: 1,
    pagesTotal: run.matched.pages,
    usersTotal: run.matched.users,
    pages: [],
    usersDone: 0,
    lastUserId: null,
    totals: noTotals(),
    sameError: { error: null, users: 0 },
    progressAt: databaseNow,
  }
}

/** A dry run is never refused: its card says that an execute would be. */
async function refuse(run: Run, cursor: Omit<Cursor, 'nonce'>, tools: Tools): Promise<void> {
  if (!isWriting(run.mode) || run.refusals.length === 0) return
  const why = `${run.refusals.join('; ')}. Nothing was written. Make a dry run, and change the payload or the configuration if this is intended`
  await createRun(tools.store, run)
  const place = { bucket: tools.config.bucket, region: tools.region }
  await storeCard(tools.store, cardOf(run, cursor, { status: 'refused', why }, place, tools.now()))
  throw new RunRefused(`Run ${run.runId} is refused: ${why}.`)
}

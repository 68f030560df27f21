import { storeCard } from '../../archive/cards.ts'
import { readWriter, swapWriter } from '../../archive/control.ts'
import { type Cursor, findCursor, unnamedPages } from '../../archive/cursor.ts'
import { ArchiveCorrupt } from '../../archive/errors.ts'
import { listAttempts, readIntent } from '../../archive/intents.ts'
import { readPage } from '../../archive/pages.ts'
import { readRun, type Run } from '../../archive/runs.ts'
import type { ExitCard } from '../../exit-card.ts'
import { RunRefused } from '../../errors.ts'
import { databaseClock } from '../../ledger/clock.ts'
import { cardOf } from '../lines/card.ts'
import { noTotals } from '../lines/totals.ts'
import type { Tools } from '../tools.ts'
import { isHeldAt } from './lease.ts'
import { checkNewestRows, placeOf } from './work.ts'

/**
 * Gives up an open writing run whose objects cannot be read: writer.json is freed, the run gets the final
 * status `abandoned`, and its intents stay for verify. For no other run: a readable one is resumed or
 * cancelled.
 * @throws RunRefused, ArchiveUnavailable, LedgerUnavailable
 */
export async function abandon(runId: string, reason: string, by: string, tools: Tools): Promise<ExitCard> {
  const writer = await readWriter(tools.store)
  if (writer?.document.runId !== runId) {
    throw new RunRefused(
      `Run ${runId} is not the open writing run of bucket ${tools.config.bucket}. Nothing was done. ` +
        'Only an open writing run whose objects cannot be read can be abandoned.',
    )
  }
  const run = await readable(async () => readRun(tools.store, runId))
  const cursor = await readable(async () => findCursor(tools.store, runId))
  if (run && cursor && (await canBeFinished(run, cursor.document, tools))) {
    throw new RunRefused(
      `Run ${runId} can be read, so it can be finished. Nothing was done. Send {"resume": "${runId}"} or ` +
        `{"cancel": "${runId}"}.`,
    )
  }
  const now = await databaseClock(tools.ledger.writer, tools)
  if (cursor && isHeldAt(cursor.document, now)) {
    throw new RunRefused(
      `An invocation holds the lease of run ${runId} until ${cursor.document.lease?.expiresAt}. Nothing was done. ` +
        'Abandon the run after that.',
    )
  }
  const why = `abandoned by ${by} at ${now}: ${reason}`
  const counted = cursor?.document ?? {
    totals: noTotals(),
    usersDone: 0,
    usersTotal: 0,
    pages: [],
    pagesTotal: 0,
  }
  const card = cardOf(
    run ?? unknownRun(runId, by, reason, now),
    counted,
    { status: 'abandoned', why },
    placeOf(tools),
    tools.now(),
  )
  await storeCard(tools.store, card)
  await swapWriter(tools.store, writer, { runId: null, lastClosed: writer.document.lastClosed })
  return card
}

/**
 * Whether everything is readable that resuming or cancelling the run reads, and the ledger has what it wrote.
 */
async function canBeFinished(run: Run, cursor: Cursor, tools: Tools): Promise<boolean> {
  const { runId, settings } = run
  const all = await readable(async () => {
    for (const page of [...unnamedPages(cursor)].slice(0, settings.concurrency)) {
      await readPage(tools.store, runId, page)
      for (const attempt of await listAttempts(tools.store, runId, page))
        await readIntent(tools.store, runId, attempt)
    }
    await checkNewestRows(run, cursor, tools)
    return true
  })
  return all === true
}

/** Null where an object is missing or damaged. */
async function readable<T>(read: () => Promise<T | null>): Promise<T | null> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof ArchiveCorrupt) return null
    throw error
  }
}

/** What is known of a run from its id. */
function unknownRun(runId: string, by: string, reason: string, at: string): Parameters<typeof cardOf>[0] {
  const mode: Run['mode'] = runId.includes('-rollback-') ? 'rollback' : 'execute'
  return {
    runId,
    mode,
    instant: at,
    asked: { by, via: 'abandon', evidence: {}, requestId: '', reason, requestKey: null, payload: {} },
    selection: {
      domains: [],
      userIds: null,
      exceptUserIds: [],
      categories: null,
      plan: null,
      rollback: null,
    },
    refusals: [],
    warnings: [],
  }
}

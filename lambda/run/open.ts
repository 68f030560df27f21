import { createCursor, createPageList, createRun, type Held } from '../archive/cursor.ts'
import { type Cursor, isWriting, type Run } from '../archive/documents.ts'
import { databaseClock } from '../ledger/clock.ts'
import { preflight } from '../ledger/preflight.ts'
import { limitsPassed } from './brakes.ts'
import { cardOf } from './card.ts'
import { refuseClocksApart } from './clocks.ts'
import { RunRefused } from './errors.ts'
import { newRunId } from './ids.ts'
import { leaseFrom } from './lease.ts'
import { type Matches, readMatches } from './page-lists.ts'
import { approvedDryRun, listsOfDryRun } from './plan-lists.ts'
import { listsOfMutations, rollbackTarget, silentReferences } from './rollback-lists.ts'
import { askedUsers, limitsOf, type OpeningRequest } from './selection.ts'
import { storeCard } from './stored-card.ts'
import type { Tools } from './tools.ts'
import { noTotals } from './totals.ts'
import { SOFTWARE_VERSION } from './version.ts'

/** Measured: docs/decisions/7-fast.md. */
const DEFAULT_BATCH_SIZE = 150
const DEFAULT_CONCURRENCY = 4
const LISTS_AT_A_TIME = 8

/** A run that has been prepared: its page lists, its run.json, and its cursor with this invocation's lease. */
export type Opened = { readonly run: Run; readonly cursor: Held<Cursor> }

/**
 * Prepares a new run: freezes its users in page lists, and fixes what it works by. A writing run is open only once
 * control/writer.json names it; what is left of one that was prepared and not opened is unreferenced and harmless.
 * @throws InvalidEvent, RunRefused (over a limit, outsiders, a plan or a rollback that may not be), LedgerUnavailable,
 *   ArchiveUnavailable
 */
export async function prepareRun(request: OpeningRequest, tools: Tools): Promise<Opened> {
  const sql = isWriting(request.mode) ? tools.ledger.writer : tools.ledger.reader
  await preflight(sql, request.mode)
  const instant = await databaseClock(sql)
  refuseClocksApart(instant, tools.now())
  const { lists, ...frozen } = await freeze(request, instant, sql, tools)
  const { mode } = request
  const run: Run = {
    runId: newRunId(instant, mode),
    mode,
    instant,
    softwareVersion: SOFTWARE_VERSION,
    asked: {
      payload: payloadOf(request),
      requestId: tools.invocation.id,
      source: tools.invocation.source,
      reason: request.reason ?? null,
      requestKey: request.requestKey ?? null,
    },
    ...frozen,
  }
  const cursor = firstCursor(run, await databaseClock(sql), tools)
  await refuseConcerns(run, cursor, tools)
  await storeLists(lists, run.runId, tools)
  await createRun(tools.store, run)
  return { run, cursor: await createCursor(tools.store, cursor) }
}

/**
 * All that can be said of a request without a look at the users: before anything is done for it.
 * @throws InvalidEvent, RunRefused, LedgerUnavailable
 */
export async function checkRequest(request: OpeningRequest, tools: Tools): Promise<void> {
  limitsOf(request, tools.config)
  if (request.kind === 'rollback') {
    // The run that is to be closed first may be the one to be undone.
    if (request.rollback !== request.restart) await rollbackTarget(request.rollback, tools)
  } else if (request.plan === undefined) askedUsers(request, tools.config)
  else await approvedDryRun(request.plan, await databaseClock(tools.ledger.writer), tools)
}

type Frozen = Pick<Run, 'selection' | 'settings' | 'matched' | 'concerns'> & {
  readonly lists: Matches['lists']
}

/** Where the page lists come from: the ledger, an approved dry run, or the mutation log of the run to be undone. */
async function freeze(
  request: OpeningRequest,
  instant: string,
  sql: Tools['ledger']['reader'],
  tools: Tools,
): Promise<Frozen> {
  const settings = settingsOf(request, tools)
  const { batchSize } = settings
  if (request.kind === 'rollback') {
    const target = await rollbackTarget(request.rollback, tools)
    return {
      ...(await listsOfMutations(target, batchSize, tools)),
      selection: { ...target.selection, plan: null, rollback: target.runId },
      // What counted as a correction in that run counts here.
      settings: { ...settings, correctionDescriptions: target.settings.correctionDescriptions },
      concerns: await silentReferences(tools, sql),
    }
  }
  if (request.plan !== undefined) {
    const dryRun = await approvedDryRun(request.plan, instant, tools)
    const matches = await listsOfDryRun(dryRun, batchSize, tools)
    const selection = { ...dryRun.selection, plan: dryRun.runId }
    return { ...matches, selection, settings, concerns: limitsPassed(matches.matched, settings.limits) }
  }
  const selection = { ...askedUsers(request, tools.config), plan: null, rollback: null }
  const targeting = {
    correctionDescriptions: settings.correctionDescriptions,
    categories: null,
    excludedCategories: [],
  }
  const matches = await readMatches(selection, targeting, batchSize, sql)
  return { ...matches, selection, settings, concerns: limitsPassed(matches.matched, settings.limits) }
}

/** The payload as it was sent, in its shortest form. */
export function payloadOf(request: OpeningRequest): Run['asked']['payload'] {
  const { kind: _, mode, ...fields } = request
  return { ...(isWriting(mode) && { execute: true }), ...fields }
}

function settingsOf(request: OpeningRequest, { config }: Tools): Run['settings'] {
  return {
    batchSize: (request.kind === 'run' ? request.batchSize : undefined) ?? DEFAULT_BATCH_SIZE,
    concurrency: request.concurrency ?? DEFAULT_CONCURRENCY,
    limits: limitsOf(request, config),
    maxFailedUsers: config.maxFailedUsers,
    maxFailedPercent: config.maxFailedPercent,
    minGrantAgeSeconds: config.minGrantAgeSeconds,
    correctionDescriptions: [...config.correctionDescriptions],
  }
}

function firstCursor(run: Run, databaseNow: string, tools: Tools): Omit<Cursor, 'nonce'> {
  return {
    runId: run.runId,
    mode: run.mode,
    instant: run.instant,
    epoch: 1,
    lease: leaseFrom(databaseNow, 1, tools),
    pagesTotal: run.matched.pages,
    usersTotal: run.matched.users,
    finished: [],
    errorPages: [],
    usersDone: 0,
    lastUserId: null,
    totals: noTotals(),
    errorRun: { error: null, users: 0 },
    progressAt: databaseNow,
    closing: null,
    wholeLogs: [],
    closed: null,
  }
}

/** A dry run is never refused: its card says that an execute would be. */
async function refuseConcerns(run: Run, cursor: Omit<Cursor, 'nonce'>, tools: Tools): Promise<void> {
  if (!isWriting(run.mode) || run.concerns.length === 0) return
  const why = `${run.concerns.join('; ')}. Nothing was written. Look at a dry run, and change the configuration if this is meant`
  await createRun(tools.store, run)
  await storeCard(tools.store, cardOf(run, cursor, { status: 'refused', why }, tools))
  throw new RunRefused(`The run ${run.runId} is refused: ${why}.`)
}

async function storeLists(lists: Matches['lists'], runId: string, tools: Tools): Promise<void> {
  const waiting = lists.values()
  const worker = async (): Promise<void> => {
    for (const list of waiting) await createPageList(tools.store, runId, list)
  }
  await Promise.all(Array.from({ length: LISTS_AT_A_TIME }, worker))
}

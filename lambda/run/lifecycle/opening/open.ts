import { storeCard } from '../../../archive/cards.ts'
import { readHold } from '../../../archive/control.ts'
import { type Cursor, createCursor, type VersionedCursor } from '../../../archive/cursor.ts'
import { createRun, isWriting, type Run } from '../../../archive/runs.ts'
import { RunRefused } from '../../../errors.ts'
import { databaseClock } from '../../../ledger/clock.ts'
import { readIdentity } from '../../../ledger/identity.ts'
import { preflight } from '../../../ledger/preflight.ts'
import { type ForeignKey, readForeignKeys, unreadableKeys } from '../../../ledger/references.ts'
import { isWorthRetrying, withRetriedRead } from '../../../ledger/transaction.ts'
import { beforeWriting } from '../../errors.ts'
import { newRunId } from '../../ids.ts'
import { cardOf } from '../../lines/card/card.ts'
import { noTotals } from '../../lines/totals.ts'
import { freezeMatches, freezePlan, freezeRollback, type PageSink, storedPages } from '../../pages/freeze.ts'
import type { Tools } from '../../tools.ts'
import { SOFTWARE_VERSION } from '../../version.ts'
import { refuseOtherLedger } from '../../ledger-identity.ts'
import { leaseFrom, refuseClocksApart } from '../lease.ts'
import { limitsExceeded } from './limits.ts'
import { approvedPlan, rollbackTarget } from './sources.ts'
import {
  type ExcludedUsers,
  excludedUsers,
  limitsOf,
  type OpeningRequest,
  payloadOf,
  type Selection,
  sentSha256,
} from './selection.ts'

/** Measured: docs/decisions. */
const DEFAULT_BATCH_SIZE = 250
const DEFAULT_CONCURRENCY = 3
const FREEZE_TRIES = 4
const FREEZE_PAUSE_MS = 250

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

/**
 * Checks the ledger, freezes the users in pages, and fixes what a run works by. Nothing but its pages is
 * stored.
 * @throws InvalidEvent, RunRefused (outsiders, a plan or a run that cannot be used), LedgerUnavailable,
 *   ArchiveUnavailable
 */
export async function draftRun(
  request: OpeningRequest,
  selection: Selection,
  sinkFor: (runId: string) => PageSink,
  tools: Tools,
): Promise<Run> {
  const { mode } = request
  const sql = isWriting(mode) ? tools.ledger.writer : tools.ledger.reader
  const limits = limitsOf(request, tools.config)
  const checked = await preflight(sql, mode, tools)
  const ledger = await readIdentity(sql, tools)
  const instant = await databaseClock(sql, tools)
  refuseClocksApart(instant, tools.now())

  const source = await sourceOf(selection, instant, tools)
  if (source) refuseOtherLedger(source, ledger, mode === 'rollback', tools)
  const excluded = source ? excludedAsIn(source, selection) : await excludedUsers(tools.config, sql, tools)
  const base = {
    mode,
    instant,
    selection: inheritedSelection(selection, source),
    settings: {
      ...settingsOf(request, limits, checked.lockTimeoutMs, tools),
      ...rulesOf(source, tools),
      excludedIds: [...excluded.ids],
    },
  }
  const { runId, matched } = await freezeRetried(instant, base, source, sinkFor, tools)
  const foreignKeys = await withRetriedRead(sql, readForeignKeys, tools)
  return {
    ...base,
    format: 2,
    runId,
    softwareVersion: SOFTWARE_VERSION,
    asked: {
      ...tools.caller,
      by: request.by ?? tools.caller.by,
      reason: request.reason ?? null,
      requestKey: request.requestKey ?? null,
      payload: payloadOf(request, selection),
    },
    sentSha256: sentSha256(request),
    underHold: await holdToIgnore(request, tools),
    ledger,
    matched,
    warnings: [
      ...checked.warnings,
      ...excluded.warnings,
      // An execute can have other rights than its dry run had.
      ...(selection.rollback === null ? rollbackWarnings(foreignKeys, tools) : []),
    ],
    refusals:
      selection.rollback === null
        ? [...excluded.refusals, ...limitsExceeded(matched, limits)]
        : unreadableKeys(foreignKeys, tools.config.acceptedReferences),
  }
}

/** The run that a plan-bound execute or a rollback follows. */
async function sourceOf({ plan, rollback }: Selection, instant: string, tools: Tools): Promise<Run | null> {
  if (plan !== null) return approvedPlan(plan, instant, tools)
  return rollback === null ? null : rollbackTarget(rollback, tools)
}

/**
 * A plan inherits all of its dry run's selection; a rollback that of its run, and can name some of its users.
 */
function inheritedSelection(selection: Selection, source: Run | null): Selection {
  if (!source) return selection
  const { plan, rollback, userIds } = selection
  return { ...source.selection, plan, rollback, ...(rollback !== null && { userIds }) }
}

type Frozen = Pick<Run, 'runId' | 'matched'>
type Base = Pick<Run, 'mode' | 'selection' | 'settings'>

/**
 * Users are frozen while they are read, so a read that fails begins again with another run id: a page is
 * written once.
 */
async function freezeRetried(
  instant: string,
  base: Base,
  source: Run | null,
  sinkFor: (runId: string) => PageSink,
  tools: Tools,
): Promise<Frozen> {
  for (let tries = 1; ; tries++) {
    const runId = newRunId(instant, base.mode)
    try {
      return { runId, matched: await freeze(base, source, sinkFor(runId), tools) }
    } catch (error) {
      const pauseMs = FREEZE_PAUSE_MS * tries
      if (tries === FREEZE_TRIES || !isWorthRetrying(error, pauseMs, tools)) throw error
      await tools.pause(pauseMs)
    }
  }
}

async function freeze(
  base: Base,
  source: Run | null,
  pages: PageSink,
  tools: Tools,
): Promise<Run['matched']> {
  const { store, ledger } = tools
  const { plan, rollback, userIds } = base.selection
  if (source && rollback !== null) return freezeRollback(source, userIds, store, pages)
  if (source && plan !== null) return freezePlan(source, store, pages)
  return freezeMatches(base, isWriting(base.mode) ? ledger.writer : ledger.reader, pages, tools)
}

/** A plan that says that its execute would be refused, since an address excludes nobody, is refused. */
function excludedAsIn({ settings, refusals }: Run, { plan }: Selection): ExcludedUsers {
  const isRefused = (reason: string): boolean => plan !== null && reason.startsWith('EXCLUDED_USER_IDS')
  return { ids: settings.excludedIds, warnings: [], refusals: refusals.filter(isRefused) }
}

/** A later hold does stop the run. */
async function holdToIgnore(request: OpeningRequest, { store }: Tools): Promise<string | null> {
  if (request.kind !== 'rollback' || request.underHold !== true) return null
  // A damaged hold has no nonce, and stops the run.
  return (await readHold(store))?.document.nonce || null
}

function settingsOf(
  request: OpeningRequest,
  limits: Run['settings']['limits'],
  lockTimeoutMs: number,
  { config }: Tools,
) {
  const gentle = request.gentle ?? false
  return {
    batchSize: (request.kind === 'run' ? request.batchSize : undefined) ?? DEFAULT_BATCH_SIZE,
    concurrency: gentle ? 1 : (request.concurrency ?? DEFAULT_CONCURRENCY),
    gentle,
    limits,
    lockTimeoutMs,
    maxFailedUsers: config.maxFailedUsers,
    maxFailedPercent: config.maxFailedPercent,
    acceptedReferences: [...config.acceptedReferences],
  }
}

/**
 * The settings that the rules use: of the run that this one follows, so that both see a user in the same way.
 */
function rulesOf(source: Run | null, { config }: Tools) {
  const {
    minGrantAgeSeconds,
    correctionDescriptions,
    reviewCategories,
    excludedCategories,
    excludedUserIds,
  } = source?.settings ?? config
  return {
    minGrantAgeSeconds,
    correctionDescriptions: [...correctionDescriptions],
    reviewCategories: [...reviewCategories],
    excludedCategories: [...excludedCategories],
    excludedUserIds: [...excludedUserIds],
  }
}

function rollbackWarnings(foreignKeys: readonly ForeignKey[], tools: Tools): string[] {
  return unreadableKeys(foreignKeys, tools.config.acceptedReferences).map(
    (why) => `the rollback of an execute would be refused: ${why}`,
  )
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
  const why = `${run.refusals.join('; ')}. Nothing was written. Make a dry run, and change the configuration if this is intended`
  await createRun(tools.store, run)
  const place = { bucket: tools.config.bucket, region: tools.region }
  await storeCard(tools.store, cardOf(run, cursor, { status: 'refused', why }, place, tools.now()))
  throw new RunRefused(`Run ${run.runId} is refused: ${why}.`)
}

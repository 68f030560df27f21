import { readHold } from '../../../archive/control.ts'
import { isWriting, type Run } from '../../../archive/runs.ts'
import { isWorthRetrying, withRetriedRead } from '../../../ledger/connection/transaction.ts'
import { databaseClock } from '../../../ledger/preflight/clock.ts'
import { readIdentity } from '../../../ledger/preflight/identity.ts'
import { preflight } from '../../../ledger/preflight/preflight.ts'
import { type ForeignKey, readForeignKeys, unreadableKeys } from '../../../ledger/preflight/references.ts'
import { newRunId } from '../../ids.ts'
import { refuseOtherLedger } from '../../ledger-identity.ts'
import { freezeMatches, freezePlan, freezeRollback, type PageSink } from '../../pages/freeze.ts'
import type { Tools } from '../../tools.ts'
import { SOFTWARE_VERSION } from '../../version.ts'
import { refuseClocksApart } from '../lease.ts'
import { limitsExceeded } from './limits.ts'
import {
  type ExcludedUsers,
  excludedUsers,
  limitsOf,
  type OpeningRequest,
  payloadOf,
  type Selection,
  sentSha256,
} from './selection.ts'
import { approvedPlan, rollbackTarget } from './sources.ts'

/** Measured: docs/decisions. */
const DEFAULT_BATCH_SIZE = 250
const DEFAULT_CONCURRENCY = 3
const FREEZE_TRIES = 4
const FREEZE_PAUSE_MS = 250

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

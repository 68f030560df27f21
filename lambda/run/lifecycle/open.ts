import { storeCard } from '../../archive/cards.ts'
import { type Cursor, createCursor, type VersionedCursor } from '../../archive/cursor.ts'
import { createRun, isWriting, type Run } from '../../archive/runs.ts'
import { RunRefused } from '../../errors.ts'
import { databaseClock } from '../../ledger/clock.ts'
import { readIdentity } from '../../ledger/identity.ts'
import { failureOf } from '../../ledger/errors.ts'
import { preflight } from '../../ledger/preflight.ts'
import { type ForeignKey, readForeignKeys } from '../../ledger/references.ts'
import { withRetriedRead } from '../../ledger/transaction.ts'
import { newRunId } from '../ids.ts'
import { cardOf } from '../lines/card.ts'
import { noTotals } from '../lines/totals.ts'
import { freezeMatches, freezePlan, freezeRollback } from '../pages/freeze.ts'
import type { Tools } from '../tools.ts'
import { SOFTWARE_VERSION } from '../version.ts'
import { refuseOtherLedger } from '../ledger-identity.ts'
import { leaseFrom } from './lease.ts'
import { limitsExceeded } from './limits.ts'
import { approvedPlan, rollbackTarget } from './sources.ts'
import { limitsOf, type OpeningRequest, payloadOf, type Selection } from './selection.ts'

/** Measured: docs/decisions. */
const DEFAULT_BATCH_SIZE = 500
const DEFAULT_CONCURRENCY = 3
const FURTHEST_CLOCKS_MS = 5 * 60_000
const FREEZE_TRIES = 4
const FREEZE_PAUSE_MS = 250

/** A run that has been prepared: its pages, its run.json, and its cursor with this invocation's lease. */
export type Prepared = { readonly run: Run; readonly cursor: VersionedCursor }

/**
 * Prepares a new run: checks the ledger, freezes the users in pages, and fixes what the run works by. A writing run is
 * open only once writer.json names it; what is left of one that was prepared and never opened is unreferenced.
 * @throws InvalidEvent, RunRefused (a limit, outsiders, a plan or a run that cannot be used), LedgerUnavailable,
 *   ArchiveUnavailable
 */
export async function prepareRun(
  request: OpeningRequest,
  selection: Selection,
  tools: Tools,
): Promise<Prepared> {
  const { mode } = request
  const sql = isWriting(mode) ? tools.ledger.writer : tools.ledger.reader
  const limits = limitsOf(request, tools.config)
  const checked = await preflight(sql, mode, tools)
  const ledger = await readIdentity(sql, tools)
  const instant = await databaseClock(sql, tools)
  refuseClocksApart(instant, tools.now())

  const source = await sourceOf(selection, instant, tools)
  if (source) refuseOtherLedger(source, ledger, mode === 'rollback', tools)
  const base = {
    mode,
    instant,
    selection: source
      ? {
          ...source.selection,
          plan: selection.plan,
          rollback: selection.rollback,
          userIds: userIdsOf(selection, source),
        }
      : selection,
    settings: { ...settingsOf(request, limits, checked.lockTimeoutMs, tools), ...rulesOf(source, tools) },
  }
  const { runId, matched } = await freezeRetried(instant, base, source, tools)
  const foreignKeys = await withRetriedRead(sql, readForeignKeys, tools)
  const run: Run = {
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
    ledger,
    matched,
    warnings: [...checked.warnings, ...(mode === 'dry-run' ? rollbackWarnings(foreignKeys, tools) : [])],
    refusals: [
      ...(selection.rollback === null ? limitsExceeded(matched, limits) : []),
      ...(selection.rollback === null ? [] : unreadable(foreignKeys, tools)),
    ],
  }
  const cursor = firstCursor(run, await databaseClock(sql, tools), tools)
  await refuse(run, cursor, tools)
  await createRun(tools.store, run)
  return { run, cursor: await createCursor(tools.store, cursor) }
}

/** The database's clock counts; but one that differs much from this machine's is wrong itself, or this one is. */
function refuseClocksApart(databaseNow: string, now: Date): void {
  const apartMs = Math.abs(Date.parse(databaseNow) - now.getTime())
  if (apartMs <= FURTHEST_CLOCKS_MS) return
  throw new RunRefused(
    `The clock of the database says ${databaseNow}, that of this machine ${now.toISOString()}: they differ by ` +
      `${Math.round(apartMs / 60_000)} minutes. Nothing was done. Correct the one that is wrong (NTP), then retry.`,
  )
}

/** The run that a plan-bound execute or a rollback follows. */
async function sourceOf({ plan, rollback }: Selection, instant: string, tools: Tools): Promise<Run | null> {
  if (plan !== null) return approvedPlan(plan, instant, tools)
  return rollback === null ? null : rollbackTarget(rollback, tools)
}

/** A plan's named users stay named; a rollback can name some of its run's users. */
function userIdsOf(selection: Selection, source: Run): string[] | null {
  return selection.rollback === null ? source.selection.userIds : selection.userIds
}

type Frozen = Pick<Run, 'runId' | 'matched'>
type Base = Pick<Run, 'mode' | 'selection' | 'settings'>

/** Users are frozen while they are read, so a read that fails begins again with another run id: a page is written once. */
async function freezeRetried(instant: string, base: Base, source: Run | null, tools: Tools): Promise<Frozen> {
  for (let tries = 1; ; tries++) {
    const runId = newRunId(instant, base.mode)
    try {
      return { runId, matched: await freeze({ ...base, runId }, source, tools) }
    } catch (error) {
      const failure = failureOf(error)
      if ((failure !== 'lost' && failure !== 'busy') || tries === FREEZE_TRIES) throw error
      await tools.pause(FREEZE_PAUSE_MS * tries)
    }
  }
}

async function freeze(
  run: Base & Pick<Run, 'runId'>,
  source: Run | null,
  tools: Tools,
): Promise<Run['matched']> {
  const { store, ledger } = tools
  const { plan, rollback, userIds } = run.selection
  if (source && rollback !== null) return freezeRollback(run.runId, source, userIds, store)
  if (source && plan !== null) return freezePlan(run.runId, source, store)
  return freezeMatches(run.runId, run, isWriting(run.mode) ? ledger.writer : ledger.reader, store)
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

/** The settings that the rules use: of the run that this one follows, so that both see a user in the same way. */
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

/** The foreign keys that a rollback looks at: all of which the configuration does not accept the consequences. */
export function watchedKeys(foreignKeys: readonly ForeignKey[], accepted: readonly string[]): ForeignKey[] {
  return foreignKeys.filter(({ constraint }) => !accepted.includes(constraint))
}

/** Why a rollback cannot tell whether other tables refer to the rows that it would delete. */
function unreadable(foreignKeys: readonly ForeignKey[], { config }: Tools): string[] {
  return watchedKeys(foreignKeys, config.acceptedReferences)
    .filter(({ readable }) => !readable)
    .map(
      ({ schema, table, column, constraint }) =>
        `a rollback must see which rows of ${table} refer to the rows that it deletes. As the owner of the table: ` +
        `GRANT SELECT (${column}) ON ${schema}.${table} TO the user of this job; or list ${constraint} in ACCEPTED_REFERENCES`,
    )
}

function rollbackWarnings(foreignKeys: readonly ForeignKey[], tools: Tools): string[] {
  return unreadable(foreignKeys, tools).map((why) => `the rollback of an execute would be refused: ${why}`)
}

function firstCursor(run: Run, databaseNow: string, tools: Tools): Omit<Cursor, 'nonce'> {
  return {
    runId: run.runId,
    mode: run.mode,
    instant: run.instant,
    state: isWriting(run.mode) ? 'prepared' : 'open',
    finalStatus: null,
    begunPages: [],
    epoch: 1,
    lease: leaseFrom(databaseNow, 1, tools),
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

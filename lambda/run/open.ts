import { createCursor, createPageList, createRun, type Held } from '../archive/cursor.ts'
import type { Cursor, Run } from '../archive/documents.ts'
import { type RunRequest, InvalidEvent } from '../event.ts'
import type { Config, Limits } from '../config.ts'
import { databaseClock } from '../ledger/clock.ts'
import { limitsPassed } from './brakes.ts'
import { cardOf } from './card.ts'
import { RunRefused } from './errors.ts'
import { newRunId } from './ids.ts'
import { leaseFrom } from './lease.ts'
import { readMatches } from './page-lists.ts'
import { storeCard } from './stored-card.ts'
import type { Tools } from './tools.ts'
import { noTotals } from './totals.ts'
import { SOFTWARE_VERSION } from './version.ts'

/** Measured defaults: docs/decisions. */
const DEFAULT_BATCH_SIZE = 500
const DEFAULT_CONCURRENCY = 3
const LISTS_AT_A_TIME = 8

/** A run that has been prepared: its page lists, its run.json, and its cursor with this invocation's lease. */
export type Opened = { readonly run: Run; readonly cursor: Held<Cursor> }

/** What makes two payloads the same: mode, domains, userIds and plan, each as resolved against the configuration. */
export function selectionOf(request: RunRequest, config: Config): Run['selection'] {
  const strangers = (request.domains ?? []).filter((domain) => !config.domains.includes(domain))
  if (strangers.length > 0) {
    throw new InvalidEvent(
      `The event is not valid: field "domains": ${strangers.join(', ')} is not among the configured domains ${config.domains.join(', ')}; an event can only narrow them. Nothing was done. A valid payload: {"domains": ["${config.domains[0]}"]}.`,
    )
  }
  return {
    domains: [...new Set(request.domains ?? config.domains)].toSorted(),
    userIds: request.userIds ? [...new Set(request.userIds)].toSorted() : null,
    plan: request.plan ?? null,
  }
}

/** Configured limits, where the payload does not lower them. @throws InvalidEvent when it would raise one */
function limitsOf(request: RunRequest, config: Config): Limits {
  for (const key of ['users', 'grants', 'usd', 'correctionsUsd'] as const) {
    const asked = request.limits?.[key]
    if (asked !== undefined && asked > config.limits[key]) {
      throw new InvalidEvent(
        `The event is not valid: field "limits.${key}": ${asked} is above the configured ${config.limits[key]}; an event can only lower a limit. Nothing was done.`,
      )
    }
  }
  return { ...config.limits, ...request.limits }
}

/**
 * Prepares a new run: freezes its users in page lists, and fixes what it works by. A writing run is open only once
 * control/writer.json names it; what is left of one that was prepared and not opened is unreferenced and harmless.
 * @throws InvalidEvent, RunRefused (over a limit, outsiders), LedgerUnavailable, ArchiveUnavailable
 */
export async function prepareRun(request: RunRequest, tools: Tools): Promise<Opened> {
  const { config, store } = tools
  const reader = request.mode === 'dry-run' ? tools.ledger.reader : tools.ledger.writer
  const selection = selectionOf(request, config)
  const settings = settingsOf(request, config)
  const instant = await databaseClock(reader)
  const { lists, matched } = await readMatches(selection, settings.correctionDescriptions, settings.batchSize, reader)

  const { kind: _, mode, ...asked } = request
  const run: Run = {
    runId: newRunId(instant, mode),
    mode,
    instant,
    softwareVersion: SOFTWARE_VERSION,
    asked: {
      payload: { ...(mode === 'execute' && { execute: true }), ...asked },
      requestId: tools.invocation.id,
      source: tools.invocation.source,
      reason: request.reason ?? null,
    },
    selection,
    settings,
    matched,
  }
  const cursor = firstCursor(run, await databaseClock(reader), tools)
  await refuseOverLimits(run, cursor, tools)
  await storeLists(lists, run.runId, tools)
  await createRun(store, run)
  return { run, cursor: await createCursor(store, cursor) }
}

function settingsOf(request: RunRequest, config: Config): Run['settings'] {
  return {
    batchSize: request.batchSize ?? DEFAULT_BATCH_SIZE,
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
    closed: null,
  }
}

/** A dry run is never refused: its card says that an execute would be. */
async function refuseOverLimits(run: Run, cursor: Omit<Cursor, 'nonce'>, tools: Tools): Promise<void> {
  if (run.mode === 'dry-run') return
  const passed = limitsPassed(run.matched, run.settings.limits)
  if (passed.length === 0) return
  const why = `${passed.join('; ')}. Nothing was written. Look at a dry run, and raise the limit in the configuration if this is meant`
  await createRun(tools.store, run)
  await storeCard(tools.store, cardOf(run, { ...cursor, nonce: '' }, { status: 'refused', why }, tools))
  throw new RunRefused(`The run ${run.runId} is refused: ${why}.`)
}

async function storeLists(lists: Awaited<ReturnType<typeof readMatches>>['lists'], runId: string, tools: Tools): Promise<void> {
  const waiting = lists.values()
  const worker = async (): Promise<void> => {
    for (const list of waiting) await createPageList(tools.store, runId, list)
  }
  await Promise.all(Array.from({ length: LISTS_AT_A_TIME }, worker))
}

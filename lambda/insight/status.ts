import { readHold, readRollbacks, readWriter } from '../archive/control.ts'
import { type Cursor, findCursor } from '../archive/cursor.ts'
import type { Run } from '../archive/runs.ts'
import { readCancellation } from '../archive/control.ts'
import { stateOf } from '../archive/state.ts'
import type { ExitCard } from '../exit-card.ts'
import { databaseClock } from '../ledger/preflight/clock.ts'
import { personOf, redact } from '../redact.ts'
import { cardOf, closedCard, emptyCard } from '../run/lines/card/card.ts'
import { noTotals } from '../run/lines/totals.ts'
import { knownRun, newestRunId } from '../run/known-run.ts'
import type { Tools } from '../run/tools.ts'

/**
 * The exit card of a run as it is, without any work. "latest" means the open writing run, or else the newest
 * one. Also reports for how long the open writing run has made no progress.
 * @throws RunRefused for an unknown id, ArchiveCorrupt naming the object that is missing or damaged,
 * ArchiveUnavailable
 */
export async function status(runId: string, tools: Tools): Promise<ExitCard> {
  const openId = (await openWritingRun(tools))?.runId ?? null
  const asked = runId === 'latest' ? (openId ?? (await newestRunId(() => true, tools))) : runId
  if (asked === null) {
    const card = emptyCard('dry-run', askedOf(tools), NO_RUN_YET, placeOf(tools), tools.now())
    return { ...card, next: { text: 'make a dry run', payload: {} } }
  }
  return currentCard(await knownRun(asked, tools), tools)
}

/**
 * The open writing run, and for how many seconds it has made no progress, which is also reported; null where
 * none is open.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function openWritingRun(
  tools: Tools,
): Promise<{ readonly runId: string; readonly idleSeconds: number } | null> {
  const runId = (await readWriter(tools.store))?.document.runId ?? null
  const idle = runId === null ? 0 : await idleSeconds(runId, tools)
  tools.onIdle(idle)
  return runId === null ? null : { runId, idleSeconds: idle }
}

const NO_RUN_YET = { status: 'complete', why: 'this bucket has no run yet' } as const

function askedOf({ caller }: Tools): Run['asked'] {
  return { ...caller, reason: null, requestKey: null, payload: {} }
}

/**
 * The exit card of a run as it is: its last one where it ended.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function currentCard(run: Run, tools: Tools): Promise<ExitCard> {
  const state = await stateOf(tools.store, run)
  switch (state.is) {
    case 'refused':
      return state.card
    case 'closed': {
      const rollbacks = await readRollbacks(tools.store, run.runId)
      return closedCard(run, state, rollbacks, placeOf(tools), tools.now())
    }
    case 'open': {
      const why = await openBecause(run, state.cursor, tools)
      return cardOf(run, state.cursor, { status: 'incomplete', why }, placeOf(tools), tools.now())
    }
    case 'never_opened': {
      const cursor = state.cursor ?? {
        totals: noTotals(),
        usersDone: 0,
        usersTotal: run.matched.users,
        pages: [],
        pagesTotal: 0,
      }
      const why = 'it was prepared but never opened, so nothing was written'
      return cardOf(run, cursor, { status: 'refused', why }, placeOf(tools), tools.now())
    }
  }
}

/** Who works on an open run by the database's clock, and what waits for it. */
async function openBecause(run: Run, cursor: Cursor, tools: Tools): Promise<string> {
  const { lease, state, finalStatus, progressAt, usersDone, usersTotal } = cursor
  const now = await databaseClock(tools.ledger.reader, tools).catch(() => null)
  const [cancellation, hold] = await Promise.all([
    readCancellation(tools.store, run.runId),
    readHold(tools.store),
  ])
  const parts = [
    state === 'closing' ? `it is being closed as ${finalStatus?.status}` : `it is ${state}`,
    `opened ${secondsSince(run.instant, tools)} s ago`,
    `${usersDone} of ${usersTotal} users are done`,
    `last progress ${secondsSince(progressAt, tools)} s ago`,
    leaseText(lease, now),
    cancellation && `a cancellation was requested by ${personOf(cancellation.by)} at ${cancellation.at}`,
    hold?.document.held &&
      `writing is held by ${personOf(hold.document.by)}: ${redact(hold.document.reason)}`,
  ]
  return parts.filter((part) => typeof part === 'string').join('; ')
}

function leaseText(lease: Cursor['lease'], databaseNow: string | null): string {
  if (!lease) return 'no invocation is working on it'
  if (databaseNow === null)
    return `an invocation took its lease until ${lease.expiresAt}; the database did not say whether it has expired`
  return lease.expiresAt > databaseNow
    ? `an invocation holds its lease until ${lease.expiresAt}; if that one has died, the run can be resumed then`
    : `its lease expired at ${lease.expiresAt}: the invocation ended without releasing it`
}

function secondsSince(time: string, { now }: Tools): number {
  return Math.max(0, Math.round((now().getTime() - Date.parse(time)) / 1000))
}

/** An open writing run whose cursor cannot be read makes no visible progress. */
async function idleSeconds(openId: string, tools: Tools): Promise<number> {
  const cursor = await findCursor(tools.store, openId).catch(() => null)
  return cursor ? secondsSince(cursor.document.progressAt, tools) : Number.MAX_SAFE_INTEGER
}

function placeOf({ config, region }: Tools) {
  return { bucket: config.bucket, region }
}

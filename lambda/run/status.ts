import { readCursor, readRun, readWriter } from '../archive/cursor.ts'
import { type Cursor, isWriting, type Run } from '../archive/documents.ts'
import { listRunIds } from '../archive/marks.ts'
import type { ExitCard } from '../exit-card.ts'
import { cardOf, type Shown } from './card.ts'
import { finalCard } from './stored-card.ts'
import type { Tools } from './tools.ts'
import { noTotals } from './totals.ts'

/**
 * The exit card of a run as it stands, without any work; null means the open writing run, or else the latest run.
 * Also tells for how long an open run has made no progress.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function status(asked: Run | null, tools: Tools): Promise<ExitCard> {
  const openId = (await readWriter(tools.store))?.document.runId ?? null
  const run = asked ?? (await latestRun(openId, tools))
  if (!run) {
    tools.onIdle(0)
    return noRunYet(tools)
  }
  const final = await finalCard(tools.store, run.runId)
  if (final?.status === 'refused') {
    tools.onIdle(0)
    return final
  }
  const { document: cursor } = await readCursor(tools.store, run.runId)
  const neverOpened = isWriting(run.mode) && !cursor.closed && openId !== run.runId
  tools.onIdle(cursor.closed || neverOpened ? 0 : (tools.now().getTime() - Date.parse(cursor.progressAt)) / 1000)
  return final ?? cardOf(run, cursor, standing(cursor, neverOpened), tools)
}

function standing(cursor: Cursor, neverOpened: boolean): { status: ExitCard['status']; why: string } {
  if (cursor.closed) return cursor.closed
  if (neverOpened) return { status: 'refused', why: 'it was prepared but never opened, so nothing was written' }
  if (cursor.lease) return { status: 'incomplete', why: `an invocation holds its lease until ${cursor.lease.expiresAt}` }
  return { status: 'incomplete', why: 'it is open, and nobody is at work on it' }
}

async function latestRun(openId: string | null, tools: Tools): Promise<Run | null> {
  if (openId !== null) return readRun(tools.store, openId)
  let latest = ''
  for await (const id of listRunIds(tools.store)) if (id > latest) latest = id
  return latest === '' ? null : readRun(tools.store, latest)
}

function noRunYet(tools: Tools): ExitCard {
  const run: Shown = {
    runId: '',
    mode: 'dry-run',
    instant: tools.now().toISOString(),
    asked: { payload: {}, requestId: '', source: '', reason: null, requestKey: null },
    selection: { domains: [], userIds: null, plan: null, rollback: null },
    concerns: [],
  }
  const nothing = { usersTotal: 0, usersDone: 0, totals: noTotals() }
  const card = cardOf(run, nothing, { status: 'complete', why: 'this bucket has no run yet' }, tools)
  return { ...card, next: { text: 'make a dry run', payload: {} } }
}

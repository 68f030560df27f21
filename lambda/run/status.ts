import { readCursor, readRun, readWriter } from '../archive/cursor.ts'
import type { Cursor, Run } from '../archive/documents.ts'
import { listRunIds } from '../archive/marks.ts'
import type { ExitCard } from '../exit-card.ts'
import { cardOf, type Shown } from './card.ts'
import { standingOf } from './standing.ts'
import type { Tools } from './tools.ts'
import { noTotals } from './totals.ts'

/**
 * The exit card of a run as it stands, without any work; null means the open writing run, or else the latest run.
 * Whichever is asked for, it also tells for how long the open writing run has made no progress.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function status(asked: Run | null, tools: Tools): Promise<ExitCard> {
  const openId = (await readWriter(tools.store))?.document.runId ?? null
  tools.onIdle(openId === null ? 0 : await idleSeconds(openId, tools))
  const run = asked ?? (await latestRun(openId, tools))
  return run ? cardAsItStands(run, tools) : noRunYet(tools)
}

/** The exit card of a run as it stands: its last one where it came to an end. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function cardAsItStands(run: Run, tools: Tools): Promise<ExitCard> {
  const standing = await standingOf(run, tools)
  switch (standing.is) {
    case 'closed':
    case 'refused':
      return standing.card
    case 'open':
      return cardOf(run, standing.cursor, { status: 'incomplete', why: whoIsAtWork(standing.cursor) }, tools)
    case 'unopened': {
      const why = 'it was prepared but never opened, so nothing was written'
      return cardOf(run, standing.cursor ?? { ...NOTHING, usersTotal: run.matched.users }, { status: 'refused', why }, tools)
    }
  }
}

const NOTHING = { usersTotal: 0, usersDone: 0, totals: noTotals() }

async function idleSeconds(openId: string, tools: Tools): Promise<number> {
  const { document: cursor } = await readCursor(tools.store, openId)
  return cursor.closed ? 0 : (tools.now().getTime() - Date.parse(cursor.progressAt)) / 1000
}

function whoIsAtWork({ lease, closing }: Cursor): string {
  const what = closing ? `it is being closed as ${closing.status}` : 'it is open'
  return lease ? `${what}; an invocation holds its lease until ${lease.expiresAt}` : `${what}, and nobody is at work on it`
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
  const card = cardOf(run, NOTHING, { status: 'complete', why: 'this bucket has no run yet' }, tools)
  return { ...card, next: { text: 'make a dry run', payload: {} } }
}

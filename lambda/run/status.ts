import { readRun, readWriter } from '../archive/cursor.ts'
import type { Cursor, Run } from '../archive/documents.ts'
import { listRunIds } from '../archive/marks.ts'
import type { ExitCard } from '../exit-card.ts'
import { cardOf, type Shown } from './card.ts'
import { standingOf } from './standing.ts'
import type { Tools } from './tools.ts'
import { noTotals } from './totals.ts'

/**
 * The exit card of a run as it stands, without any work; null means the open writing run, or else the latest run.
 * Whichever is asked for, it also tells for how long a run that is open has made no progress: the open writing run, or
 * the latest run, whichever is worse.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function status(asked: Run | null, tools: Tools): Promise<ExitCard> {
  const openId = (await readWriter(tools.store))?.document.runId ?? null
  const latest = await latestRun(tools)
  const open = openId === null ? null : await readRun(tools.store, openId)
  tools.onIdle(Math.max(await idleSeconds(open, tools), await idleSeconds(latest, tools)))
  const run = asked ?? open ?? latest
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
      return cardOf(
        run,
        standing.cursor ?? { ...NOTHING, usersTotal: run.matched.users },
        { status: 'refused', why },
        tools,
      )
    }
  }
}

const NOTHING = { usersTotal: 0, usersDone: 0, totals: noTotals() }

async function idleSeconds(run: Run | null, tools: Tools): Promise<number> {
  const standing = run && (await standingOf(run, tools))
  return standing?.is === 'open' ? (tools.now().getTime() - Date.parse(standing.cursor.progressAt)) / 1000 : 0
}

function whoIsAtWork({ lease, closing }: Cursor): string {
  const what = closing ? `it is being closed as ${closing.status}` : 'it is open'
  return lease
    ? `${what}; an invocation holds its lease until ${lease.expiresAt}`
    : `${what}, and nobody is at work on it`
}

/** The latest run that came into being; what only was prepared (by the loser of two openings, say) is passed over while there is another. */
async function latestRun(tools: Tools): Promise<Run | null> {
  const ids: string[] = []
  for await (const id of listRunIds(tools.store)) ids.push(id)
  let prepared: Run | null = null
  for (const id of ids.toSorted().toReversed()) {
    const run = await readRun(tools.store, id)
    if (run && (await standingOf(run, tools)).is !== 'unopened') return run
    prepared ??= run
  }
  return prepared
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

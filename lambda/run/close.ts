import { readWriter, swapWriter } from '../archive/cursor.ts'
import { type Cursor, isWriting, parseDocument, type Run, serialize, type Totals, type Verdict } from '../archive/documents.ts'
import { type LogKind, runFileKey, segmentKey } from '../archive/keys.ts'
import { mark } from '../archive/marks.ts'
import { assembleLog, type Fingerprint, fingerprint } from '../archive/logs.ts'
import { create, get } from '../archive/store.ts'
import type { ExitCard } from '../exit-card.ts'
import { cardOf } from './card.ts'
import { TotalsDiffer } from './errors.ts'
import type { Holding } from './lease.ts'
import { finishedPages } from './ranges.ts'
import { storeCard } from './stored-card.ts'
import type { Tools } from './tools.ts'
import { addUserLine, countedSchema, noTotals } from './totals.ts'

/** A whole log is one step of closing; it is not begun with less time left than this. */
const STEP_MS = 5_000

/**
 * Closes a run: whole logs, checked against the cursor's totals; summary; manifest; cursor; and, for a writing run,
 * control/writer.json, last. Every step can be done again, so a closing that was interrupted is simply begun again.
 * Returns null when the time does not suffice: the run stays open, and its verdict stands.
 * @throws TotalsDiffer, ArchiveCorrupt, ArchiveUnavailable, LeaseLost
 */
export async function closeRun(holding: Holding, verdict: Verdict, tools: Tools): Promise<ExitCard | null> {
  const { run } = holding
  if (!holding.cursor().closing) await holding.update({ closing: verdict })
  const decided = holding.cursor().closing ?? verdict

  const logs: Fingerprint[] = []
  const counted = { totals: noTotals() }
  for (const kind of ['users', 'mutations', 'errors'] as const) {
    if (tools.timeLeft() < STEP_MS) return null
    const cursor = holding.cursor()
    const onEnd = () => compareTotals(run.runId, kind, counted.totals, cursor.totals)
    logs.push(await assembleLog(tools.store, run.runId, kind, segmentsOf(cursor, kind), recounter(kind, counted), onEnd))
  }

  const card = cardOf(run, holding.cursor(), decided, tools)
  const summary = await storeCard(tools.store, card)
  await storeManifest(holding, logs, summary, tools)
  await holding.update({ closed: decided, lease: null })
  // Before the writer is freed: whoever comes after a cut here only finds a closed run.
  tools.onClosed(card)
  await freeWriter(run, tools)
  return card
}

/**
 * Names no open writing run any more, if this one is still named. Its marks are written before, once more: whoever
 * wrote them first may have been cut off.
 * @throws ArchiveUnavailable
 */
export async function freeWriter(run: Run, tools: Tools): Promise<void> {
  if (!isWriting(run.mode)) return
  const writer = await readWriter(tools.store)
  if (writer?.document.runId !== run.runId) return
  await markRun(run, tools)
  await swapWriter(tools.store, writer, null)
}

/**
 * Lets the request key and the approved plan of a writing run belong to it, so that a late duplicate finds it. Returns
 * how the run must end when its plan belongs to another run already.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function markRun({ runId, mode, asked, selection }: Run, tools: Tools): Promise<Verdict | null> {
  if (!isWriting(mode)) return null
  if (asked.requestKey !== null) await mark(tools.store, 'request', asked.requestKey, runId)
  const owner = selection.plan === null ? runId : await mark(tools.store, 'plan', selection.plan, runId)
  return owner === runId ? null : { status: 'stopped', why: `the plan ${selection.plan} was executed by the run ${owner} already` }
}

function* segmentsOf({ finished, errorPages, runId }: Cursor, kind: LogKind): Generator<string> {
  for (const { page, epoch } of finishedPages(finished)) {
    if (kind !== 'errors' || errorPages.includes(page)) yield segmentKey(runId, page, epoch, kind)
  }
}

function recounter(kind: LogKind, counted: { totals: Totals }): (line: string, segmentKey: string) => void {
  return (line, key) => {
    const { totals } = counted
    if (kind === 'users') counted.totals = addUserLine(totals, parseDocument(countedSchema, key, line))
    else if (kind === 'mutations') counted.totals = { ...totals, mutationLines: totals.mutationLines + 1 }
    else counted.totals = { ...totals, errorLines: totals.errorLines + 1 }
  }
}

/** What the logs so far cannot show, since they are assembled one after the other. */
const NOT_COUNTED_YET: Record<LogKind, Partial<Totals>> = { users: { mutationLines: 0, errorLines: 0 }, mutations: { errorLines: 0 }, errors: {} }

/**
 * Before there is a whole log of this kind, so that a damaged segment can be restored. Users without grants have no
 * line unless they are flagged, so theirs is the one count that the logs cannot show.
 */
function compareTotals(runId: string, kind: LogKind, fromLogs: Totals, fromCursor: Totals): void {
  const [logs, cursor] = [fromLogs, fromCursor].map((totals) => sortedJson({ ...totals, usersWithoutGrants: 0, ...NOT_COUNTED_YET[kind] }))
  if (logs === cursor) return
  throw new TotalsDiffer(`The logs of ${runId} come to ${logs}, its cursor to ${cursor}. The run stays open; compare its segments with the database before anything else.`)
}

function sortedJson(totals: Totals): string {
  return JSON.stringify(totals, (_, value: unknown) =>
    typeof value === 'object' && value !== null
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  )
}

async function storeManifest({ run }: Holding, logs: readonly Fingerprint[], summary: string, tools: Tools): Promise<void> {
  const runKey = runFileKey(run.runId, 'run')
  const stored = await get(tools.store, runKey)
  const files = [...logs, fingerprint(runKey, stored?.body ?? ''), fingerprint(runFileKey(run.runId, 'summary'), summary)]
  const manifest = { runId: run.runId, softwareVersion: run.softwareVersion, files }
  await create(tools.store, runFileKey(run.runId, 'manifest'), serialize(manifest), 'application/json')
}

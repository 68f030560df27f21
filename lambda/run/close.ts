import { readWriter, swapWriter } from '../archive/cursor.ts'
import {
  type Cursor,
  type Fingerprint,
  isWriting,
  parseDocument,
  type Run,
  serialize,
  type Totals,
  type Verdict,
} from '../archive/documents.ts'
import { LOG_KINDS, logKey, type LogKind, runFileKey, segmentKey } from '../archive/keys.ts'
import { mark } from '../archive/marks.ts'
import { assembleLog, fingerprint } from '../archive/logs.ts'
import { create, get } from '../archive/store.ts'
import type { ExitCard } from '../exit-card.ts'
import { cardOf } from './card.ts'
import { TotalsDiffer } from './errors.ts'
import type { Holding } from './lease.ts'
import { finishedPages } from './ranges.ts'
import { storeCard } from './stored-card.ts'
import type { Tools } from './tools.ts'
import { addUserLine, countedSchema, noTotals } from './totals.ts'

/** A whole log is one step of closing, which the cursor remembers; it is not begun with less time left than this. */
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

  for (const kind of LOG_KINDS) {
    const cursor = holding.cursor()
    if (cursor.wholeLogs.some(({ key }) => key === logKey(run.runId, kind))) continue
    if (tools.timeLeft() < STEP_MS) return null
    // One after the other: side by side they are no faster, and take 50 MB more.
    const log = await assembleChecked(cursor, kind, tools)
    await holding.update({ wholeLogs: [...cursor.wholeLogs, log] })
  }
  compareLines(holding.cursor())

  const card = cardOf(run, holding.cursor(), decided, tools)
  const summary = await storeCard(tools.store, card)
  await storeManifest(holding, summary, tools)
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
  return owner === runId
    ? null
    : { status: 'stopped', why: `the plan ${selection.plan} was executed by the run ${owner} already` }
}

function* segmentsOf({ finished, errorPages, runId }: Cursor, kind: LogKind): Generator<string> {
  for (const { page, epoch } of finishedPages(finished)) {
    if (kind !== 'errors' || errorPages.includes(page)) yield segmentKey(runId, page, epoch, kind)
  }
}

const LINE_COUNTS = { users: 'userLines', mutations: 'mutationLines', errors: 'errorLines' } as const

/** Works out the totals of one kind of log again while it is put together. Of users' lines all counts, of the others their number. */
async function assembleChecked(cursor: Cursor, kind: LogKind, { store }: Tools): Promise<Fingerprint> {
  const { runId } = cursor
  let totals = noTotals()
  const onLine = (line: string, key: string): void => {
    totals = addUserLine(totals, parseDocument(countedSchema, key, line))
  }
  return assembleLog(
    store,
    runId,
    kind,
    segmentsOf(cursor, kind),
    kind === 'users' ? onLine : null,
    (lines) => {
      // As the whole log has them: a line that has lost its line break is none.
      compareTotals(runId, kind, { ...totals, [LINE_COUNTS[kind]]: lines }, cursor.totals)
    },
  )
}

/**
 * Compares what one kind of log comes to with the cursor, before there is a whole log of that kind, so that a damaged
 * segment can be restored. Users without grants have no line unless they are flagged, so theirs is the one count that
 * the logs cannot show.
 */
function compareTotals(runId: string, kind: LogKind, fromLog: Totals, fromCursor: Totals): void {
  const [log, cursor] = [fromLog, fromCursor].map((totals) => sortedJson(shownBy(kind, totals)))
  if (log === cursor) return
  throw new TotalsDiffer(
    `The ${kind} log of ${runId} comes to ${log}, its cursor to ${cursor}. The run stays open; compare its segments with the database before anything else.`,
  )
}

/** Nothing may be added to a run once a whole log of it is written; if it was, the log is too short. */
function compareLines({ runId, totals, wholeLogs }: Cursor): void {
  for (const kind of LOG_KINDS) {
    const log = wholeLogs.find(({ key }) => key === logKey(runId, kind))
    const counted = totals[LINE_COUNTS[kind]]
    if (log?.lines === counted) continue
    throw new TotalsDiffer(
      `The whole ${kind} log of ${runId} has ${log?.lines} lines, its cursor counts ${counted}. The run stays open; compare its segments with the log.`,
    )
  }
}

function shownBy(kind: LogKind, totals: Totals): Partial<Totals> {
  if (kind === 'mutations') return { mutationLines: totals.mutationLines }
  if (kind === 'errors') return { errorLines: totals.errorLines }
  return { ...totals, usersWithoutGrants: 0, mutationLines: 0, errorLines: 0 }
}

function sortedJson(totals: Partial<Totals>): string {
  return JSON.stringify(totals, (_, value: unknown) =>
    typeof value === 'object' && value !== null
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  )
}

async function storeManifest(holding: Holding, summary: string, tools: Tools): Promise<void> {
  const { run } = holding
  const runKey = runFileKey(run.runId, 'run')
  const stored = await get(tools.store, runKey)
  const files = [
    ...holding.cursor().wholeLogs,
    fingerprint(runKey, stored?.body ?? ''),
    fingerprint(runFileKey(run.runId, 'summary'), summary),
  ]
  const manifest = { runId: run.runId, softwareVersion: run.softwareVersion, files }
  await create(tools.store, runFileKey(run.runId, 'manifest'), serialize(manifest), 'application/json')
}

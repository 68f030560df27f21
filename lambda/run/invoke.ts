import { listRunIds, mark, readMark } from '../archive/marks.ts'
import { readCursor, readRun, readWriter, swapWriter } from '../archive/cursor.ts'
import { isWriting, type Run } from '../archive/documents.ts'
import type { Payload } from '../event.ts'
import type { ExitCard } from '../exit-card.ts'
import { nearestFew } from '../nearest.ts'
import { cancel } from './cancel.ts'
import { cardOf } from './card.ts'
import { freeWriter } from './close.ts'
import { RunRefused } from './errors.ts'
import { acquire, hold } from './lease.ts'
import { prepareRun } from './open.ts'
import { asksForSame, type OpeningRequest } from './selection.ts'
import { status } from './status.ts'
import { finalCard } from './stored-card.ts'
import type { Tools } from './tools.ts'
import { work } from './work.ts'

/**
 * One invocation, from a valid payload to the exit card.
 * @throws InvalidEvent, RunRefused, LedgerUnavailable, ArchiveUnavailable, ArchiveCorrupt, TotalsDiffer
 */
export async function invoke(payload: Payload, tools: Tools): Promise<ExitCard> {
  switch (payload.kind) {
    case 'resume':
      return resume(payload.runId, tools)
    case 'cancel':
      return cancel(await knownRun(payload.runId, tools), tools)
    case 'status':
      return status(payload.runId === 'latest' ? null : await knownRun(payload.runId, tools), tools)
    case 'run':
    case 'rollback':
      return begin(payload, tools)
  }
}

/** A request key that has a run already means that run, however late the duplicate comes. */
async function begin(request: OpeningRequest, tools: Tools): Promise<ExitCard> {
  const owner = request.requestKey === undefined ? null : await readMark(tools.store, 'request', request.requestKey)
  if (owner !== null) {
    const run = await knownRun(owner, tools)
    if (!asksForSame(request, run, tools.config)) {
      throw new RunRefused(`field "requestKey": the run ${owner} was opened with this key and another payload: ${JSON.stringify(run.asked.payload)}. Nothing was done. Use a key of its own for each request.`)
    }
    return goOn(run, tools)
  }
  if (request.restart !== undefined) {
    const card = await cancel(await knownRun(request.restart, tools), tools)
    if (card.status === 'busy') return card
  }
  return isWriting(request.mode) ? openOrGoOn(request, tools) : openDry(request, tools)
}

async function openDry(request: OpeningRequest, tools: Tools): Promise<ExitCard> {
  const { run, cursor } = await prepareRun(request, tools)
  if (request.requestKey !== undefined) {
    // For a dry run the key's mark is what opens it: of two deliveries at once, one finds the other's.
    const owner = await mark(tools.store, 'request', request.requestKey, run.runId)
    if (owner !== run.runId) return goOn(await knownRun(owner, tools), tools)
  }
  return work(hold(run, cursor, true, tools), tools)
}

/** At most one writing run is open per bucket: the same payload goes on with it, another one is refused. */
async function openOrGoOn(request: OpeningRequest, tools: Tools): Promise<ExitCard> {
  const writer = await readWriter(tools.store)
  const openId = writer?.document.runId ?? null
  if (openId !== null) {
    const run = await knownRun(openId, tools)
    if ((await readCursor(tools.store, openId)).document.closed) {
      await freeWriter(run, tools)
      return begin(request, tools)
    }
    refuseOther(run, request, tools)
    return goOn(run, tools)
  }
  const { run, cursor } = await prepareRun(request, tools)
  if (await swapWriter(tools.store, writer, run.runId)) return work(hold(run, cursor, true, tools), tools)
  return begin(request, tools)
}

function refuseOther(open: Run, request: OpeningRequest, tools: Tools): void {
  if (asksForSame(request, open, tools.config)) return
  throw new RunRefused(
    `The run ${open.runId} is open, and it was opened with another payload: ${JSON.stringify(open.asked.payload)}. Only one writing run can be open. Nothing was done. To finish it first, send {"resume": "${open.runId}"}; to stop it, {"cancel": "${open.runId}"}; to stop it and begin this, add "restart": "${open.runId}" to this payload.`,
  )
}

async function knownRun(runId: string, tools: Tools): Promise<Run> {
  const run = await readRun(tools.store, runId)
  if (run) return run
  const ids: string[] = []
  for await (const id of listRunIds(tools.store)) ids.push(id)
  const near = nearestFew(runId, ids, 3)
  const hint = near.length > 0 ? ` Did you mean ${near.join(' or ')}?` : ''
  throw new RunRefused(`The bucket ${tools.config.bucket} knows no run ${runId}.${hint} The folder runs/ shows all ids. Nothing was done.`)
}

async function resume(runId: string, tools: Tools): Promise<ExitCard> {
  const run = await knownRun(runId, tools)
  const final = await finalCard(tools.store, runId)
  if (final?.status === 'refused') return final
  await refuseNeverOpened(run, tools)
  return goOn(run, tools)
}

/** Only the run that control/writer.json names can be gone on with for writing. */
async function refuseNeverOpened(run: Run, tools: Tools): Promise<void> {
  if (!isWriting(run.mode)) return
  const writer = await readWriter(tools.store)
  if (writer?.document.runId === run.runId) return
  if ((await readCursor(tools.store, run.runId)).document.closed) return
  throw new RunRefused(`The run ${run.runId} was prepared but never opened, so there is nothing to go on with. Send its payload again: ${JSON.stringify(run.asked.payload)}.`)
}

async function goOn(run: Run, tools: Tools): Promise<ExitCard> {
  const lease = await acquire(run, tools)
  if ('holding' in lease) return work(lease.holding, tools)
  if ('closed' in lease) {
    await freeWriter(run, tools)
    const verdict = lease.closed.closed ?? { status: 'stopped', why: 'the run is closed' }
    return (await finalCard(tools.store, run.runId)) ?? cardOf(run, lease.closed, verdict, tools)
  }
  const why = `another invocation is at work on this run; its lease lapses at ${lease.busy.lease?.expiresAt ?? 'an unknown time'}`
  return cardOf(run, lease.busy, { status: 'busy', why }, tools)
}

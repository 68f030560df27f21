import { mark, readMark } from '../archive/marks.ts'
import { readCursor, readWriter, swapWriter } from '../archive/cursor.ts'
import { isWriting, type Run } from '../archive/documents.ts'
import type { Payload } from '../event.ts'
import type { ExitCard } from '../exit-card.ts'
import { cancel } from './cancel.ts'
import { cardOf } from './card.ts'
import { freeWriter } from './close.ts'
import { RunRefused } from './errors.ts'
import { knownRun } from './known-run.ts'
import { acquire, hold } from './lease.ts'
import { checkRequest, payloadOf, prepareRun } from './open.ts'
import { asksForSame, isSentAgain, type OpeningRequest } from './selection.ts'
import { standingOf } from './standing.ts'
import { status } from './status.ts'
import type { Tools } from './tools.ts'
import { work } from './work.ts'

/**
 * One invocation, from a valid payload to the exit card.
 * @throws InvalidEvent, RunRefused, LedgerUnavailable, ArchiveUnavailable, ArchiveCorrupt, TotalsDiffer
 */
export async function invoke(payload: Payload, tools: Tools): Promise<ExitCard> {
  switch (payload.kind) {
    case 'resume':
      return goOn(await knownRun(payload.runId, tools), tools)
    case 'cancel':
      return cancel(await knownRun(payload.runId, tools), tools)
    case 'status':
      return status(payload.runId === 'latest' ? null : await knownRun(payload.runId, tools), tools)
    case 'run':
    case 'rollback':
      return begin(payload, tools)
    case 'abandon':
    case 'check':
    case 'hold':
    case 'release':
    case 'history':
    case 'verify':
    case 'diff':
    case 'report':
      throw new RunRefused(`"${payload.kind}" is not available in this version. Nothing was done.`)
  }
}

async function begin(request: OpeningRequest, tools: Tools): Promise<ExitCard> {
  const run = await runOfKey(request, tools)
  if (run) return goOn(run, tools)
  if (request.restart !== undefined) return beginAnew(request, request.restart, tools)
  return isWriting(request.mode) ? openOrGoOn(request, tools) : openDry(request, tools)
}

async function beginAnew(request: OpeningRequest, restart: string, tools: Tools): Promise<ExitCard> {
  const card = await closeForRestart(request, restart, tools)
  if (card) return card
  try {
    return await openOrGoOn(request, tools)
  } catch (error) {
    if (!(error instanceof RunRefused)) throw error
    throw new RunRefused(`${error.message} Before that, the run ${restart} was closed, as "restart" asked.`, {
      cause: error,
    })
  }
}

/** A request key that has a run already means that run, however late the duplicate comes. @throws RunRefused */
async function runOfKey(request: OpeningRequest, tools: Tools): Promise<Run | null> {
  if (request.requestKey === undefined) return null
  const owner = await readMark(tools.store, 'request', request.requestKey)
  if (owner === null) return null
  const run = await knownRun(owner, tools)
  // The very payload is a duplicate, whatever has become of the configuration since.
  if (isSentAgain(request, run) || asksForSame(request, run, tools.config)) return run
  throw new RunRefused(
    `field "requestKey": the run ${owner} was opened with this key and another payload: ${JSON.stringify(run.asked.payload)}. Nothing was done. Use a key of its own for each request.`,
  )
}

/** Closes the run that is to be restarted; a card where it is not closed yet, so that nothing may be begun. @throws RunRefused */
async function closeForRestart(
  request: OpeningRequest,
  runId: string,
  tools: Tools,
): Promise<ExitCard | null> {
  const run = await knownRun(runId, tools)
  if (!isWriting(run.mode)) {
    throw new RunRefused(
      `field "restart": ${runId} is a ${run.mode}, and only a writing run can be restarted. Nothing was done. To execute what a dry run showed, send {"execute": true, "plan": "<its id>"}.`,
    )
  }
  if (request.kind === 'run' && request.plan !== undefined && run.selection.plan === request.plan) {
    throw new RunRefused(
      `The plan ${request.plan} belongs to the run ${runId}, and a plan is executed once: it cannot be restarted. Nothing was done. Finish it with {"resume": "${runId}"}, or stop it with {"cancel": "${runId}"} and make a new dry run.`,
    )
  }
  await checkRequest(request, tools)
  const card = await cancel(run, tools)
  if (card.status !== 'busy' && card.status !== 'incomplete') return null
  return { ...card, next: { text: 'stop that run, and begin anew', payload: payloadOf(request) } }
}

async function openDry(request: OpeningRequest, tools: Tools): Promise<ExitCard> {
  const { run, cursor } = await prepareRun(request, tools)
  if (request.requestKey !== undefined) {
    // For a dry run the key's mark is what opens it: of two deliveries at once, one finds the other's.
    const owner = await mark(tools.store, 'request', request.requestKey, run.runId)
    if (owner !== run.runId) return begin(request, tools)
  }
  return work(hold(run, cursor, true, tools), tools)
}

/** At most one writing run is open per bucket: the same payload goes on with it, another one is refused. */
async function openOrGoOn(request: OpeningRequest, tools: Tools): Promise<ExitCard> {
  const writer = await readWriter(tools.store)
  // Once more, now that the writer was read: another delivery may have opened a run since, and closed it again. It marks
  // its key before it frees the writer, and after this moment the swap below would fail.
  const delivered = await runOfKey(request, tools)
  if (delivered) return goOn(delivered, tools)
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

/** Goes on with an open run, or returns the card of one that came to its end. @throws RunRefused when it was never opened */
async function goOn(run: Run, tools: Tools): Promise<ExitCard> {
  const standing = await standingOf(run, tools)
  if (standing.is === 'unopened') {
    throw new RunRefused(
      `The run ${run.runId} was prepared but never opened, so there is nothing to go on with. Send its payload again: ${JSON.stringify(run.asked.payload)}.`,
    )
  }
  if (standing.is !== 'open') {
    await freeWriter(run, tools)
    return standing.card
  }
  const lease = await acquire(run, tools)
  if ('holding' in lease) return work(lease.holding, tools)
  if ('closed' in lease) return goOn(run, tools)
  const why = `another invocation is at work on this run; its lease lapses at ${lease.busy.lease?.expiresAt ?? 'an unknown time'}`
  return cardOf(run, lease.busy, { status: 'busy', why }, tools)
}

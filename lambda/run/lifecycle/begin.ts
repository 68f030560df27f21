import { type ClosedRun, mark, readMark, readWriter, swapWriter } from '../../archive/control.ts'
import { ArchiveUnavailable } from '../../archive/errors.ts'
import type { MarkKind } from '../../archive/keys.ts'
import { isWriting, readRun, type Run } from '../../archive/runs.ts'
import { RunRefused } from '../../errors.ts'
import { type ExitCard, isFinal } from '../../exit-card.ts'
import { databaseClock } from '../../ledger/preflight/clock.ts'
import type { Tools } from '../tools.ts'
import { cancel } from './cancel.ts'
import { freeWriter } from './close.ts'
import { knownRun, refuseSecondOpenRun } from '../known-run.ts'
import { hold } from './lease.ts'
import { markRun } from './marks.ts'
import { prepareRun } from './opening/open.ts'
import { resume } from './resume.ts'
import {
  hasSameLimits,
  isSameRequest,
  limitsOf,
  type OpeningRequest,
  payloadOf,
  type Selection,
  selectionOf,
  sentSha256,
} from './opening/selection.ts'
import { approvedPlan, rollbackTarget } from './opening/sources.ts'
import { readCursor } from '../../archive/cursor.ts'
import { work } from './work.ts'

/**
 * Opens the run that a payload asks for, or continues or shows the one that the payload belongs to already:
 * by its request key, its plan, or as the open writing run.
 * @throws InvalidEvent, RunRefused, LedgerUnavailable, ArchiveUnavailable, ArchiveCorrupt
 */
export async function begin(request: OpeningRequest, tools: Tools): Promise<ExitCard> {
  // Before e-mail addresses are looked up: they may have changed since the payload was sent first.
  const ofKey = await runOfKey(request, tools)
  if (ofKey?.sentSha256 === sentSha256(request) && hasSameLimits(request, ofKey)) return resume(ofKey, tools)
  const open = ofKey ? null : await openRunOfSameAddresses(request, tools)
  if (open) return join(open.runId, request, open.selection, tools)
  const selection = await selectionOf(request, tools)
  const delivered = await runDelivered(request, selection, tools)
  if (delivered) return resume(delivered, tools)
  if (!isWriting(request.mode)) return openDryRun(request, selection, tools)
  if (request.restart === undefined) return openOrJoin(request, selection, tools)

  const card = await closeForRestart(request, request.restart, selection, tools)
  if (card) return card
  try {
    return await openOrJoin(request, selection, tools)
  } catch (error) {
    if (!(error instanceof RunRefused)) throw error
    const closed = `Run ${request.restart} was closed before that, as "restart" requested.`
    throw new RunRefused(`${error.message} ${closed}`, { cause: error })
  }
}

function keyKind(request: OpeningRequest): MarkKind {
  return isWriting(request.mode) ? 'request' : 'dry-run-request'
}

/** The open writing run, if it was opened by the same payload, one with e-mail addresses. */
async function openRunOfSameAddresses(request: OpeningRequest, { store }: Tools): Promise<Run | null> {
  const named = [...(request.userIds ?? []), ...(request.kind === 'run' ? (request.exceptUserIds ?? []) : [])]
  const isAsked = isWriting(request.mode) && request.restart === undefined
  if (!isAsked || !named.some((text) => text.includes('@'))) return null
  const openId = (await readWriter(store))?.document.runId ?? null
  const open = openId === null ? null : await readRun(store, openId)
  return open?.sentSha256 === sentSha256(request) ? open : null
}

/** The run that a request key belongs to, if there is one. */
async function runOfKey(request: OpeningRequest, tools: Tools): Promise<Run | null> {
  if (request.requestKey === undefined) return null
  const owner = await readMark(tools.store, keyKind(request), request.requestKey)
  return owner === null ? null : knownRun(owner, tools)
}

/**
 * The run that a request key or a plan belongs to, however late the duplicate comes.
 * @throws RunRefused for another payload
 */
async function runDelivered(
  request: OpeningRequest,
  selection: Selection,
  tools: Tools,
): Promise<Run | null> {
  const run = await runOfKey(request, tools)
  if (run) {
    if (isSameRequest(request.mode, selection, run) && hasSameLimits(request, run)) return run
    throw new RunRefused(
      `field "requestKey": run ${run.runId} was opened with this key and another payload: ` +
        `${JSON.stringify(run.asked.payload)}. Nothing was done. Use a new key for each request.`,
    )
  }
  if (selection.plan === null || request.restart !== undefined) return null
  const owner = await readMark(tools.store, 'plan', selection.plan)
  if (owner === null) return null
  const executed = await knownRun(owner, tools)
  if (hasSameLimits(request, executed)) return executed
  throw new RunRefused(
    `The plan ${selection.plan} is executed by run ${owner}, which was opened with other limits: ` +
      `${JSON.stringify(executed.settings.limits)}. The limits of a run do not change. Nothing was done. ` +
      `Send {"resume": "${owner}"} to continue or see it, {"cancel": "${owner}"} to stop it.`,
  )
}

async function openDryRun(request: OpeningRequest, selection: Selection, tools: Tools): Promise<ExitCard> {
  const { run, cursor } = await prepareRun(request, selection, tools)
  if (request.requestKey !== undefined) {
    // For a dry run the mark of its key is what opens it: of two deliveries at once, one finds the other's.
    const owner = await mark(tools.store, keyKind(request), request.requestKey, run.runId)
    if (owner !== run.runId) return begin(request, tools)
  }
  return (await work(hold(run, cursor, tools), tools)).card
}

/** At most one writing run is open per bucket: the same payload continues it, another one is refused. */
async function openOrJoin(request: OpeningRequest, selection: Selection, tools: Tools): Promise<ExitCard> {
  const writer = await readWriter(tools.store)
  // Once more, now that the writer was read: another delivery may have opened a run since, and closed it. It
  // marks its key before it frees the writer, and after this moment the swap below would fail.
  const delivered = await runDelivered(request, selection, tools)
  if (delivered) return resume(delivered, tools)
  const openId = writer?.document.runId ?? null
  if (openId !== null) return join(openId, request, selection, tools)
  await refuseSecondOpenRun(tools)

  const { run, cursor } = await prepareRun(request, selection, tools)
  const lastClosed = writer?.document.lastClosed ?? null
  const isOpened = (await swapNaming(run, writer, lastClosed, tools)) || (await wasOpened(run, tools))
  if (!isOpened) return begin(request, tools)
  const { card, otherRun } = await work(hold(run, cursor, tools), tools)
  return otherRun === null ? card : resume(await knownRun(otherRun, tools), tools)
}

/** @throws ArchiveUnavailable naming the run, which may be open then */
async function swapNaming(
  { runId }: Run,
  writer: Awaited<ReturnType<typeof readWriter>>,
  lastClosed: ClosedRun | null,
  { store }: Tools,
): Promise<boolean> {
  try {
    return await swapWriter(store, writer, { runId, lastClosed })
  } catch (error) {
    if (!(error instanceof ArchiveUnavailable)) throw error
    throw new ArchiveUnavailable(
      `${error.message} Run ${runId} may be open now; nothing was written to the ledger. Send ` +
        `{"status": "${runId}"} to see it, {"resume": "${runId}"} to continue it.`,
      { cause: error },
    )
  }
}

/**
 * A swap whose reply was lost may have won, and another invocation may have resumed, even closed, the run
 * since.
 */
async function wasOpened(run: Run, tools: Tools): Promise<boolean> {
  const { document } = await readCursor(tools.store, run.runId)
  if (document.state === 'prepared' && document.epoch === 1) return false
  throw new RunRefused(
    `Run ${run.runId} was opened by this invocation and taken over by another one. Nothing more was ` +
      `done here. Send {"resume": "${run.runId}"} to continue or see it.`,
  )
}

/** Continues the open writing run, if the payload asks for it. Its key is marked before anything is done. */
async function join(
  openId: string,
  request: OpeningRequest,
  selection: Selection,
  tools: Tools,
): Promise<ExitCard> {
  const run = await knownRun(openId, tools)
  if ((await readCursor(tools.store, openId)).document.state === 'closed') {
    await freeWriter(run, null, tools)
    return begin(request, tools)
  }
  const ways =
    `To finish it first, send {"resume": "${openId}"}; to stop it, {"cancel": "${openId}"}; to stop it ` +
    `and start this one, add "restart": "${openId}" to this payload.`
  if (!isSameRequest(request.mode, selection, run)) {
    throw new RunRefused(
      `Run ${openId} is open, and it was opened with another payload: ` +
        `${JSON.stringify(run.asked.payload)}. Only one writing run can be open. Nothing was done. ` +
        ways,
    )
  }
  if (!hasSameLimits(request, run)) {
    throw new RunRefused(
      `Run ${openId} is open, and it was opened with other limits: ` +
        `${JSON.stringify(run.settings.limits)}. Limits of an open run do not change. Nothing was ` +
        `done. ${ways}`,
    )
  }
  // Its own marks first: a run whose key or plan belongs to another run closes as `stopped`, and is not this
  // delivery's.
  if ((await markRun(run, tools)) !== null) {
    const card = await resume(run, tools)
    return isFinal(card.status) ? begin(request, tools) : card
  }
  if (request.requestKey !== undefined) {
    const owner = await mark(tools.store, keyKind(request), request.requestKey, openId)
    if (owner !== openId) return resume(await knownRun(owner, tools), tools)
  }
  return resume(run, tools)
}

/**
 * Closes the run that is to be restarted; a card if it is not closed yet, so that nothing may begin.
 * @throws RunRefused
 */
async function closeForRestart(
  request: OpeningRequest,
  runId: string,
  selection: Selection,
  tools: Tools,
): Promise<ExitCard | null> {
  const run = await knownRun(runId, tools)
  if (!isWriting(run.mode)) {
    throw new RunRefused(
      `field "restart": the mode of ${runId} is ${run.mode}, and only a writing run can be ` +
        'restarted. Nothing was done. To execute what a dry run showed, send {"execute": true, "plan": ' +
        '"<its id>"}.',
    )
  }
  if (selection.plan !== null && run.selection.plan === selection.plan) {
    throw new RunRefused(
      `The plan ${selection.plan} belongs to run ${runId}, and a plan is executed once: it cannot be ` +
        `restarted. Nothing was done. Finish it with {"resume": "${runId}"}, or stop it with ` +
        `{"cancel": "${runId}"} and make a new dry run.`,
    )
  }
  await checkRequest(request, selection, tools)
  const asked = { by: request.by ?? tools.caller.by, reason: request.reason ?? null }
  const card = await cancel(run, asked, tools)
  if (card.status !== 'busy' && card.status !== 'incomplete') return null
  return {
    ...card,
    next: { text: 'cancel that run, then start a new one', payload: payloadOf(request, selection) },
  }
}

/**
 * Everything that can be checked without reading the users, before another run is closed for this request.
 */
async function checkRequest(
  request: OpeningRequest,
  { plan, rollback }: Selection,
  tools: Tools,
): Promise<void> {
  limitsOf(request, tools.config)
  // The run that is to be closed first may be the one to be rolled back.
  if (rollback !== null && rollback !== request.restart) await rollbackTarget(rollback, tools)
  if (plan !== null) await approvedPlan(plan, await databaseClock(tools.ledger.writer, tools), tools)
}

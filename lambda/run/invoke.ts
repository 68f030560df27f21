import { readCursor, readRun, readWriter, swapWriter } from '../archive/cursor.ts'
import type { Cursor, Run, Verdict } from '../archive/documents.ts'
import { LeaseLost } from '../archive/errors.ts'
import type { Payload, RunRequest } from '../event.ts'
import type { ExitCard } from '../exit-card.ts'
import { cardOf } from './card.ts'
import { closeRun, freeWriter } from './close.ts'
import { AttemptOpen, RunRefused } from './errors.ts'
import { acquire, hold, type Holding } from './lease.ts'
import { workThroughPages } from './loop.ts'
import { prepareRun, selectionOf } from './open.ts'
import { finishRecovered, type Recovered, settleOpenPages } from './settling.ts'
import { finalCard, storeCard } from './stored-card.ts'
import type { Tools } from './tools.ts'

/**
 * One invocation, from a valid payload to the exit card.
 * @throws InvalidEvent, RunRefused, LedgerUnavailable, ArchiveUnavailable, ArchiveCorrupt, TotalsDiffer
 */
export async function invoke(payload: Payload, tools: Tools): Promise<ExitCard> {
  switch (payload.kind) {
    case 'resume':
      return resume(payload.runId, tools)
    case 'run':
      return payload.mode === 'dry-run' ? openDryRun(payload, tools) : openOrGoOn(payload, tools)
    case 'rollback':
    case 'cancel':
    case 'status':
      throw new RunRefused(`The payload {"${payload.kind}": …} is not supported by this version. Nothing was done.`)
  }
}

async function openDryRun(request: RunRequest, tools: Tools): Promise<ExitCard> {
  refuseUnsupported(request)
  const { run, cursor } = await prepareRun(request, tools)
  return work(hold(run, cursor, true, tools), tools)
}

/** At most one writing run is open per bucket: the same payload goes on with it, another one is refused. */
async function openOrGoOn(request: RunRequest, tools: Tools): Promise<ExitCard> {
  refuseUnsupported(request)
  const writer = await readWriter(tools.store)
  const openId = writer?.document.runId ?? null
  if (openId !== null) {
    const run = await knownRun(openId, tools)
    if ((await readCursor(tools.store, openId)).document.closed) {
      await freeWriter(openId, tools)
      return openOrGoOn(request, tools)
    }
    refuseOther(run, request, tools)
    return goOn(run, tools)
  }
  const { run, cursor } = await prepareRun(request, tools)
  if (await swapWriter(tools.store, writer, run.runId)) return work(hold(run, cursor, true, tools), tools)
  return openOrGoOn(request, tools)
}

function refuseUnsupported(request: RunRequest): void {
  for (const field of ['plan', 'restart', 'requestKey'] as const) {
    if (request[field] !== undefined) throw new RunRefused(`field "${field}" is not supported by this version. Nothing was done.`)
  }
}

function refuseOther(open: Run, request: RunRequest, tools: Tools): void {
  const asked = selectionOf(request, tools.config)
  if (open.mode === request.mode && JSON.stringify(open.selection) === JSON.stringify(asked)) return
  throw new RunRefused(
    `The run ${open.runId} is open, and it was opened with another payload: ${JSON.stringify(open.asked.payload)}. Only one writing run can be open. Nothing was done. To finish it first, send {"resume": "${open.runId}"}.`,
  )
}

async function knownRun(runId: string, tools: Tools): Promise<Run> {
  const run = await readRun(tools.store, runId)
  if (run) return run
  throw new RunRefused(`The bucket ${tools.config.bucket} knows no run ${runId}. Look at the folder runs/ for its ids.`)
}

async function resume(runId: string, tools: Tools): Promise<ExitCard> {
  const run = await knownRun(runId, tools)
  const final = await finalCard(tools.store, runId)
  if (final?.status === 'refused') return final
  if (run.mode !== 'dry-run') await refuseNeverOpened(run, tools)
  return goOn(run, tools)
}

/** Only the run that control/writer.json names can be gone on with for writing. */
async function refuseNeverOpened(run: Run, tools: Tools): Promise<void> {
  const writer = await readWriter(tools.store)
  if (writer?.document.runId === run.runId) return
  if ((await readCursor(tools.store, run.runId)).document.closed) return
  throw new RunRefused(`The run ${run.runId} was prepared but never opened, so there is nothing to go on with. Send its payload again: ${JSON.stringify(run.asked.payload)}.`)
}

async function goOn(run: Run, tools: Tools): Promise<ExitCard> {
  const lease = await acquire(run, tools)
  if ('closed' in lease) {
    if (run.mode !== 'dry-run') await freeWriter(run.runId, tools)
    return (await finalCard(tools.store, run.runId)) ?? closedCard(run, lease.closed, tools)
  }
  if ('busy' in lease) {
    const why = `another invocation is at work on this run; its lease lapses at ${lease.busy.lease?.expiresAt ?? 'an unknown time'}`
    return cardOf(run, lease.busy, { status: 'busy', why }, tools)
  }
  return work(lease.holding, tools)
}

function closedCard(run: Run, cursor: Cursor, tools: Tools): ExitCard {
  return cardOf(run, cursor, cursor.closed ?? { status: 'stopped', why: 'the run is closed' }, tools)
}

/** The pages, then the closing; in good order whatever ends it. */
async function work(holding: Holding, tools: Tools): Promise<ExitCard> {
  const { run } = holding
  tools.log('run under way', { runId: run.runId, epoch: holding.epoch, leaseExpiresAt: holding.leaseExpiresAt })
  try {
    const recovered = run.mode === 'dry-run' ? new Map() : await settleOpenPages(holding, tools)
    const verdict = holding.cursor().closing ?? (await verdictOfPages(holding, recovered, tools))
    if (verdict && !isComplete(verdict)) await finishRecovered(holding, recovered, tools)
    const card = verdict && (await closeRun(holding, verdict, tools))
    return card ?? (await leaveIncomplete(holding, 'the time of this invocation is up', tools))
  } catch (error) {
    return handleFailure(holding, error, tools)
  }
}

function isComplete({ status }: Verdict): boolean {
  return status === 'complete' || status === 'complete_with_errors'
}

async function verdictOfPages(holding: Holding, recovered: Recovered, tools: Tools): Promise<Verdict | null> {
  const end = await workThroughPages(holding, recovered, tools)
  if (end.end === 'out_of_time') return null
  if (end.end === 'stopped') return { status: 'stopped', why: end.why }
  const { usersFailed } = holding.cursor().totals
  if (usersFailed > 0) return { status: 'complete_with_errors', why: `every page is done, and ${usersFailed} users failed` }
  return { status: 'complete', why: holding.cursor().pagesTotal === 0 ? 'no internal user matches' : 'every page is done' }
}

async function leaveIncomplete(holding: Holding, why: string, tools: Tools): Promise<ExitCard> {
  const card = cardOf(holding.run, holding.cursor(), { status: 'incomplete', why }, tools)
  await storeCard(tools.store, card)
  await holding.update({ lease: null })
  return card
}

/** What cannot be gone on with ends the invocation; the lease is given back, unless a commit may still be on its way. */
async function handleFailure(holding: Holding, error: unknown, tools: Tools): Promise<ExitCard> {
  const card = (why: string) => cardOf(holding.run, holding.cursor(), { status: 'incomplete', why }, tools)
  if (error instanceof LeaseLost) return { ...card(error.message), status: 'busy' }
  if (error instanceof AttemptOpen) return card(`${error.message} The lease lapses at ${holding.leaseExpiresAt}; go on after that`)
  try {
    await storeCard(tools.store, card(error instanceof Error ? error.message : 'an unknown error'))
    await holding.update({ lease: null })
  } catch (cause) {
    tools.log('the lease could not be given back; it lapses by itself', { leaseExpiresAt: holding.leaseExpiresAt, cause: String(cause) })
  }
  throw error
}

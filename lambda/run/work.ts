import { isWriting, type Verdict } from '../archive/documents.ts'
import { LeaseLost } from '../archive/errors.ts'
import type { ExitCard } from '../exit-card.ts'
import { cardOf } from './card.ts'
import { closeRun, markRun } from './close.ts'
import { AttemptOpen } from './errors.ts'
import type { Holding } from './lease.ts'
import { wishToCancel, workThroughPages } from './loop.ts'
import { finishRecovered, type Recovered, settleOpenPages } from './settling.ts'
import { storeCard } from './stored-card.ts'
import type { Tools } from './tools.ts'

/**
 * What an invocation does with a run whose lease it holds: settle what another one left, the pages, then the closing;
 * in good order whatever ends it.
 * @throws RunRefused, LedgerUnavailable, ArchiveUnavailable, ArchiveCorrupt, TotalsDiffer
 */
export async function work(holding: Holding, tools: Tools): Promise<ExitCard> {
  const { run } = holding
  tools.log('run under way', {
    runId: run.runId,
    epoch: holding.epoch,
    leaseExpiresAt: holding.leaseExpiresAt,
  })
  try {
    const foreign = await markRun(run, tools)
    const recovered = isWriting(run.mode) ? await settleOpenPages(holding, tools) : new Map()
    const verdict =
      holding.cursor().closing ??
      foreign ??
      (await verdictOfWish(holding, tools)) ??
      (await verdictOfPages(holding, recovered, tools))
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

async function verdictOfWish({ run }: Holding, tools: Tools): Promise<Verdict | null> {
  const why = await wishToCancel(run.runId, tools)
  return why === null ? null : { status: 'cancelled', why }
}

async function verdictOfPages(holding: Holding, recovered: Recovered, tools: Tools): Promise<Verdict | null> {
  const end = await workThroughPages(holding, recovered, tools)
  if (end.end === 'out_of_time') return null
  if (end.end === 'stopped' || end.end === 'cancelled') return { status: end.end, why: end.why }
  const { usersFailed } = holding.cursor().totals
  if (usersFailed > 0)
    return { status: 'complete_with_errors', why: `every page is done, and ${usersFailed} users failed` }
  return {
    status: 'complete',
    why: holding.cursor().pagesTotal === 0 ? 'there was no user to work on' : 'every page is done',
  }
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
  if (error instanceof AttemptOpen)
    return card(`${error.message} The lease lapses at ${holding.leaseExpiresAt}; go on after that`)
  try {
    await storeCard(tools.store, card(error instanceof Error ? error.message : 'an unknown error'))
    await holding.update({ lease: null })
  } catch (cause) {
    tools.log('the lease could not be given back; it lapses by itself', {
      leaseExpiresAt: holding.leaseExpiresAt,
      cause: String(cause),
    })
  }
  throw error
}

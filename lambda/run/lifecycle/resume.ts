import { readRollbacks } from '../../archive/control.ts'
import { isWriting, type Run } from '../../archive/runs.ts'
import { type RunState, stateOf } from '../../archive/state.ts'
import { RunRefused } from '../../errors.ts'
import type { ExitCard } from '../../exit-card.ts'
import { beforeWriting } from '../errors.ts'
import { cardOf, closedCard } from '../lines/card/card.ts'
import type { Tools } from '../tools.ts'
import { freeWriter } from './close.ts'
import type { Cursor } from '../../archive/cursor.ts'
import { heldBecause } from './hold.ts'
import { checkLedger } from '../ledger-identity.ts'
import { acquireLease } from './lease.ts'
import { placeOf, progressOf, work } from './work.ts'

/** Intents expire after 90 days: a run whose last lease is older than this may have lost some. */
const INTENTS_SAFE_DAYS = 80

/**
 * Continues an open run, or returns the card of one that has ended.
 * @throws RunRefused when it was never opened, or another ledger is connected; as work
 */
export async function resume(run: Run, tools: Tools, intentsRestored = false): Promise<ExitCard> {
  const state = await stateOf(tools.store, run)
  if (state.is === 'never_opened') {
    throw new RunRefused(
      `Run ${run.runId} was prepared but never opened, so there is nothing to resume. Nothing was written. ` +
        `Send its payload again: ${JSON.stringify(run.asked.payload)}.`,
    )
  }
  if (state.is !== 'open') return endedCard(run, state, tools)
  if (isWriting(run.mode)) {
    const held = await heldBecause(tools, run)
    if (held !== null)
      return cardOf(run, state.cursor, { status: 'held', why: held }, placeOf(tools), tools.now())
    if (!intentsRestored) refuseOldIntents(run, state.cursor, 'resume', tools)
  }
  const progress = progressOf(run, state.cursor)
  await beforeWriting(async () => checkLedger(run, tools), progress)
  const lease = await beforeWriting(async () => acquireLease(run, tools), progress)
  if ('holder' in lease) return (await work(lease.holder, tools)).card
  if ('closed' in lease) return resume(run, tools, intentsRestored)
  const until = lease.busy.lease?.expiresAt ?? 'an unknown time'
  const why = `another invocation is working on this run; its lease expires at ${until}`
  return cardOf(run, lease.busy, { status: 'busy', why }, placeOf(tools), tools.now())
}

/**
 * The card of a run that has ended. The invocation that closed or abandoned it may have been cut off before it
 * freed the writer.
 */
export async function endedCard(
  run: Run,
  state: Extract<RunState, { is: 'closed' | 'refused' }>,
  tools: Tools,
): Promise<ExitCard> {
  if (state.is === 'refused') {
    if (state.card.status === 'abandoned') await freeWriter(run, null, tools)
    return state.card
  }
  await freeWriter(run, null, tools)
  const rollbacks = await readRollbacks(tools.store, run.runId)
  return closedCard(run, state, rollbacks, placeOf(tools), tools.now())
}

/**
 * The oldest intent of a page without an outcome may be as old as the run, whatever was done since.
 * @throws RunRefused for a run so old that the lifecycle of the bucket may have removed its intents
 */
export function refuseOldIntents(run: Run, cursor: Cursor, asked: 'resume' | 'cancel', tools: Tools): void {
  const days = (tools.now().getTime() - Date.parse(run.instant)) / 86_400_000
  if (days <= INTENTS_SAFE_DAYS || cursor.pages.length === cursor.pagesTotal) return
  throw new RunRefused(
    `Run ${run.runId} was opened ${Math.floor(days)} days ago, and intents expire after ` +
      `90 days. Nothing was done. Restore the objects under intents/${run.runId}/ from their versions ` +
      `in S3 if any are missing, then send {"${asked}": "${run.runId}", "intentsRestored": true}.`,
  )
}

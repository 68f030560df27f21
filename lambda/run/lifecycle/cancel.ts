import { type CancellationRequest, requestCancellation } from '../../archive/control.ts'
import { isWriting, type Run } from '../../archive/runs.ts'
import type { ExitCard } from '../../exit-card.ts'
import { RunRefused } from '../../errors.ts'
import { stateOf } from '../../archive/state.ts'
import { beforeWriting } from '../errors.ts'
import { cardOf } from '../lines/card/card.ts'
import type { Tools } from '../tools.ts'
import { checkLedger } from '../ledger-identity.ts'
import { acquireLease } from './lease.ts'
import { endedCard, refuseOldIntents } from './resume.ts'
import { placeOf, progressOf, work } from './work.ts'

const LOOK_AGAIN_MS = 1_000
/** Left for settling and closing once the lease has expired. */
const RESERVE_MS = 15_000

/**
 * Stops a run for good. An invocation that works on it looks before each page, and closes it; without one,
 * this invocation waits for the lease to expire as far as its time allows, settles what was begun, and closes
 * the run. Nothing is written to the ledger. A run that is closed or refused stays as it is: its card is
 * returned.
 * @throws RunRefused when the run was never opened, its intents may have expired, or another ledger is
 *   connected; as work
 */
export async function cancel(
  run: Run,
  asked: Pick<CancellationRequest, 'by' | 'reason'>,
  tools: Tools,
  intentsRestored = false,
): Promise<ExitCard> {
  const state = await stateOf(tools.store, run)
  if (state.is === 'closed' || state.is === 'refused') return endedCard(run, state, tools)
  if (state.is === 'never_opened') {
    throw new RunRefused(
      `Run ${run.runId} was prepared but never opened, so there is nothing to cancel. Nothing was done.`,
    )
  }
  if (isWriting(run.mode) && !intentsRestored) refuseOldIntents(run, state.cursor, 'cancel', tools)
  // A dry run's too: the clock of another database would judge its lease.
  const progress = progressOf(run, state.cursor, 'cancel')
  await beforeWriting(async () => checkLedger(run, tools), progress)
  await requestCancellation(tools.store, { runId: run.runId, ...asked, at: tools.now().toISOString() })
  for (;;) {
    const lease = await beforeWriting(async () => acquireLease(run, tools), progress)
    if ('holder' in lease) return (await work(lease.holder, tools)).card
    if ('closed' in lease) return cancel(run, asked, tools, intentsRestored)
    if (tools.timeLeft() < RESERVE_MS) {
      const until = lease.busy.lease?.expiresAt ?? 'an unknown time'
      const why =
        'a cancellation was requested; the invocation that is working on this run checks for it before ' +
        `each page, and its lease expires at ${until}`
      const card = cardOf(run, lease.busy, { status: 'busy', why }, placeOf(tools), tools.now())
      return { ...card, next: { text: 'see whether the run has stopped', payload: { cancel: run.runId } } }
    }
    await tools.pause(LOOK_AGAIN_MS)
  }
}

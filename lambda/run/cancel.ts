import type { Cursor, Run } from '../archive/documents.ts'
import { askToCancel } from '../archive/marks.ts'
import type { ExitCard } from '../exit-card.ts'
import { cardOf } from './card.ts'
import { freeWriter } from './close.ts'
import { RunRefused } from './errors.ts'
import { acquire } from './lease.ts'
import { standingOf } from './standing.ts'
import type { Tools } from './tools.ts'
import { work } from './work.ts'

const LOOK_AGAIN_MS = 1_000
/** Left for settling and closing once the lease has lapsed. */
const RESERVE_MS = 15_000

/**
 * Stops a run for good. Whoever is at work on it looks before each page, and closes it; where nobody is, this
 * invocation waits out the lease as far as its time allows, settles what was begun, and closes the run itself.
 * A run that is closed already, or was refused, stays as it is: its card is returned.
 * @throws RunRefused when the run was never opened; as work
 */
export async function cancel(run: Run, tools: Tools): Promise<ExitCard> {
  const standing = await standingOf(run, tools)
  if (standing.is === 'closed' || standing.is === 'refused') return finished(run, standing.card, tools)
  if (standing.is === 'unopened') {
    throw new RunRefused(
      `The run ${run.runId} was prepared but never opened, so there is nothing to cancel. Nothing was done.`,
    )
  }
  const by = `${tools.invocation.source} ${tools.invocation.id}`
  await askToCancel(tools.store, { runId: run.runId, by, at: tools.now().toISOString() })
  for (;;) {
    const lease = await acquire(run, tools)
    if ('holding' in lease) return work(lease.holding, tools)
    if ('closed' in lease) return cancel(run, tools)
    if (tools.timeLeft() < RESERVE_MS) return stillHeld(run, lease.busy, tools)
    await tools.pause(LOOK_AGAIN_MS)
  }
}

/** Whoever closed the run may have been cut off before it freed the writer. */
async function finished(run: Run, card: ExitCard, tools: Tools): Promise<ExitCard> {
  await freeWriter(run, tools)
  return card
}

function stillHeld(run: Run, cursor: Cursor, tools: Tools): ExitCard {
  const until = cursor.lease?.expiresAt ?? 'an unknown time'
  const why = `asked to stop; whoever is at work on this run looks before its next page, and its lease lapses at ${until}`
  return {
    ...cardOf(run, cursor, { status: 'busy', why }, tools),
    next: { text: 'see whether it has stopped', payload: { cancel: run.runId } },
  }
}

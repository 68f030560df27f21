import { readCursor, readWriter } from '../archive/cursor.ts'
import { type Cursor, isWriting, type Run } from '../archive/documents.ts'
import { askToCancel } from '../archive/marks.ts'
import type { ExitCard } from '../exit-card.ts'
import { cardOf } from './card.ts'
import { freeWriter } from './close.ts'
import { RunRefused } from './errors.ts'
import { acquire } from './lease.ts'
import { finalCard } from './stored-card.ts'
import type { Tools } from './tools.ts'
import { work } from './work.ts'

const LOOK_AGAIN_MS = 1_000
/** Left for settling and closing once the lease has lapsed. */
const RESERVE_MS = 15_000

/**
 * Stops a run for good. Whoever is at work on it looks before each page, and closes it; where nobody is, this
 * invocation waits out the lease as far as its time allows, settles what was begun, and closes the run itself.
 * A run that is closed already stays as it is: its card is returned.
 * @throws RunRefused when the run was never opened; as work
 */
export async function cancel(run: Run, tools: Tools): Promise<ExitCard> {
  const { document } = await readCursorIfOpened(run, tools)
  if (document.closed) return closedCard(run, document, tools)
  const by = `${tools.invocation.source} ${tools.invocation.id}`
  await askToCancel(tools.store, { runId: run.runId, by, at: tools.now().toISOString() })
  for (;;) {
    const lease = await acquire(run, tools)
    if ('holding' in lease) return work(lease.holding, tools)
    if ('closed' in lease) return closedCard(run, lease.closed, tools)
    if (tools.timeLeft() < RESERVE_MS) return stillHeld(run, lease.busy, tools)
    await tools.pause(LOOK_AGAIN_MS)
  }
}

async function readCursorIfOpened(run: Run, tools: Tools) {
  const cursor = await readCursor(tools.store, run.runId)
  const writer = isWriting(run.mode) ? await readWriter(tools.store) : null
  if (!isWriting(run.mode) || cursor.document.closed || writer?.document.runId === run.runId) return cursor
  throw new RunRefused(`The run ${run.runId} was prepared but never opened, so there is nothing to cancel. Nothing was done.`)
}

async function closedCard(run: Run, cursor: Cursor, tools: Tools): Promise<ExitCard> {
  await freeWriter(run, tools)
  const verdict = cursor.closed ?? { status: 'stopped', why: 'the run is closed' }
  return (await finalCard(tools.store, run.runId)) ?? cardOf(run, cursor, verdict, tools)
}

function stillHeld(run: Run, cursor: Cursor, tools: Tools): ExitCard {
  const until = cursor.lease?.expiresAt ?? 'an unknown time'
  const why = `asked to stop; whoever is at work on this run looks before its next page, and its lease lapses at ${until}`
  return { ...cardOf(run, cursor, { status: 'busy', why }, tools), next: { text: 'see whether it has stopped', payload: { cancel: run.runId } } }
}

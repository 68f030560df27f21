import type { Cursor } from '../../../archive/cursor.ts'
import type { Run } from '../../../archive/runs.ts'
import type { ExitCard, RunStatus } from '../../../exit-card.ts'

type Asking = Pick<Run, 'runId' | 'mode' | 'asked' | 'selection'>

/** What to do next, with the payload that does it, by the status of the card; null where nothing is left. */
export function nextOf(run: Asking, { totals }: Pick<Cursor, 'totals'>, status: RunStatus): ExitCard['next'] {
  const { runId, mode } = run
  if (status === 'incomplete' || status === 'busy')
    return { text: 'resume this run', payload: { resume: runId } }
  if (status === 'held')
    return {
      text: `release the hold, then ${runId === '' ? 'begin again' : 'resume'}`,
      payload: { release: 'why it is safe to write again' },
    }
  if (status === 'refused') return { text: 'make a dry run first', payload: {} }
  // Its mutation log may lack something, so that it cannot be rolled back.
  if (status === 'abandoned') return { text: 'make a dry run: it shows what is left', payload: {} }
  switch (mode) {
    case 'dry-run':
      return status === 'complete' && totals.usersProcessed > 0
        ? { text: 'execute exactly this plan', payload: { execute: true, plan: runId } }
        : status === 'complete'
          ? null
          : {
              text: 'fix the errors listed in the errors log, then make another dry run',
              payload: payloadOf(run),
            }
    case 'execute':
      if (status === 'complete_with_errors')
        return { text: 'fix the errors listed in the errors log, then retry', payload: payloadOf(run) }
      return totals.mutationLines > 0
        ? { text: 'preview the rollback of this run', payload: { rollback: runId } }
        : null
    case 'rollback-dry-run':
      return totals.usersProcessed > 0
        ? { text: 'roll back exactly this', payload: { ...payloadOf(run), execute: true } }
        : null
    case 'rollback':
      return status === 'complete' ? null : { text: 'roll back the rest', payload: payloadOf(run) }
  }
}

/** A plan is executed once: what failed of it needs a new dry run. */
function payloadOf({ asked, selection }: Asking): Record<string, unknown> {
  if (selection.plan !== null) return {}
  const { requestKey: _key, restart: _restart, ...payload } = asked.payload
  return payload
}

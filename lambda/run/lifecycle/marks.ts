import { mark } from '../../archive/control.ts'
import { isWriting, type Run } from '../../archive/runs.ts'
import type { Tools } from '../tools.ts'

/**
 * Assigns a writing run's request key and plan to it, so that a late duplicate finds it. Returns the other
 * run that one of them belongs to already, or null. Written after the run is opened, and again before it is
 * freed.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function markRun(run: Run, { store }: Tools): Promise<string | null> {
  if (!isWriting(run.mode)) return null
  const { runId, asked, selection } = run
  const { requestKey } = asked
  const ofKey = requestKey === null ? runId : await mark(store, 'request', requestKey, runId)
  // A run that is not this key's does nothing, so its plan stays free.
  if (ofKey !== runId) return ofKey
  const ofPlan = selection.plan === null ? runId : await mark(store, 'plan', selection.plan, runId)
  return ofPlan === runId ? null : ofPlan
}

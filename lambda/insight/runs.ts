import { listRunIds, readRun, remainsOf, type Run } from '../archive/runs.ts'
import type { RunStatus } from '../exit-card.ts'
import type { Tools } from '../run/tools.ts'
import { READS_AT_A_TIME } from './chunks.ts'
import { currentCard } from './status.ts'

/** One run of the bucket, as a list shows it; amounts in microdollars. */
export type ListedRun = {
  readonly runId: string
  readonly mode: Run['mode']
  readonly instant: string
  readonly status: RunStatus
  readonly usersProcessed: number
  readonly usersMatched: number
  readonly expiredMicrodollars: number
  readonly expired: string
  readonly by: string
  readonly via: string
  readonly reason: string | null
  readonly plan: string | null
  readonly rollsBack: string | null
  readonly rolledBackBy: readonly string[]
  readonly usersRolledBack: number
}

/** A run whose objects cannot be read: its line says what is wrong with it. */
export type UnreadableRun = { readonly runId: string; readonly problem: string }

/**
 * All runs of the bucket, the newest first, each as it is; no work is done on any.
 * @throws ArchiveUnavailable
 */
export async function listRuns(tools: Tools): Promise<(ListedRun | UnreadableRun)[]> {
  const ids = (await listRunIds(tools.store)).toReversed()
  const listed = new Map<string, ListedRun | UnreadableRun | null>()
  const waiting = ids.values()
  const worker = async (): Promise<void> => {
    for (const id of waiting) listed.set(id, await listedRun(id, tools))
  }
  await Promise.all(Array.from({ length: READS_AT_A_TIME }, worker))
  return ids.flatMap((id) => listed.get(id) ?? [])
}

/** Null for what an opening left that came to nothing. */
async function listedRun(runId: string, tools: Tools): Promise<ListedRun | UnreadableRun | null> {
  try {
    const run = await readRun(tools.store, runId)
    if (!run && (await remainsOf(tools.store, runId)) === 'pages') return null
    if (!run) return { runId, problem: `runs/${runId}/run.json is missing` }
    const { status, totals, rolledBackBy, usersRolledBack } = await currentCard(run, tools)
    return {
      runId,
      mode: run.mode,
      instant: run.instant,
      status,
      usersProcessed: totals.usersProcessed,
      usersMatched: totals.usersMatched,
      expiredMicrodollars: totals.expiredMicrodollars,
      expired: totals.expired,
      by: run.asked.by,
      via: run.asked.via,
      reason: run.asked.reason,
      plan: run.selection.plan,
      rollsBack: run.selection.rollback,
      rolledBackBy,
      usersRolledBack,
    }
  } catch (error) {
    return { runId, problem: error instanceof Error ? error.message : 'an unknown error' }
  }
}

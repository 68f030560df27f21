import { readRun, readWriter } from '../archive/cursor.ts'
import type { Run } from '../archive/documents.ts'
import { listRunIds } from '../archive/marks.ts'
import type { RunStatus } from '../exit-card.ts'
import { cardAsItStands } from './status.ts'
import { finalCard } from './stored-card.ts'
import type { Tools } from './tools.ts'

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
  /** Where the request came from, and which one it was. */
  readonly source: string
  readonly requestId: string
  readonly reason: string | null
}

const READS_AT_A_TIME = 8

/** All runs of the bucket, the newest first, each as it stands; does no work on any. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function listRuns(tools: Tools): Promise<ListedRun[]> {
  const openId = (await readWriter(tools.store))?.document.runId ?? null
  const ids: string[] = []
  for await (const id of listRunIds(tools.store)) ids.push(id)
  const listed = new Map<string, ListedRun>()
  const waiting = ids.values()
  const worker = async (): Promise<void> => {
    for (const id of waiting) {
      const run = await readRun(tools.store, id)
      if (run) listed.set(id, await listedRun(run, run.runId === openId, tools))
    }
  }
  await Promise.all(Array.from({ length: READS_AT_A_TIME }, worker))
  return ids.toReversed().flatMap((id) => listed.get(id) ?? [])
}

/** One read is enough for a run with its last card; the open one may have it before it is closed. */
async function listedRun(run: Run, isOpen: boolean, tools: Tools): Promise<ListedRun> {
  const { status, totals } =
    (isOpen ? null : await finalCard(tools.store, run.runId)) ?? (await cardAsItStands(run, tools))
  return {
    runId: run.runId,
    mode: run.mode,
    instant: run.instant,
    status,
    usersProcessed: totals.usersProcessed,
    usersMatched: totals.usersMatched,
    expiredMicrodollars: totals.expiredMicrodollars,
    expired: totals.expired,
    source: run.asked.source,
    requestId: run.asked.requestId,
    reason: run.asked.reason,
  }
}

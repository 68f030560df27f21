import { findCursor, type NamedPage } from '../../archive/cursor.ts'
import { partKey } from '../../archive/keys.ts'
import { readPage } from '../../archive/pages.ts'
import { isWritingRun, listRunIds } from '../../archive/runs.ts'
import { getVerified } from '../../archive/s3/objects.ts'
import type { Store } from '../../archive/s3/store.ts'
import type { Difference } from './differences.ts'
import { linesOfBytes } from './files.ts'
import { isDelete, type RowChange, rowChanges } from './mutations.ts'

/** A run that wrote after the one that is verified, with an index of its users. */
type LaterRun = {
  readonly runId: string
  readonly pages: readonly { readonly named: NamedPage; readonly users: Int32Array }[]
}

/** Explains differences by later runs of this job. */
export type LaterRuns = { explain(differences: readonly Difference[]): Promise<Difference[]> }

/**
 * The writing runs after a run. Their users are indexed when the first difference asks for it: four bytes a
 * user, so that a year of runs over 100,000 users fits. Of log parts only those that may hold the user are
 * read.
 */
export function laterRuns(store: Store, runId: string): LaterRuns {
  let loaded: Promise<LaterRun[]> | null = null
  return {
    async explain(differences) {
      if (differences.length === 0) return []
      loaded ??= loadLaterRuns(store, runId)
      return explainAll(store, await loaded, differences)
    },
  }
}

/** The newest first: the last run that wrote a row decides what the row must be. */
async function loadLaterRuns(store: Store, runId: string): Promise<LaterRun[]> {
  const ids = (await listRunIds(store)).filter((id) => id > runId && isWritingRun(id))
  const runs: LaterRun[] = []
  for (const id of ids.toReversed()) {
    const cursor = await findCursor(store, id)
    const pages: LaterRun['pages'][number][] = []
    for (const named of cursor?.document.pages ?? []) {
      const { userIds } = await readPage(store, id, named.page)
      pages.push({ named, users: Int32Array.from(userIds, hashOf).toSorted() })
    }
    runs.push({ runId: id, pages })
  }
  return runs
}

/** FNV-1a. Two users of one hash cost the reading of one part, no more. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash | 0
}

function has(users: Int32Array, hash: number): boolean {
  let [low, high] = [0, users.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((users[middle] ?? 0) < hash) low = middle + 1
    else high = middle
  }
  return users[low] === hash
}

async function explainAll(
  store: Store,
  runs: readonly LaterRun[],
  differences: readonly Difference[],
): Promise<Difference[]> {
  const decided = new Map<Difference, Difference>()
  for (const run of runs) {
    const open = differences.filter((difference) => !decided.has(difference))
    if (open.length === 0) break
    const hashes = [...new Set(open.flatMap(({ userId }) => userId ?? []))].map(hashOf)
    const pages = run.pages.filter(({ users }) => hashes.some((hash) => has(users, hash)))
    for (const { named } of pages) {
      const key = partKey(run.runId, 'mutations', named.page, named.epoch)
      const { bytes } = await getVerified(store, key, named.mutations)
      decide(run.runId, rowChanges(linesOfBytes(bytes)), open, decided)
    }
  }
  return differences.map((difference) => decided.get(difference) ?? difference)
}

/** The run wrote the row of a difference: either what is there now is what it left, or no run explains it. */
function decide(
  runId: string,
  changes: readonly RowChange[],
  open: readonly Difference[],
  decided: Map<Difference, Difference>,
): void {
  const byRow = new Map(changes.map((change) => [change.row_id, change]))
  for (const difference of open) {
    const change = byRow.get(difference.row ?? '')
    if (!change) continue
    const left = isDelete(change) ? null : change.after?.[difference.column]
    if (left === undefined) continue
    decided.set(difference, { ...difference, explainedBy: left === difference.found ? runId : null })
  }
}

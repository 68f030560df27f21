import { readRollbacks } from '../../archive/control.ts'
import { type Cursor, findCursor, readCursor } from '../../archive/cursor.ts'
import { RUN_ID } from '../../archive/keys.ts'
import { readLog } from '../../archive/logs.ts'
import { listRunIds, type Mode, readRun, type Run } from '../../archive/runs.ts'
import type { Store } from '../../archive/store.ts'
import { type ExitCard, isComplete, type NewSince } from '../../exit-card.ts'
import { OutOfTime } from '../errors.ts'
import { countNew } from '../lines/new-since.ts'
import { comparedSchema, pairUsers } from '../lines/pairs.ts'
import type { Tools } from '../tools.ts'

/** What a complete dry run's card says of earlier runs; a warning for each that could not be compared. */
export type NewSinceEarlier = Pick<ExitCard, 'sincePrevious' | 'sinceExecuted' | 'warnings'>

/** What is left for closing the run. */
const RESERVE_MS = 20_000
/** Of each mode, this many runs are looked at, the newest first. */
const MOST_RUNS = 200

/**
 * What is new in a dry run since the latest complete dry run of the same selection, and since the last plan of that
 * selection that was executed: null where there is none. Never keeps the run from closing: where the time is short, or
 * an earlier run cannot be read, the answer is null too, and a warning says why.
 */
export async function newSinceEarlier(run: Run, cursor: Cursor, tools: Tools): Promise<NewSinceEarlier> {
  const reserveMs = Math.min(RESERVE_MS, tools.invocationMs / 3)
  const timeLeft = (): number => tools.timeLeft() - reserveMs
  const store: Store = { ...tools.store, timeLeft }
  const checkTime = (): void => {
    if (timeLeft() <= 0) throw new OutOfTime('the time of this invocation ended')
  }
  const compare = async (earlierId: string): Promise<NewSince> => {
    const earlier = (await readCursor(store, earlierId)).document
    const first = readLog(store, earlierId, 'users', earlier.pages, comparedSchema, checkTime)
    const second = readLog(store, run.runId, 'users', cursor.pages, comparedSchema, checkTime)
    return countNew(earlierId, pairUsers(first, second))
  }
  const warnings: string[] = []
  const unlessItFails = async (
    what: string,
    find: (run: Run, store: Store, checkTime: () => void) => Promise<string | null>,
  ): Promise<NewSince | null> => {
    try {
      const earlierId = await find(run, store, checkTime)
      return earlierId === null ? null : await compare(earlierId)
    } catch (error) {
      const why = error instanceof Error ? error.message : 'an unknown error'
      tools.log(`not compared with ${what}`, { runId: run.runId, why })
      warnings.push(`not known what is new since ${what}: ${why}`)
      return null
    }
  }
  const sincePrevious = await unlessItFails('the latest dry run of the same selection', latestDryRun)
  const sinceExecuted = await unlessItFails('the last executed plan', lastExecutedPlan)
  return { sincePrevious, sinceExecuted, warnings }
}

/** The newest complete dry run of the same selection that is older than this one. */
async function latestDryRun(run: Run, store: Store, checkTime: () => void): Promise<string | null> {
  for await (const earlier of earlierRuns('dry-run', run, store, checkTime)) {
    const cursor = await findCursor(store, earlier.runId)
    if (cursor?.document.state === 'closed' && cursor.document.finalStatus?.status === 'complete')
      return earlier.runId
  }
  return null
}

/**
 * The plan of the newest execute that went to its end. One that was rolled back, if only for some users, does not count:
 * whoever did that did not want its grants to expire, so they must show as new.
 */
async function lastExecutedPlan(run: Run, store: Store, checkTime: () => void): Promise<string | null> {
  for await (const earlier of earlierRuns('execute', run, store, checkTime)) {
    const { plan } = earlier.selection
    if (plan === null) continue
    const cursor = (await findCursor(store, earlier.runId))?.document
    if (cursor?.state !== 'closed' || !cursor.finalStatus || !isComplete(cursor.finalStatus.status)) continue
    if ((await readRollbacks(store, earlier.runId)).length === 0) return plan
  }
  return null
}

/** The earlier runs of a mode with the same selection, the newest first. */
async function* earlierRuns(
  mode: Mode,
  { runId, selection }: Run,
  store: Store,
  checkTime: () => void,
): AsyncGenerator<Run> {
  const ids = (await listRunIds(store)).filter((id) => RUN_ID.exec(id)?.[1] === mode && id < runId)
  for (const id of ids.toReversed().slice(0, MOST_RUNS)) {
    checkTime()
    const earlier = await readRun(store, id)
    if (earlier && isSameSelection(earlier.selection, selection)) yield earlier
  }
}

/** An execute has the selection of its plan, and the plan beside it. */
function isSameSelection(a: Run['selection'], b: Run['selection']): boolean {
  return JSON.stringify({ ...a, plan: null }) === JSON.stringify({ ...b, plan: null })
}

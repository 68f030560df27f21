import { readRollbacks } from '../../archive/control.ts'
import { type Cursor, findCursor, readCursor } from '../../archive/cursor.ts'
import { modeOf } from '../../archive/keys.ts'
import { readLog } from '../../archive/logs.ts'
import { listRunIds, readRun, type Run } from '../../archive/runs.ts'
import type { Store } from '../../archive/s3/store.ts'
import type { Mode } from '../../constants.ts'
import { type ExitCard, isComplete, type NewSince } from '../../exit-card.ts'
import { OutOfTime } from '../errors.ts'
import { countNew } from '../lines/card/new-since.ts'
import { comparedSchema, pairUsers } from '../lines/pairs.ts'
import { isSameLedger } from '../ledger-identity.ts'
import type { Tools } from '../tools.ts'

/** What a complete dry run's card says of earlier runs; a warning for each that could not be compared. */
export type NewSinceEarlier = Pick<ExitCard, 'sincePrevious' | 'sinceExecuted' | 'warnings'>

/** What is left for closing the run. */
const RESERVE_MS = 20_000
/** Of each mode, this many runs are looked at, the newest first. */
const MOST_RUNS = 200

/** A dry run that is being closed, and how earlier runs are read meanwhile. */
type Reading = {
  readonly run: Run
  readonly cursor: Cursor
  readonly config: Tools['config']
  /** Its requests end before the time that closing needs. */
  readonly store: Store
  /** @throws OutOfTime */
  readonly checkTime: () => void
}

/**
 * What is new in a dry run since the latest complete dry run of the same selection, and since the last plan
 * of that selection that was executed: null where there is none. Never keeps the run from closing: where the
 * time is short, or an earlier run cannot be read, the answer is null too, and a warning says why.
 */
export async function newSinceEarlier(run: Run, cursor: Cursor, tools: Tools): Promise<NewSinceEarlier> {
  const reading = readingOf(run, cursor, tools)
  const compared = new Map<string, NewSince>()
  const warnings: string[] = []
  const since = async (
    what: string,
    find: (reading: Reading) => Promise<string | null>,
  ): Promise<NewSince | null> => {
    try {
      const earlierId = await find(reading)
      if (earlierId === null) return null
      const found = compared.get(earlierId) ?? (await compare(earlierId, reading))
      compared.set(earlierId, found)
      return found
    } catch (error) {
      const why = error instanceof Error ? error.message : 'an unknown error'
      tools.log(`not compared with ${what}`, { runId: run.runId, why })
      warnings.push(`what is new since ${what} is not known: ${why}`)
      return null
    }
  }
  const sincePrevious = await since('the latest dry run of the same selection', latestDryRun)
  const sinceExecuted = await since('the last executed plan', lastExecutedPlan)
  return { sincePrevious, sinceExecuted, warnings }
}

function readingOf(run: Run, cursor: Cursor, tools: Tools): Reading {
  const reserveMs = Math.min(RESERVE_MS, tools.invocationMs / 3)
  const timeLeft = (): number => tools.timeLeft() - reserveMs
  const checkTime = (): void => {
    if (timeLeft() <= 0) throw new OutOfTime('this invocation ran out of time')
  }
  return { run, cursor, config: tools.config, store: { ...tools.store, timeLeft }, checkTime }
}

/** With one page of each run in memory. */
async function compare(earlierId: string, { run, cursor, store, checkTime }: Reading): Promise<NewSince> {
  const earlier = (await readCursor(store, earlierId)).document
  const first = readLog(store, earlierId, 'users', earlier.pages, comparedSchema, checkTime)
  const second = readLog(store, run.runId, 'users', cursor.pages, comparedSchema, checkTime)
  return countNew(earlierId, pairUsers(first, second))
}

async function latestDryRun(reading: Reading): Promise<string | null> {
  for await (const { runId } of earlierRuns('dry-run', reading)) {
    const cursor = (await findCursor(reading.store, runId))?.document
    if (cursor?.state === 'closed' && cursor.finalStatus?.status === 'complete') return runId
  }
  return null
}

/**
 * The plan of the newest execute that went to its end. One that was rolled back, if only for some users, does
 * not count: its grants were not meant to expire, so they must show as new.
 */
async function lastExecutedPlan(reading: Reading): Promise<string | null> {
  for await (const { runId, selection } of earlierRuns('execute', reading)) {
    if (selection.plan === null) continue
    const cursor = (await findCursor(reading.store, runId))?.document
    if (cursor?.state !== 'closed' || !cursor.finalStatus || !isComplete(cursor.finalStatus.status)) continue
    if ((await readRollbacks(reading.store, runId)).length === 0) return selection.plan
  }
  return null
}

/** The earlier runs of a mode with the same selection on the same ledger, the newest first. */
async function* earlierRuns(mode: Mode, { run, config, store, checkTime }: Reading): AsyncGenerator<Run> {
  checkTime()
  const ids = (await listRunIds(store)).filter((id) => modeOf(id) === mode && id < run.runId)
  for (const id of ids.toReversed().slice(0, MOST_RUNS)) {
    checkTime()
    const earlier = await readRun(store, id)
    if (!earlier || !isSameSelection(earlier.selection, run.selection)) continue
    if (isSameLedger(earlier.ledger, run.ledger, config)) yield earlier
  }
}

/** An execute has the selection of its plan, and the plan beside it. */
function isSameSelection(a: Run['selection'], b: Run['selection']): boolean {
  return JSON.stringify({ ...a, plan: null }) === JSON.stringify({ ...b, plan: null })
}

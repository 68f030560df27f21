import { readWriter } from '../archive/control.ts'
import { lastCard } from '../archive/cards.ts'
import { findCursor } from '../archive/cursor.ts'
import { isWriting, listRunIds, readRun, remainsOf, type Run } from '../archive/runs.ts'
import { ArchiveCorrupt, ifLost } from '../archive/errors.ts'
import { modeOf, runFileKey } from '../archive/keys.ts'
import { stateOf } from '../archive/state.ts'
import type { Store } from '../archive/s3/store.ts'
import { RunRefused } from '../errors.ts'
import { isFinal } from '../exit-card.ts'
import { nearestFew } from '../nearest.ts'
import type { Tools } from './tools.ts'

const SHOWN = 3

/**
 * The run that an id names.
 * @throws RunRefused that shows the nearest ids, or says that it was never opened; ArchiveCorrupt when only its
 * run.json is missing; ArchiveUnavailable
 */
export async function knownRun(runId: string, tools: Tools): Promise<Run> {
  const run = await readRun(tools.store, runId)
  if (run) return run
  const remains = await remainsOf(tools.store, runId)
  if (remains === 'pages') {
    throw new RunRefused(
      `Run ${runId} was never opened: its opening was refused or cut off, and left nothing but pages. ` +
        'Nothing was done. Send its payload again.',
    )
  }
  if (remains === 'more') {
    const key = runFileKey(runId, 'run.json')
    throw new ArchiveCorrupt(
      `${key} is missing, although other objects of run ${runId} are there. Nothing was done. ` +
        `Restore its last version in S3.${ifLost(key)}`,
    )
  }
  const near = nearestFew(runId, await listRunIds(tools.store), SHOWN)
  const hint = near.length > 0 ? ` Did you mean ${near.join(' or ')}?` : ''
  throw new RunRefused(
    `No run ${runId} in bucket ${tools.config.bucket}.${hint} The folder runs/ shows all ids. ` +
      'Nothing was done.',
  )
}

/**
 * The run that "latest" means for a payload: the open writing run, else the newest one that fits.
 * @throws RunRefused
 */
export async function latestRunId(fits: (runId: string) => boolean, tools: Tools): Promise<string> {
  const openId = (await readWriter(tools.store))?.document.runId ?? null
  if (openId !== null && fits(openId)) return openId
  const newest = await newestRunId(fits, tools)
  if (newest !== null) return newest
  throw new RunRefused(
    `No run in bucket ${tools.config.bucket} fits "latest". Nothing was done. The folder runs/ shows all ids.`,
  )
}

/** The newest run that fits; what an opening left that came to nothing is none. @throws ArchiveUnavailable */
export async function newestRunId(
  fits: (runId: string) => boolean,
  { store }: Pick<Tools, 'store'>,
): Promise<string | null> {
  for (const runId of (await listRunIds(store)).filter(fits).toReversed())
    if ((await remainsOf(store, runId)) === 'more') return runId
  return null
}

/** So many of the newest writing runs are looked at: others that were never opened may come in between. */
const LOOKED_AT = 10

/**
 * The run that "latest" means for a rollback: the newest execute that is open or wrote something, of the newest
 * few; where none of them did, the newest one. A run that cannot be read may have written.
 * @throws RunRefused, ArchiveUnavailable
 */
export async function latestToRollBack(tools: Tools): Promise<string> {
  const newest = (await listRunIds(tools.store)).filter(isExecute).slice(-LOOKED_AT)
  for (const runId of newest.toReversed()) if (!(await wroteNothing(runId, tools.store))) return runId
  return latestRunId(isExecute, tools)
}

function isExecute(runId: string): boolean {
  return modeOf(runId) === 'execute'
}

async function wroteNothing(runId: string, store: Store): Promise<boolean> {
  try {
    const state = await stateOf(store, { runId, mode: 'execute', asked: { requestKey: null } })
    if (state.is === 'closed') return state.cursor.totals.mutationLines === 0
    return state.is === 'never_opened' || (state.is === 'refused' && state.card.status === 'refused')
  } catch (error) {
    if (error instanceof ArchiveCorrupt) return false
    throw error
  }
}

/**
 * Refuses to open a writing run while another one is open that writer.json no longer names, because an older
 * version of it was restored or it was deleted. A run that cannot be read keeps nobody out.
 * @throws ArchiveCorrupt that says what to restore, ArchiveUnavailable
 */
export async function refuseSecondOpenRun({ store }: Pick<Tools, 'store'>): Promise<void> {
  const writing = (await listRunIds(store)).flatMap((runId) => {
    const mode = modeOf(runId)
    return mode !== null && isWriting(mode) ? { runId, mode } : []
  })
  const newest = writing.slice(-LOOKED_AT)
  const areOpen = await Promise.all(newest.map(async ({ runId }) => isOpenByCursor(runId, store)))
  for (const { runId, mode } of newest.filter((_, index) => areOpen[index])) {
    const card = await lastCard(store, runId)
    // An older version of the cursor of a closed run keeps nobody out either.
    if (card && isFinal(card.status)) continue
    await stateOf(store, { runId, mode, asked: { requestKey: null } })
  }
}

async function isOpenByCursor(runId: string, store: Store): Promise<boolean> {
  try {
    const state = (await findCursor(store, runId))?.document.state
    return state === 'open' || state === 'closing'
  } catch (error) {
    if (error instanceof ArchiveCorrupt) return false
    throw error
  }
}

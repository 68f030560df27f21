import { readWriter } from '../archive/control.ts'
import { listRunIds, readRun, type Run, runExists } from '../archive/runs.ts'
import { ArchiveCorrupt } from '../archive/errors.ts'
import { runFileKey } from '../archive/keys.ts'
import { RunRefused } from '../errors.ts'
import { nearestFew } from '../nearest.ts'
import type { Tools } from './tools.ts'

const SHOWN = 3

/**
 * The run that an id names.
 * @throws RunRefused that shows the nearest ids; ArchiveCorrupt when only its run.json is missing;
 * ArchiveUnavailable
 */
export async function knownRun(runId: string, tools: Tools): Promise<Run> {
  const run = await readRun(tools.store, runId)
  if (run) return run
  if (await runExists(tools.store, runId)) {
    throw new ArchiveCorrupt(
      `${runFileKey(runId, 'run.json')} is missing, although other objects of run ${runId} are there. Nothing was done. ` +
        `Restore its last version in S3. If that is impossible, abandon the run: {"abandon": "${runId}", "reason": "…"}.`,
    )
  }
  const near = nearestFew(runId, await listRunIds(tools.store), SHOWN)
  const hint = near.length > 0 ? ` Did you mean ${near.join(' or ')}?` : ''
  throw new RunRefused(
    `No run ${runId} in bucket ${tools.config.bucket}.${hint} The folder runs/ shows all ids. Nothing was done.`,
  )
}

/**
 * The run that "latest" means for a payload: the open writing run, else the newest one that fits.
 * @throws RunRefused
 */
export async function latestRunId(fits: (runId: string) => boolean, tools: Tools): Promise<string> {
  const openId = (await readWriter(tools.store))?.document.runId ?? null
  if (openId !== null && fits(openId)) return openId
  const newest = (await listRunIds(tools.store)).findLast(fits)
  if (newest !== undefined) return newest
  throw new RunRefused(
    `No run in bucket ${tools.config.bucket} fits "latest". Nothing was done. The folder runs/ shows all ids.`,
  )
}

import { readRun } from '../archive/cursor.ts'
import type { Run } from '../archive/documents.ts'
import { listRunIds } from '../archive/marks.ts'
import { nearestFew } from '../nearest.ts'
import { RunRefused } from './errors.ts'
import type { Tools } from './tools.ts'

/** How many ids are shown for one that is unknown. */
const SHOWN = 3

/** The run that an id names. @throws RunRefused that shows the nearest ids, ArchiveCorrupt, ArchiveUnavailable */
export async function knownRun(runId: string, tools: Tools): Promise<Run> {
  const run = await readRun(tools.store, runId)
  if (run) return run
  const near = await nearestRunIds(runId, tools)
  const hint = near.length > 0 ? ` Did you mean ${near.join(' or ')}?` : ''
  throw new RunRefused(
    `The bucket ${tools.config.bucket} knows no run ${runId}.${hint} The folder runs/ shows all ids. Nothing was done.`,
  )
}

/** ` (the nearest: …)`, for the message about an id that the bucket does not know; empty where none is near. @throws ArchiveUnavailable */
export async function nearestHint(runId: string, tools: Tools): Promise<string> {
  const near = await nearestRunIds(runId, tools)
  return near.length > 0 ? ` (the nearest: ${near.join(', ')})` : ''
}

async function nearestRunIds(runId: string, tools: Tools): Promise<string[]> {
  const ids: string[] = []
  for await (const id of listRunIds(tools.store)) if (id !== runId) ids.push(id)
  return nearestFew(runId, ids, SHOWN)
}

import { readCursor, readPageList, readRun } from '../archive/cursor.ts'
import type { PageList, Run } from '../archive/documents.ts'
import { readMark } from '../archive/marks.ts'
import type { Config } from '../config.ts'
import { RunRefused } from './errors.ts'
import { nearestHint } from './known-run.ts'
import { finishedPages } from './ranges.ts'
import type { Matches } from './page-lists.ts'
import { standingOf } from './standing.ts'
import type { Tools } from './tools.ts'

/**
 * The dry run that a plan-bound execute names, if it may still be executed: complete, of the same configuration, not
 * too old by the database's clock, and not executed by another run.
 * @throws RunRefused with the reason and the way out
 */
export async function approvedDryRun(dryRunId: string, databaseNow: string, tools: Tools): Promise<Run> {
  const dryRun = await readRun(tools.store, dryRunId)
  if (!dryRun || dryRun.mode !== 'dry-run')
    throw refused(dryRunId, `this bucket knows no such dry run${await nearestHint(dryRunId, tools)}`)
  const ageHours = (Date.parse(databaseNow) - Date.parse(dryRun.instant)) / 3_600_000
  const { planMaxAgeHours } = tools.config
  if (ageHours > planMaxAgeHours) {
    throw refused(
      dryRunId,
      `it is ${ageHours.toFixed(1)} hours old, and a plan holds for ${planMaxAgeHours} (PLAN_MAX_AGE_HOURS)`,
    )
  }
  const standing = await standingOf(dryRun, tools)
  const status = standing.is === 'closed' ? standing.card.status : 'not finished'
  if (status !== 'complete')
    throw refused(dryRunId, `it is ${status}, and only a complete one can be executed`)
  const difference = differenceOf(dryRun, tools.config)
  if (difference) throw refused(dryRunId, `the configuration has changed since: ${difference}`)
  const owner = await readMark(tools.store, 'plan', dryRunId)
  if (owner !== null)
    throw refused(dryRunId, `the run ${owner} has executed it already; see {"status": "${owner}"}`)
  return dryRun
}

function refused(dryRunId: string, why: string): RunRefused {
  return new RunRefused(
    `The plan ${dryRunId} cannot be executed: ${why}. Nothing was done. Make a new dry run with {}, look at it, and execute that one.`,
  )
}

function differenceOf({ settings, selection }: Run, config: Config): string | null {
  const gone = selection.domains.filter((domain) => !config.domains.includes(domain))
  if (gone.length > 0) return `INTERNAL_DOMAINS no longer holds ${gone.join(', ')}`
  if (settings.minGrantAgeSeconds !== config.minGrantAgeSeconds) return 'MIN_GRANT_AGE_SECONDS'
  if (JSON.stringify(settings.correctionDescriptions) !== JSON.stringify(config.correctionDescriptions))
    return 'CORRECTION_DESCRIPTIONS'
  return null
}

/**
 * The dry run's own pages, cut smaller where `batchSize` asks for it; each knows where the dry run showed its users.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function listsOfDryRun(dryRun: Run, batchSize: number, tools: Tools): Promise<Matches> {
  const { finished } = (await readCursor(tools.store, dryRun.runId)).document
  const lists: PageList[] = []
  for (const shown of finishedPages(finished)) {
    const { userIds, rows } = await readPageList(tools.store, dryRun.runId, shown.page)
    for (let from = 0; from < userIds.length; from += batchSize) {
      const some = userIds.slice(from, from + batchSize)
      lists.push({
        page: lists.length,
        userIds: some,
        rows: Math.ceil((rows * some.length) / userIds.length),
        shown,
        bytes: null,
      })
    }
  }
  return { lists, matched: { ...dryRun.matched, pages: lists.length } }
}

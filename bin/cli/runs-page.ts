import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, relative, resolve, sep } from 'node:path'
import { listReports } from '../../lambda/archive/reports.ts'
import { renderRunsPage, type RunEntry } from '../../lambda/insight/report/runs-page.ts'
import { listRuns, type ListedRun, type UnreadableRun } from '../../lambda/insight/runs.ts'
import { consoleUrl, objectUrl } from '../../lambda/run/lines/card/links.ts'
import type { Tools } from '../../lambda/run/tools.ts'
import type { Place } from './place.ts'

/** A page of all runs that was written: how many there are, and how many of them link a report. */
export type WrittenPage = { readonly path: string; readonly runs: number; readonly reports: number }

/**
 * Writes all runs as a page of HTML, each with a link to its report: to the file where the bucket is on this
 * machine, else to its page in the AWS console.
 * @throws ArchiveUnavailable, and where the file cannot be written
 */
export async function writeRunsPage(file: string, place: Place, tools: Tools): Promise<WrittenPage> {
  const path = resolve(process.env.INIT_CWD ?? '.', file)
  const [runs, reports] = await Promise.all([listRuns(tools), listReports(tools.store)])
  const entries = runs.map((run) => entryOf(run, linkTo(reports.get(run.runId), dirname(path), place, tools)))
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, renderRunsPage(entries))
  return { path, runs: entries.length, reports: entries.filter(({ report }) => report !== null).length }
}

function entryOf(run: ListedRun | UnreadableRun, report: string | null): RunEntry {
  const { runId } = run
  return 'problem' in run
    ? { runId, report, summary: null, problem: run.problem }
    : { runId, report, summary: run, problem: null }
}

/** Relative to the page's folder where the report is a file here, so that both can be moved together. */
function linkTo(
  key: string | undefined,
  folder: string,
  place: Place,
  { store, region }: Tools,
): string | null {
  if (key === undefined) return null
  const at = { bucket: store.bucket, region }
  const local = place.locate(objectUrl(key, at))
  if (local === null) return null
  if (local.startsWith('s3://')) return consoleUrl(key, at)
  const path = relative(folder, resolve(process.env.INIT_CWD ?? '.', local))
  return path.split(sep).map(encodeURIComponent).join('/')
}

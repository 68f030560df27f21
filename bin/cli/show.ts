import { listRuns } from '../../lambda/insight/runs.ts'
import { status } from '../../lambda/insight/status.ts'
import type { CsvKind } from '../csv/run.ts'
import type { Command } from './line/command.ts'
import { opened, refuseWithoutLog, reportFile } from './open-report.ts'
import type { Place } from './place.ts'
import { runsTable } from './print/runs.ts'
import { count } from './print/tables.ts'
import { writeRunsPage } from './runs-page.ts'
import type { Terminal } from './terminal.ts'
import { readEachHere, readHere } from './invoke/job.ts'
import { FAILED, INCOMPLETE } from '../exit-status.ts'

/** `--runs`: the list, or a page of it as a file. Gives the exit status, as the others do. */
export async function showRuns(
  { page, open }: { readonly page: string | null; readonly open: boolean },
  { given, invocationSeconds }: Command,
  place: Place,
  terminal: Terminal,
): Promise<number> {
  const { out, err } = terminal
  if (page === null) {
    const listed = await readHere(invocationSeconds, async (tools) => listRuns(tools))
    out.write(given.json === true ? `${JSON.stringify(listed, null, 2)}\n` : runsTable(listed, out.columns))
    return listed.some((run) => 'problem' in run) ? INCOMPLETE : 0
  }
  const written = await readHere(invocationSeconds, async (tools) => writeRunsPage(page, place, tools))
  const runs = written.runs === 1 ? '1 run' : `${count(written.runs)} runs`
  err.write(`A page of ${runs}, ${count(written.reports)} with a report:\n`)
  return shownFile(written.path, open, terminal)
}

/**
 * `--csv`. It may take as long as the run is large, and as its reader takes, such as `less`; every read has the
 * deadline.
 */
export async function printCsv(
  { kind, runId }: { readonly kind: CsvKind; readonly runId: string },
  { invocationSeconds }: Command,
  { out, err }: Terminal,
): Promise<number> {
  const { writeCsv } = await import('../csv/run.ts')
  await readEachHere(invocationSeconds, async (tools, within) => {
    const card = await within(async () => status(runId, tools))
    refuseWithoutLog(card)
    try {
      await writeCsv(kind, card.runId, tools.store, out.stream, within)
    } catch (error) {
      err.write('The CSV is incomplete: it ends before this error.\n')
      throw error
    }
  })
  return 0
}

/** `--open`: opens the report of a run. */
export async function openReport(
  runId: string,
  command: Command,
  place: Place,
  terminal: Terminal,
): Promise<number> {
  const path = await readHere(command.invocationSeconds, async (tools) => reportFile(runId, place, tools))
  return shownFile(path, true, terminal)
}

/** Prints a file's path alone on standard output, and opens it where asked to. */
async function shownFile(path: string, open: boolean, { out, err }: Terminal): Promise<number> {
  out.write(`${path}\n`)
  if (!open || (await opened(path))) return 0
  err.write('No program opened it. Open the file in a browser.\n')
  return FAILED
}

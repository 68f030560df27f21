import { readRollbacks } from '../archive/control.ts'
import { readLog } from '../archive/logs.ts'
import { storeReport } from '../archive/reports.ts'
import type { Run } from '../archive/runs.ts'
import { stateOf } from '../archive/state.ts'
import { RunRefused } from '../errors.ts'
import type { ExitCard } from '../exit-card.ts'
import { knownRun, latestRunId } from '../run/known-run.ts'
import { cardWarnings, closedCard } from '../run/lines/card/card.ts'
import { consoleUrl, objectUrl } from '../run/lines/card/links.ts'
import type { Tools } from '../run/tools.ts'
import { collectReport } from './report/collect.ts'
import { errorLogLine, userLogLine } from './report/input.ts'
import { renderReport } from './report/report.ts'

/** What `{"report": …}` answers. Never stored as a card. */
export type ReportAnswer = {
  readonly answer: 'report'
  readonly result: 'made'
  readonly run: string
  /** Where it is: its `s3://` location, and its page in the AWS console. */
  readonly report: string
  readonly console: string
  readonly next: ExitCard['next']
}

/** What is left for the answer: reading and writing ends before. */
const RESERVE_MS = 10_000
/** With less time left, no report is made after a run: it can be made at any time. */
const ENOUGH_MS = 20_000

/**
 * Makes the report of a closed run and stores it, in place of an earlier one. "latest" means the newest run.
 * @throws RunRefused for a run that is not closed, or when the time of the invocation does not suffice;
 * ArchiveCorrupt
 *   naming the part that is missing or was edited; ArchiveUnavailable
 */
export async function report(runId: string, given: Tools): Promise<ReportAnswer> {
  const timeLeft = (): number => given.timeLeft() - RESERVE_MS
  const tools = { ...given, timeLeft, store: { ...given.store, timeLeft } }
  const id = runId === 'latest' ? await latestRunId(() => true, tools) : runId
  const { html, card } = await reportOf(await knownRun(id, tools), tools)
  const key = await storeReport(tools.store, id, html)
  const place = { bucket: tools.config.bucket, region: tools.region }
  return {
    answer: 'report',
    result: 'made',
    run: id,
    report: objectUrl(key, place),
    console: consoleUrl(key, place),
    next: card.next,
  }
}

/**
 * Makes the report of a run that this invocation has closed, if the time suffices, and that of the run which
 * it rolled back, since that report says whether the run was rolled back. Never throws: the run is closed,
 * whatever becomes of its report.
 */
export async function reportAfterClosing(
  { runId, mode, rollsBack }: Pick<ExitCard, 'runId' | 'mode' | 'rollsBack'>,
  tools: Tools,
): Promise<void> {
  await reportInTime(runId, tools)
  if (mode === 'rollback' && rollsBack !== null) await reportInTime(rollsBack, tools)
}

async function reportInTime(runId: string, tools: Tools): Promise<void> {
  const again = `{"report": "${runId}"} makes it`
  if (tools.timeLeft() < Math.min(ENOUGH_MS, tools.invocationMs / 3)) {
    tools.log(`no report was made: the time of this invocation ended. ${again}`, { runId })
    return
  }
  try {
    await report(runId, tools)
  } catch (error) {
    const cause = error instanceof Error ? `${error.name}: ${error.message}` : 'an unknown error'
    tools.log(`no report was made. ${again}`, { runId, cause })
  }
}

async function reportOf(run: Run, tools: Tools): Promise<{ readonly html: string; readonly card: ExitCard }> {
  const { runId } = run
  const state = await stateOf(tools.store, run)
  const refused = (why: string): RunRefused =>
    new RunRefused(`The report of run ${runId} was not made: ${why}. Nothing was written.`)
  if (state.is === 'open') {
    const ways = `Finish it with {"resume": "${runId}"}, or stop it with {"cancel": "${runId}"}, first`
    throw refused(`the run is not closed. ${ways}`)
  }
  if (state.is !== 'closed')
    throw refused('it was refused, abandoned or never opened, so it has no whole log')

  const { pages } = state.cursor
  const checkTime = (): void => {
    if (tools.timeLeft() <= 0) {
      throw refused(
        `the time of this invocation ended while its log was read. Query its ${pages.length} parts instead`,
      )
    }
  }
  const rollbacks = await readRollbacks(tools.store, runId)
  const place = { bucket: tools.config.bucket, region: tools.region }
  const card = closedCard(run, state, rollbacks, place, tools.now())
  const users = readLog(tools.store, runId, 'users', pages, userLogLine, checkTime)
  const errors = readLog(tools.store, runId, 'errors', pages, errorLogLine, checkTime)
  const input = await collectReport(card, users, errors, cardWarnings(run, state.cursor))
  return { html: renderReport(input), card }
}

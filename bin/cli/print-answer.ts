import { ArchiveCorrupt, ArchiveUnavailable } from '../../lambda/archive/errors.ts'
import type { Answer } from '../../lambda/answer.ts'
import { readCursor } from '../../lambda/archive/cursor.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { missingText } from '../../lambda/insight/history/missing.ts'
import type { ReportAnswer } from '../../lambda/insight/report-run.ts'
import type { Drive } from './invoke/drive.ts'
import { DeadlinePassed, readHere } from './invoke/job.ts'
import type { Command } from './line/command.ts'
import { fileHere, type Place } from './place.ts'
import { answerText } from './print/answers.ts'
import { diffText } from './print/diff.ts'
import { highlightTables } from './print/highlight-tables.ts'
import { readHighlights } from './print/highlights.ts'
import { historyText } from './print/history/story.ts'
import { directions, isClosed, summary } from './print/report.ts'
import { verifyText } from './print/verify.ts'
import type { Terminal } from './terminal.ts'

/** Rows of each table below a summary. */
const ROWS = 10

export type OtherAnswer = Exclude<Answer, ExitCard>

/** Prints an answer that is no exit card. */
export async function printAnswer(
  answer: OtherAnswer,
  { given, payload }: Command,
  place: Place,
  { out, err }: Terminal,
): Promise<void> {
  if (answer.answer === 'diff') out.write(diffText(answer, out))
  else if (answer.answer === 'verify') out.write(verifyText(answer, out))
  else if (answer.answer === 'report') out.write(answerText(reportHere(answer, place), out))
  else if (answer.answer !== 'history') out.write(answerText(answer, out))
  else if (given.csv === undefined)
    out.write(historyText(answer, out, payload.kind === 'history' ? payload.user : ''))
  else {
    await (await import('../csv/history.ts')).writeHistory(answer, out.stream)
    const missing = missingText(answer)
    if (missing !== null) err.write(`The CSV has no total row: ${missing}.\n`)
  }
}

/** Where the bucket is on this machine, a report is a file, and has no page in the AWS console. */
function reportHere(answer: ReportAnswer, place: Place): OtherAnswer {
  const path = fileHere(place, answer.report)
  return path === null ? answer : { ...answer, report: path, console: '' }
}

/** Prints an exit card: the summary; on a terminal the tables too. */
export async function printCard(
  card: ExitCard,
  command: Command,
  place: Place,
  { out }: Terminal,
  driving: Drive,
): Promise<void> {
  const how = driving.interrupt.asked()
  const { usersDone, usersTotal } = card.progress
  const cut = how !== null && card.status === 'incomplete'
  const why = cut ? `stopped by ${how}; ${usersDone} of ${usersTotal} users are done` : card.why
  out.write(summary(card, why, out))
  if (out.isTTY && isClosed(card)) out.write(await tablesOf(card, command, place, out, driving))
  out.write(directions(card, place, out))
}

/** Logs that cannot be read now do not make a completed run a failed one. */
async function tablesOf(
  card: ExitCard,
  { invocationSeconds }: Command,
  place: Place,
  out: Terminal['out'],
  driving: Drive,
): Promise<string> {
  try {
    const found = await readHere(invocationSeconds, async ({ store }, alive) => {
      const { document } = await readCursor(store, card.runId)
      const isStopped = (): boolean => {
        // Asked at every line: as long as lines come, the deadline moves on.
        alive()
        return driving.interrupt.asked() !== null
      }
      return readHighlights(store, document, ROWS, isStopped)
    })
    return found === null ? '' : highlightTables(card, found, place, out)
  } catch (error) {
    const isExpected = [ArchiveUnavailable, ArchiveCorrupt, DeadlinePassed].some(
      (one) => error instanceof one,
    )
    if (!(error instanceof Error) || !isExpected) throw error
    driving.progress.say(`The tables cannot be shown. ${error.message}`)
    return ''
  }
}

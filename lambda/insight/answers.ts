import type { Payload } from '../event.ts'
import type { ExitCard } from '../exit-card.ts'
import type { RunPayload } from '../run/invoke.ts'
import type { Tools } from '../run/tools.ts'
import { check, type CheckAnswer } from './check.ts'
import { diff, type DiffAnswer } from './diff.ts'
import { history, type HistoryAnswer } from './history/history.ts'
import { report, type ReportAnswer } from './report-run.ts'
import { status } from './status.ts'
import { verify, type VerifyAnswer } from './verify/verify.ts'

export { reportAfterClosing } from './report-run.ts'

/** The payloads that ask about runs, and change nothing but a report. */
export type Question = Exclude<Payload, RunPayload>

/** What is answered to a question; only a status is an exit card. */
export type InsightAnswer = ExitCard | ReportAnswer | DiffAnswer | CheckAnswer | HistoryAnswer | VerifyAnswer

/**
 * From a valid payload to its answer.
 * @throws RunRefused, LedgerUnavailable, ArchiveUnavailable, ArchiveCorrupt
 */
export async function answerQuestion(question: Question, tools: Tools): Promise<InsightAnswer> {
  switch (question.kind) {
    case 'status':
      return status(question.runId, tools)
    case 'report':
      return report(question.runId, tools)
    case 'diff':
      return diff(question.runIds, tools)
    case 'check':
      return check(tools)
    case 'history':
      return history(question, tools)
    case 'verify':
      return verify(question.runId, tools)
  }
}

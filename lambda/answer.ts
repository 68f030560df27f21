import { isWriting } from './archive/runs.ts'
import { modeOf } from './archive/keys.ts'
import { RunRefused } from './errors.ts'
import type { Payload } from './event.ts'
import type { ExitCard } from './exit-card.ts'
import type { InsightAnswer } from './insight/answers.ts'
import { invoke, type RunPayload } from './run/invoke.ts'
import type { HoldAnswer } from './run/lifecycle/hold.ts'
import type { Tools } from './run/tools.ts'

/** What an invocation returns: the exit card of a run, or an answer that is never stored. */
export type Answer = HoldAnswer | InsightAnswer

/** Most of a cold start is loading, and a run starts without this. */
const loadInsight = async () => import('./insight/answers.ts')

/** Whether an answer is about a run. */
export function isCard(given: Answer): given is ExitCard {
  return !('answer' in given)
}

/**
 * From a valid payload to its answer.
 * @throws RunRefused when this function may not write; otherwise as invoke and insight
 */
export async function answer(payload: Payload, tools: Tools): Promise<Answer> {
  if (!tools.config.allowWrites) refuseWrites(payload)
  switch (payload.kind) {
    case 'status':
    case 'report':
    case 'diff':
    case 'check':
    case 'history':
    case 'verify':
      return (await loadInsight()).answerQuestion(payload, tools)
    case 'run':
    case 'rollback':
    case 'resume':
    case 'cancel':
    case 'abandon':
    case 'hold':
    case 'release':
      return invokeThenReport(payload, tools)
  }
}

/** A run that this invocation closed gets its report once it is free. */
async function invokeThenReport(payload: RunPayload, tools: Tools): Promise<ExitCard | HoldAnswer> {
  const closed: ExitCard[] = []
  const onClosed = (card: ExitCard): void => {
    closed.push(card)
    tools.onClosed(card)
  }
  const answered = await invoke(payload, { ...tools, onClosed })
  if (closed.length === 0) return answered
  const { reportAfterClosing } = await loadInsight()
  for (const card of closed) await reportAfterClosing(card, tools)
  return answered
}

/** The preview function: no payload that it gets changes the ledger or the state of a writing run. */
function refuseWrites(payload: Payload): void {
  if (!writes(payload)) return
  throw new RunRefused(
    'This function only previews (ALLOW_WRITES=false). Nothing was done. Send the payload to the job ' +
      'function or to the workflow.',
  )
}

/** A run id names its mode; "latest" may mean any. */
function writes(payload: Payload): boolean {
  switch (payload.kind) {
    case 'run':
    case 'rollback':
      return isWriting(payload.mode)
    case 'resume':
    case 'cancel': {
      const mode = modeOf(payload.runId)
      return mode === null || isWriting(mode)
    }
    case 'abandon':
    case 'hold':
    case 'release':
      return true
    case 'status':
    case 'history':
    case 'verify':
    case 'diff':
    case 'report':
    case 'check':
      return false
  }
}

import { isWriting } from '../archive/runs.ts'
import { RUN_ID } from '../archive/keys.ts'
import type { Payload } from '../event.ts'
import type { ExitCard } from '../exit-card.ts'
import { abandon } from './lifecycle/abandon.ts'
import { begin } from './lifecycle/begin.ts'
import { redact } from '../redact.ts'
import { cancel } from './lifecycle/cancel.ts'
import { type HoldAnswer, heldBecause, setHold } from './lifecycle/hold.ts'
import { knownRun, latestRunId, latestToRollBack } from './known-run.ts'
import { payloadOf } from './lifecycle/opening/selection.ts'
import { resume } from './lifecycle/resume.ts'
import { placeOf } from './lifecycle/work.ts'
import { emptyCard } from './lines/card/card.ts'
import type { Tools } from './tools.ts'

/** The payloads that this room works on; the others are answered by insight. */
export type RunPayload = Extract<
  Payload,
  { kind: 'run' | 'rollback' | 'resume' | 'cancel' | 'abandon' | 'hold' | 'release' }
>

/**
 * One invocation that opens, continues or ends a run, or holds writing: from a valid payload to the exit
 * card.
 * @throws InvalidEvent, RunRefused, LedgerUnavailable, ArchiveUnavailable, ArchiveCorrupt,
 * PlannedByOtherVersion
 */
export async function invoke(payload: RunPayload, tools: Tools): Promise<ExitCard | HoldAnswer> {
  const by = ('by' in payload ? payload.by : undefined) ?? tools.caller.by
  switch (payload.kind) {
    case 'run':
      return beginUnlessHeld(payload, false, tools)
    case 'rollback': {
      const rollback = payload.rollback === 'latest' ? await latestToRollBack(tools) : payload.rollback
      return beginUnlessHeld({ ...payload, rollback }, payload.underHold === true, tools)
    }
    case 'resume': {
      const run = await knownRun(await latest(payload.runId, tools), tools)
      tools.log('resuming a run', { runId: run.runId, by, reason: payload.reason && redact(payload.reason) })
      return resume(run, tools, payload.intentsRestored)
    }
    case 'cancel': {
      const run = await knownRun(await latest(payload.runId, tools), tools)
      return cancel(run, { by, reason: payload.reason ?? null }, tools, payload.intentsRestored)
    }
    case 'abandon':
      return abandon(payload.runId, payload.reason, by, tools)
    case 'hold':
    case 'release':
      return setHold(payload.kind === 'hold', payload.reason, by, tools)
  }
}

async function latest(runId: string, tools: Tools): Promise<string> {
  return runId === 'latest' ? latestRunId((id) => RUN_ID.test(id), tools) : runId
}

/** Under a hold nothing that writes is opened, continued or closed. */
async function beginUnlessHeld(
  payload: Parameters<typeof begin>[0],
  underHold: boolean,
  tools: Tools,
): Promise<ExitCard> {
  const held = isWriting(payload.mode) && !underHold ? await heldBecause(tools) : null
  if (held === null) return begin(payload, tools)
  const why = `${held}. Nothing was done; dry runs, status and cancel work meanwhile`
  // Nobody is looked up under a hold, so addresses are left out; sent again, this payload is refused.
  const shown = payloadOf(payload, {
    userIds: (payload.userIds ?? []).map(redact),
    exceptUserIds: payload.kind === 'run' ? (payload.exceptUserIds ?? []).map(redact) : [],
  })
  const asked = { ...tools.caller, reason: payload.reason ?? null, requestKey: null, payload: shown }
  return emptyCard(payload.mode, asked, { status: 'held', why }, placeOf(tools), tools.now())
}

import { readWriter } from '../../../lambda/archive/control.ts'
import { modeOf } from '../../../lambda/archive/keys.ts'
import { type Mode, MODES } from '../../../lambda/constants.ts'
import { latestRunId, latestToRollBack } from '../../../lambda/run/known-run.ts'
import type { Tools } from '../../../lambda/run/tools.ts'
import { type Command, payloadOf } from '../line/command.ts'
import { readHere } from './job.ts'
import { UsageError } from '../line/options.ts'

/**
 * What is shown before the question must be what is written: for these fields `latest` is looked up once,
 * here.
 */
const LOOKED_UP: Readonly<Record<string, (tools: Tools) => Promise<string>>> = {
  plan: latestOf(['dry-run']),
  rollback: latestToRollBack,
  resume: latestOf(MODES),
  restart: openRun,
}

/**
 * The command with the run ids that `latest` means, where the command may write.
 * @throws UsageError, RunRefused when no run fits, ArchiveUnavailable, ArchiveCorrupt
 */
export async function resolved(command: Command): Promise<Command> {
  const { event, given, invocationSeconds } = command
  const latest = Object.entries(LOOKED_UP).filter(([field]) => event[field] === 'latest')
  if (latest.length === 0) return command
  return readHere(invocationSeconds, async (tools) => {
    const found: Record<string, unknown> = { ...event }
    for (const [field, lookUp] of latest) found[field] = await lookUp(tools)
    return { ...command, event: found, payload: payloadOf(found, given.event !== undefined) }
  })
}

function latestOf(modes: readonly Mode[]): (tools: Tools) => Promise<string> {
  return async (tools) => latestRunId((id) => modes.some((mode) => mode === modeOf(id)), tools)
}

async function openRun({ store }: Tools): Promise<string> {
  const writer = (await readWriter(store))?.document.runId ?? null
  if (writer !== null) return writer
  throw new UsageError('--restart: no writing run is open. Nothing was done. Leave --restart out.')
}

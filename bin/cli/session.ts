import { setTimeout as pause } from 'node:timers/promises'
import { ArchiveUnavailable } from '../../lambda/archive/errors.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import type { Command } from './command.ts'
import { confirm, needsYes, openWriter, refuseWithoutYes } from './confirm.ts'
import { drive, type Drive } from './drive.ts'
import { readHighlights } from './highlights.ts'
import { highlightTables } from './highlight-tables.ts'
import { watchInterrupts } from './interrupt.ts'
import { type Job, jobHere, withToolsHere } from './job.ts'
import { hardStopText, STOPPING } from './messages.ts'
import { openPlace, type Place } from './place.ts'
import { progressOn } from './progress.ts'
import { directions, isClosed, summary } from './report.ts'
import { commandFor } from './shell.ts'
import type { Terminal } from './terminal.ts'
import { labelFor } from './words.ts'

/** How often to look whether somebody else's lease is still in the way. */
const LOOK_EVERY_MS = 3_000
/** Rows of each table below a summary. */
const ROWS = 10
/** How long a hard stop waits for the sandbox's servers to end. */
const HARD_STOP_MS = 5_000

export const FAILED = 1
const INCOMPLETE = 3

/** The exit status of the command by the status of its card. */
const EXIT_STATUS: Readonly<Record<ExitCard['status'], number>> = {
  complete: 0,
  refused: FAILED,
  complete_with_errors: 2,
  stopped: 2,
  cancelled: 2,
  incomplete: INCOMPLETE,
  busy: INCOMPLETE,
}

/**
 * Opens the place, does what was asked, and closes the place again. Gives the exit status.
 * @throws UsageError, and whatever the job throws
 */
export async function runCommand(command: Command, terminal: Terminal): Promise<number> {
  const progress = progressOn(terminal)
  let place: Place | undefined
  let job: Job | undefined
  let over = false
  const interrupt = watchInterrupts(process, terminal.now, {
    first: () => {
      if (!over) progress.say(STOPPING)
    },
    second: () => {
      // All that is left then is to stop the sandbox's servers, which must not be left behind.
      if (over) return
      progress.end()
      progress.say(hardStopText(progress.latest(), job?.leaseLapses()))
      void Promise.race([place?.close(), pause(HARD_STOP_MS)]).finally(() => process.exit(INCOMPLETE))
    },
  })
  try {
    place = await openPlace(process.env, progress.say)
    if (needsYes(command, place)) refuseWithoutYes(command, terminal)
    job = jobHere({ seconds: command.invocationSeconds, debug: command.debug, stopped: interrupt.asked })
    const driving = {
      invoke: job.invoke,
      interrupt,
      progress,
      wait: command.wait,
      lookEveryMs: LOOK_EVERY_MS,
    }
    return await work(command, place, driving, terminal)
  } finally {
    over = true
    progress.end()
    await place?.close()
    interrupt.release()
  }
}

async function work(given: Command, place: Place, driving: Drive, terminal: Terminal): Promise<number> {
  const { interrupt, progress } = driving
  const command = given.restartOpen
    ? { ...given, event: { ...given.event, restart: await openWriter() } }
    : given
  if (needsYes(command, place)) {
    const answer = await confirm(command, driving, terminal)
    if (answer !== 'yes') {
      progress.say('Nothing was written.')
      return answer === 'no' && !interrupt.asked() ? FAILED : INCOMPLETE
    }
  }
  if (interrupt.asked()) {
    progress.say('Stopped before the job began: nothing was done.')
    return INCOMPLETE
  }
  const card = await answerTo(command, driving)
  if (command.json) terminal.out.write(`${JSON.stringify(card, null, 2)}\n`)
  else await report(card, place, driving, terminal)
  if (interrupt.asked() && card.next) progress.say(`Stopped. To go on: ${commandFor(card.next.payload)}`)
  // To have cancelled a run is what was asked for.
  return command.payload.kind === 'cancel' && card.status === 'cancelled' ? 0 : EXIT_STATUS[card.status]
}

async function answerTo({ event, payload }: Command, driving: Drive): Promise<ExitCard> {
  driving.progress.begin(labelFor(payload))
  const card = payload.kind === 'status' ? await driving.invoke(event, () => {}) : await drive(event, driving)
  driving.progress.end()
  return card
}

/** The summary; on a terminal the tables too. */
async function report(card: ExitCard, place: Place, driving: Drive, { out }: Terminal): Promise<void> {
  out.write(summary(card))
  if (out.isTTY && isClosed(card)) out.write(await tablesOf(card, place, driving))
  out.write(directions(card, place))
}

/** Logs that cannot be read now do not make a run that is done a failed one. */
async function tablesOf(card: ExitCard, place: Place, { interrupt, progress }: Drive): Promise<string> {
  try {
    const highlights = await withToolsHere(async ({ store }) =>
      readHighlights(store, card, ROWS, interrupt.asked),
    )
    return highlights === null ? '' : highlightTables(card, highlights, place)
  } catch (error) {
    if (!(error instanceof ArchiveUnavailable)) throw error
    progress.say(`The tables cannot be shown. ${error.message}`)
    return ''
  }
}

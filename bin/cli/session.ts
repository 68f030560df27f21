import { type Answer, isCard } from '../../lambda/answer.ts'
import { findCursor } from '../../lambda/archive/cursor.ts'
import type { Payload } from '../../lambda/event.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { missingText } from '../../lambda/insight/history/missing.ts'
import { exitStatusOf } from './print/answers.ts'
import { type Command, mayWrite } from './line/command.ts'
import { confirm, type Consent } from './invoke/confirm.ts'
import { drive, type Drive } from './invoke/drive.ts'
import { openReport, printCsv, showRuns } from './show.ts'
import { Stopped, unlessStopped, watchInterrupts } from './invoke/interrupt.ts'
import { jobHere, readHere } from './invoke/job.ts'
import { hardStopText, stoppingText } from './messages.ts'
import { UsageError } from './line/options.ts'
import type { Place } from './place.ts'
import { printAnswer, printCard } from './print-answer.ts'
import { progressOn } from './invoke/progress.ts'
import { isClosed } from './print/report.ts'
import { resolved } from './invoke/resolve.ts'
import { commandFor } from './line/shell.ts'
import type { Terminal } from './terminal.ts'
import { FAILED, INCOMPLETE } from '../exit-status.ts'
import { labelFor } from './print/words.ts'

/** How often to look whether another invocation's lease is released. */
const LOOK_EVERY_MS = 3_000

/** The exit status of the command by the status of its card; 1 for any other. */
const EXIT_STATUS: Readonly<Record<string, number>> = {
  complete: 0,
  complete_with_errors: 2,
  stopped: 2,
  cancelled: 2,
  abandoned: 2,
  incomplete: INCOMPLETE,
  busy: INCOMPLETE,
  held: INCOMPLETE,
}

/**
 * Does in an open place what was asked. Gives the exit status.
 * @throws UsageError, and whatever the job throws
 */
export async function runCommand(command: Command, place: Place, terminal: Terminal): Promise<number> {
  if (command.own?.is === 'runs') return showRuns(command.own, command, place, terminal)
  if (command.own?.is === 'open') return openReport(command.own.runId, command, place, terminal)
  if (command.own?.is === 'csv') return printCsv(command.own, command, terminal)
  const progress = progressOn(terminal)
  const interrupt = watchInterrupts(process, terminal.now, {
    first: (how) => (onlyReads(command.payload) ? undefined : progress.say(stoppingText(how))),
    second: (how) => {
      progress.end()
      progress.say(hardStopText(how, progress.latest(), job.leaseExpires()))
      // The sandbox's servers end with this process.
      process.exit(INCOMPLETE)
    },
  })
  const { invocationSeconds: seconds, given } = command
  const stopped = (): boolean => interrupt.asked() !== null
  const job = jobHere({ seconds, debug: given.debug === true, stopped })
  try {
    return await work(command, place, terminal, {
      invoke: job.invoke,
      hasClosed: job.hasClosed,
      interrupt,
      progress,
      wait: given.wait === true,
      lookEveryMs: LOOK_EVERY_MS,
      leaseExpiresAt: async (runId) => leaseExpiresAt(runId, seconds),
    })
  } catch (error) {
    if (!(error instanceof Stopped)) throw error
    progress.end()
    progress.say(`Stopped by ${interrupt.asked()}. Nothing was done.`)
    return INCOMPLETE
  } finally {
    progress.end()
    interrupt.release()
  }
}

async function leaseExpiresAt(runId: string, seconds: number): Promise<string | null> {
  const cursor = await readHere(seconds, async ({ store }) => findCursor(store, runId))
  return cursor?.document.lease?.expiresAt ?? null
}

/** Payloads that change neither the ledger nor the state of a run. */
const READING: readonly Payload['kind'][] = ['status', 'history', 'verify', 'diff', 'check']

function onlyReads({ kind }: Payload): boolean {
  return READING.includes(kind)
}

async function work(asked: Command, place: Place, terminal: Terminal, driving: Drive): Promise<number> {
  const { interrupt, progress } = driving
  const command = await resolved(asked)
  // The sandbox is for trying things out: nothing is asked there.
  const asks = !place.sandbox && mayWrite(command.payload)
  if (asks && asked.given.yes !== true && !terminal.canAsk)
    throw new UsageError(
      'This writes to your own database, and there is no terminal to ask. Nothing was done. Check a ' +
        'dry run first, then add --yes.',
    )
  const consent = asks ? await consentTo(command, terminal, driving) : 'agreed'
  if (consent !== 'agreed') {
    progress.say(`${stoppedText(driving)}Nothing was written.`)
    return consent === 'declined' && interrupt.asked() === null ? FAILED : INCOMPLETE
  }
  if (interrupt.asked() !== null) {
    progress.say(`${stoppedText(driving)}Nothing was done.`)
    return INCOMPLETE
  }
  let invocations = 0
  const invoke: Drive['invoke'] = async (event, onCard) => {
    invocations += 1
    return driving.invoke(event, onCard)
  }
  const answer = await answerTo(command, { ...driving, invoke })
  if (isCard(answer) && wasClosed(answer, command, driving) && invocations === 1)
    progress.say(`Run ${answer.runId} was already ${answer.status.replaceAll('_', ' ')} (nothing was done).`)
  else if (isCard(answer) && isOthers(answer, command, driving)) progress.say(othersText(answer))
  const next = interrupt.asked() === null ? null : answer.next
  if (command.given.json === true) {
    terminal.out.write(`${JSON.stringify(answer, null, 2)}\n`)
    if (next) progress.say(`${stoppedText(driving)}To continue: ${commandFor(next.payload)}`)
  } else if (isCard(answer)) await printCard(answer, command, place, terminal, driving)
  else await printAnswer(answer, command, place, terminal)
  if (!isCard(answer)) {
    const isPartial = answer.answer === 'history' && missingText(answer) !== null
    return isPartial ? INCOMPLETE : exitStatusOf(answer)
  }
  // To have cancelled a run is what was asked for.
  if (command.payload.kind === 'cancel' && answer.status === 'cancelled') return 0
  return EXIT_STATUS[answer.status] ?? FAILED
}

/**
 * Whether a command that continues or ends a run is answered with one that was closed without it. A run that was
 * cancelled by another invocation may have been cancelled because of this command.
 */
function wasClosed(card: ExitCard, { payload: { kind } }: Command, { hasClosed }: Drive): boolean {
  const isAbout = kind === 'resume' || (kind === 'cancel' && card.status !== 'cancelled')
  return isAbout && isClosed(card) && !hasClosed(card.runId)
}

/** Whether a command that may write is answered with a run that another one closed. */
function isOthers(card: ExitCard, { payload }: Command, { hasClosed }: Drive): boolean {
  return mayWrite(payload) && isClosed(card) && !hasClosed(card.runId)
}

function othersText({ asked, mode }: ExitCard): string {
  const done = 'Nothing was done now: the run below was ended by another invocation.'
  const isUsedPlan = mode === 'execute' && asked.plan !== null
  return isUsedPlan ? `${done} A plan is executed once; npm start makes a new one.` : done
}

/** Declined as well when the person asked to stop during the count. */
async function consentTo(command: Command, terminal: Terminal, driving: Drive): Promise<Consent> {
  try {
    const consent = await confirm(command, driving, terminal)
    return driving.interrupt.asked() === null ? consent : 'declined'
  } catch (error) {
    if (driving.interrupt.asked() === null) throw error
    return 'declined'
  }
}

function stoppedText({ interrupt }: Drive): string {
  const how = interrupt.asked()
  return how === null ? '' : `Stopped by ${how}. `
}

async function answerTo({ event, payload }: Command, driving: Drive): Promise<Answer> {
  driving.progress.begin(labelFor(payload))
  const answer = onlyReads(payload)
    ? await unlessStopped(
        driving.interrupt,
        driving.invoke({ ...event }, () => {}),
      )
    : await drive({ ...event }, driving)
  driving.progress.end()
  return answer
}

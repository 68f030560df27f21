import { setTimeout as pause } from 'node:timers/promises'
import type { ExitCard } from '../../lambda/exit-card.ts'
import type { Interrupt } from './interrupt.ts'
import type { Invoke } from './job.ts'
import type { Progress } from './progress.ts'

/** What driving a run needs beside the payload. */
export type Drive = {
  readonly invoke: Invoke
  readonly interrupt: Interrupt
  readonly progress: Progress
  /** Whether to wait while another holder is at work, and how long between two looks, in milliseconds. */
  readonly wait: boolean
  readonly lookEveryMs: number
}

/** This many invocations in a row without a user done or a step of closing: going on would go on for ever. */
const IDLE_INVOCATIONS = 5

/**
 * Repeats invocations until the run is closed, and gives the last card: `incomplete` when the person asked to stop,
 * `busy` when somebody else is at work on it and there is no waiting.
 * @throws whatever an invocation throws
 */
export async function drive(event: Record<string, unknown>, given: Drive): Promise<ExitCard> {
  const { invoke, interrupt, progress, wait } = given
  let next = event
  let idle = 0
  let last: ExitCard | null = null
  for (;;) {
    const card = await invoke(next, progress.show)
    if (interrupt.asked()) return card
    if (card.status === 'busy') {
      // After an own invocation it is that one's lease, and its card says why it was kept.
      const held = last ?? card
      if (!wait) return held
      progress.say(`Waiting: ${held.why}.`)
      await paused(given.lookEveryMs, interrupt.signal)
      if (interrupt.asked()) return card
      continue
    }
    if (card.status !== 'incomplete') return card
    idle = last === null || card.progress.usersDone > last.progress.usersDone ? 0 : idle + 1
    if (idle === IDLE_INVOCATIONS)
      return {
        ...card,
        why: `${card.why}; ${idle} invocations in a row got no further: give it longer ones with --invocation-seconds`,
      }
    last = card
    next = card.next?.payload ?? { resume: card.runId }
  }
}

async function paused(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await pause(milliseconds, undefined, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

import { setTimeout as pause } from 'node:timers/promises'
import { type Answer, isCard } from '../../../lambda/answer.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import type { Interrupt } from './interrupt.ts'
import type { Invoke } from './job.ts'
import type { Progress } from './progress.ts'

/** What driving a run needs beside the payload. */
export type Drive = {
  readonly invoke: Invoke
  readonly interrupt: Interrupt
  readonly progress: Progress
  /**
   * Whether to wait while another invocation holds the lease, and how long between two looks, in
   * milliseconds.
   */
  readonly wait: boolean
  readonly lookEveryMs: number
  /** Whether an invocation of this command closed a run. */
  readonly hasClosed: (runId: string) => boolean
  /** When the lease of a run expires, as ISO text; null where none is held. */
  readonly leaseExpiresAt: (runId: string) => Promise<string | null>
}

/** After this many invocations in a row without progress, further ones would not make any either. */
const IDLE_INVOCATIONS = 5
const MORE_TIME = 'A slow database may need longer ones: add --invocation-seconds 900'

/**
 * Repeats invocations until the run is closed, and gives the last answer: a card that is `incomplete` when
 * the person asked to stop, `busy` when another invocation works on it and this command does not wait.
 * @throws whatever an invocation throws
 */
export async function drive(event: Record<string, unknown>, given: Drive): Promise<Answer> {
  const { invoke, interrupt, progress, wait } = given
  let next = event
  let idle = 0
  let last: ExitCard | null = null
  for (;;) {
    const card = await invoke(next, progress.show)
    if (!isCard(card) || interrupt.asked() !== null) return card
    if (card.status === 'busy') {
      // After an own invocation it is that one's lease, and its card says why it was kept.
      if (!wait) return last ?? card
      progress.waiting(await given.leaseExpiresAt(card.runId))
      await paused(given.lookEveryMs, interrupt.signal)
      if (interrupt.asked() !== null) return card
      continue
    }
    if (card.status !== 'incomplete') return card
    idle = last === null || card.progress.usersDone > last.progress.usersDone ? 0 : idle + 1
    if (idle === IDLE_INVOCATIONS)
      return { ...card, why: `${card.why}; the last ${idle} invocations made no progress. ${MORE_TIME}` }
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

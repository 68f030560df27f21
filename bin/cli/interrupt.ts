import type { EventEmitter } from 'node:events'

/** Whether the person has asked to stop. */
export type Interrupt = {
  readonly asked: () => boolean
  /** Aborted with the first request: ends waits and questions. */
  readonly signal: AbortSignal
  /** Signals end the process again as they usually do. */
  readonly release: () => void
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** npm passes a terminal's Ctrl-C on to a child that has had it already: signals this close together are one request. */
const ONE_REQUEST_MS = 1_000

/** Watches for requests to stop: `first` is told of the first, `second` of the next. */
export function watchInterrupts(
  source: Pick<EventEmitter, 'on' | 'off'>,
  now: () => number,
  on: { readonly first: () => void; readonly second: () => void },
): Interrupt {
  const controller = new AbortController()
  let firstAt: number | null = null
  let hard = false
  const onSignal = (): void => {
    if (firstAt === null) {
      firstAt = now()
      on.first()
      controller.abort()
    } else if (!hard && now() - firstAt >= ONE_REQUEST_MS) {
      hard = true
      on.second()
    }
  }
  for (const signal of SIGNALS) source.on(signal, onSignal)
  return {
    asked: () => firstAt !== null,
    signal: controller.signal,
    release: () => {
      for (const signal of SIGNALS) source.off(signal, onSignal)
    },
  }
}

import type { EventEmitter } from 'node:events'

/** Whether the person has asked to stop. */
export type Interrupt = {
  /** How: `Ctrl-C`, `SIGTERM`; null while there was no request. */
  readonly asked: () => string | null
  /** Aborted with the first request: ends waits and questions. */
  readonly signal: AbortSignal
  /** A Ctrl-C that came as a key, not as a signal. */
  readonly request: () => void
  /** Signals end the process again as they usually do. */
  readonly release: () => void
}

/** The person asked to stop while something was only read. */
export class Stopped extends Error {
  override readonly name = 'Stopped'
}

/**
 * What only reads: a request to stop ends it at once, since nothing is to be finished.
 * @throws Stopped, and whatever `work` throws
 */
export async function unlessStopped<T>({ signal }: Interrupt, work: Promise<T>): Promise<T> {
  const stopped = Promise.withResolvers<never>()
  const stop = (): void => stopped.reject(new Stopped('Stopped.'))
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop)
  try {
    return await Promise.race([work, stopped.promise])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * npm passes a terminal's Ctrl-C on to a child that has had it already: signals this close together are one
 * request.
 */
const ONE_REQUEST_MS = 1_000

/** Watches for requests to stop: `first` is called with the first, `second` with the next. */
export function watchInterrupts(
  source: Pick<EventEmitter, 'on' | 'off'>,
  now: () => number,
  on: { readonly first: (how: string) => void; readonly second: (how: string) => void },
): Interrupt {
  const controller = new AbortController()
  let first: { readonly at: number; readonly how: string } | null = null
  let hard = false
  const onSignal = (signal: string): void => {
    const how = signal === 'SIGINT' ? 'Ctrl-C' : signal
    if (first === null) {
      first = { at: now(), how }
      on.first(how)
      controller.abort()
    } else if (!hard && now() - first.at >= ONE_REQUEST_MS) {
      hard = true
      on.second(how)
    }
  }
  const handlers = SIGNALS.map((signal) => [signal, () => onSignal(signal)] as const)
  for (const [signal, handler] of handlers) source.on(signal, handler)
  return {
    asked: () => first?.how ?? null,
    signal: controller.signal,
    request: () => onSignal('SIGINT'),
    release: () => {
      for (const [signal, handler] of handlers) source.off(signal, handler)
    },
  }
}

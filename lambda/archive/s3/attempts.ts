import { setTimeout as pause } from 'node:timers/promises'
import { isPassing } from './reasons.ts'

/** How long a request may take, in milliseconds, and how often it is tried. */
export type Waits = {
  /** One try of a request with little or no body, from connecting to the last byte of the answer. */
  readonly requestMs: number
  /** What is added for each MiB of a body. */
  readonly perMebibyteMs: number
  /** Until the next bytes of an answer that is being read. */
  readonly silenceMs: number
  readonly tries: number
  /** Before the second try; twice that before the third, and so on. */
  readonly pauseMs: number
}

export const WAITS: Waits = {
  requestMs: 20_000,
  perMebibyteMs: 1_000,
  silenceMs: 20_000,
  tries: 5,
  pauseMs: 100,
}

/** With less time left, nothing is tried more than twice: the caller still has to report. */
const LAST_MOMENT_MS = 1_000
/** What a request gets even when the time is up: the lease is still to be released. */
const LEAST_REQUEST_MS = 3_000
const MEBIBYTE = 1024 * 1024

/** The deadline of one try: its signal, and more time once the size of a body is known. */
export type Deadline = { readonly signal: AbortSignal; readonly allowFor: (bytes: number) => void }

/**
 * Runs a request until it succeeds, fails for good, or was tried `tries` times; each try ends at its
 * deadline, whatever S3 and its client do, and a third one needs time left in the invocation. A write that
 * ended at its deadline may have taken effect.
 * @throws the error of the last try
 */
export async function attempt<T>(
  request: (deadline: Deadline) => Promise<T>,
  { waits, timeLeft, signal }: { waits: Waits; timeLeft: () => number; signal: AbortSignal | undefined },
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await untilDeadline(request, waits, timeLeft, signal)
    } catch (error) {
      const pauseMs = waits.pauseMs * 2 ** (tries - 1) * (1 + Math.random())
      const inTime = tries === 1 || timeLeft() > pauseMs + LAST_MOMENT_MS
      const again = tries < waits.tries && inTime && signal?.aborted !== true
      if (!again || !isPassing(error, statusOf(error))) throw error
      await pause(pauseMs)
    }
  }
}

async function untilDeadline<T>(
  request: (deadline: Deadline) => Promise<T>,
  { requestMs, perMebibyteMs }: Waits,
  timeLeft: () => number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const ended = new AbortController()
  const { promise, reject } = Promise.withResolvers<never>()
  const end = (reason: unknown): void => {
    reject(reason)
    ended.abort(reason)
  }
  let timer: NodeJS.Timeout | undefined
  const allowFor = (bytes: number): void => {
    clearTimeout(timer)
    const milliseconds = Math.min(
      requestMs + (bytes / MEBIBYTE) * perMebibyteMs,
      Math.max(LEAST_REQUEST_MS, timeLeft()),
    )
    timer = setTimeout(() => end(silence(milliseconds)), milliseconds)
  }
  const onAbort = (): void => end(signal?.reason)
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort)
  allowFor(0)
  try {
    return await Promise.race([promise, request({ signal: ended.signal, allowFor })])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

/** The error of a peer that does not answer, named as the AWS SDK names its own. */
export function silence(milliseconds: number): Error {
  return Object.assign(new Error(`no answer within ${Math.round(milliseconds / 100) / 10} s`), {
    name: 'TimeoutError',
  })
}

/** The HTTP status of an AWS service's answer, where there was one. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  const { $metadata: metadata } = error
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined
}

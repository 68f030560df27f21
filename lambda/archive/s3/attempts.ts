import { setTimeout as pause } from 'node:timers/promises'
import { isPassing } from './reasons.ts'

/** How long a request may take, in milliseconds, and how often it is tried. */
export type ArchiveWaits = {
  /** One try of a request with little or no body, from connecting to the last byte of the answer. */
  readonly requestMs: number
  /** What is added for each MiB of a body. */
  readonly perMebibyteMs: number
  /** Until the next bytes of an answer that is being read. */
  readonly silenceMs: number
  readonly tries: number
  /** Before the second try; twice that before the third, and so on. */
  readonly pauseMs: number
  /** Kept of an invocation's time for its end. */
  readonly reserveMs: number
}

/**
 * At the end of an invocation the card is to be stored, the lease to be released, and the caller to hear of
 * it: without any answer that takes three requests.
 */
const RESERVE_MS = 8_000
/** An invocation as short as this has nothing to spare; a longer one keeps a part of what is beyond. */
const NOTHING_TO_SPARE_MS = 10_000

/** What an invocation of this length keeps of its time for its end. */
export function reserveOf(invocationMs: number): number {
  return Math.min(RESERVE_MS, Math.max(0, (invocationMs - NOTHING_TO_SPARE_MS) / 4))
}

export const ARCHIVE_WAITS: ArchiveWaits = {
  requestMs: 20_000,
  perMebibyteMs: 1_000,
  silenceMs: 20_000,
  tries: 5,
  pauseMs: 100,
  reserveMs: RESERVE_MS,
}

/** What a request gets even when the time is up. */
const LEAST_REQUEST_MS = 2_000
const MEBIBYTE = 1024 * 1024

/** The deadline of one try: its signal, and more time once the size of a body is known. */
export type Deadline = { readonly signal: AbortSignal; readonly allowFor: (bytes: number) => void }

/**
 * Runs a request until it succeeds, fails for good, or was tried `tries` times; each try ends at its
 * deadline, whatever S3 and its client do. When the time of the invocation is up, silence ends it, and any
 * other failure is tried once more. A write that ended at its deadline may have taken effect.
 * @throws the error of the last try
 */
export async function withTries<T>(
  request: (deadline: Deadline) => Promise<T>,
  {
    waits,
    timeLeft,
    signal,
  }: { waits: ArchiveWaits; timeLeft: () => number; signal: AbortSignal | undefined },
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await untilDeadline(request, waits, timeLeft, signal)
    } catch (error) {
      const pauseMs = waits.pauseMs * 2 ** (tries - 1) * (1 + Math.random())
      const inTime = timeLeft() > pauseMs + waits.reserveMs || (tries === 1 && !isSilence(error))
      const again = tries < waits.tries && inTime && signal?.aborted !== true
      if (!again || !isPassing(error, statusOf(error))) throw error
      await pause(pauseMs)
    }
  }
}

async function untilDeadline<T>(
  request: (deadline: Deadline) => Promise<T>,
  { requestMs, perMebibyteMs, reserveMs }: ArchiveWaits,
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
      Math.max(LEAST_REQUEST_MS, timeLeft() - reserveMs),
    )
    timer = setTimeout(() => end(unanswered(milliseconds)), milliseconds)
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

const SILENCE = 'NO_ANSWER'

/** The error of a peer that does not answer, named as the AWS SDK names its own. */
export function unanswered(milliseconds: number): Error {
  return Object.assign(new Error(`no answer within ${Math.round(milliseconds / 100) / 10} s`), {
    name: 'TimeoutError',
    code: SILENCE,
  })
}

/** By its code, since the SDK names a cut connection TimeoutError too. */
function isSilence(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === SILENCE
}

/** The HTTP status of an AWS service's answer, where there was one. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  const { $metadata: metadata } = error
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined
}

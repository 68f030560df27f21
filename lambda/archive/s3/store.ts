import { ArchiveCorrupt, ArchiveUnavailable } from '../errors.ts'
import { withTries, type Deadline, statusOf, ARCHIVE_WAITS, type ArchiveWaits } from './attempts.ts'
import type { S3 } from './client.ts'
import { reasonForRequest } from './reasons.ts'

/** A bucket, what reaches it, and how long to wait for it. */
export type Store = {
  readonly s3: () => Promise<S3>
  readonly bucket: string
  /** Milliseconds until the invocation ends; absent: no end. */
  readonly timeLeft?: () => number
  /** Overrides ARCHIVE_WAITS. */
  readonly waits?: Partial<ArchiveWaits>
}

/** Sends a request until it succeeds or its tries are used up. @throws the error of the last try */
export async function request<T>(
  { s3, waits, timeLeft = () => Infinity }: Store,
  signal: AbortSignal | undefined,
  send: (s3: S3, deadline: Deadline) => Promise<T>,
): Promise<T> {
  const connected = await s3()
  return withTries(async (deadline) => send(connected, deadline), {
    waits: { ...ARCHIVE_WAITS, ...waits },
    timeLeft,
    signal,
  })
}

/** Whether an object is absent: NoSuchBucket is a 404 too. */
export function isAbsent(error: unknown): boolean {
  return error instanceof Error && error.name === 'NoSuchKey'
}

/** An object that a run names is not there. */
export function missing(key: string, cause?: unknown): ArchiveCorrupt {
  return new ArchiveCorrupt(
    `${key} is missing from the bucket, although the run names it. Restore it from its versions in S3.`,
    { cause },
  )
}

/** What a failed request is reported as: what was tried, why it failed, what to do. */
export function unavailable({ bucket }: Store, doing: string, cause: unknown): ArchiveUnavailable {
  const { what, todo } = reasonForRequest(cause, statusOf(cause))
  return new ArchiveUnavailable(
    `Could not ${doing} in the bucket ${bucket}: ${what}. ${todo} Then try again.`,
    { cause },
  )
}

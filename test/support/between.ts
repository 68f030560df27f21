import type { S3Request, S3Server } from '../../bin/sandbox/s3.ts'
import type { TestBucket } from './bucket.ts'

/** Whether a request stores an intent: the moment between a page's read and its write. */
export function isIntent({ method, key }: S3Request): boolean {
  return method === 'PUT' && key.startsWith('intents/')
}

/** Whether a request stores a page's part of the users log, of any epoch: the page is committed by then. */
export function isUsersPart({ method, key }: S3Request): boolean {
  return method === 'PUT' && key.startsWith('logs/users/')
}

/** Whether a request stores the cursor. */
export function isCursorWrite({ method, key }: S3Request): boolean {
  return method === 'PUT' && key.endsWith('/cursor.json')
}

/**
 * Runs `act` between read and write: while the job waits for the answer to the PUT of an intent. `act` gets
 * their number so far, from 1.
 */
export function betweenReadAndWrite(
  s3: S3Server,
  { bucket }: Pick<TestBucket, 'bucket'>,
  act: (nth: number) => Promise<unknown>,
): void {
  let intents = 0
  s3.setHooks(bucket, {
    before: async (request) => {
      if (isIntent(request)) await act(++intents)
    },
  })
}

/**
 * From the first such request on nothing of the invocation reaches S3: as if its process had died. Returns
 * whether that has happened.
 */
export function dieAt(
  s3: S3Server,
  { bucket }: Pick<TestBucket, 'bucket'>,
  which: (request: S3Request) => boolean,
): () => boolean {
  let dead = false
  s3.setHooks(bucket, {
    before: (request) => {
      dead ||= which(request)
      return dead ? 'drop' : undefined
    },
  })
  return () => dead
}

/** S3 answers everything again. */
export function revive(s3: S3Server, { bucket }: Pick<TestBucket, 'bucket'>): void {
  s3.setHooks(bucket, undefined)
}

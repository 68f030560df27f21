import type { S3Request, S3Server } from '../../bin/sandbox/s3.ts'
import type { TestBucket } from './bucket.ts'

/** Whether a request stores an intent: the moment between a page's read and its apply. */
export function isIntent({ method, key }: S3Request): boolean {
  return method === 'PUT' && key.endsWith('-intent.jsonl')
}

/**
 * Runs `act` between read and apply: while the job waits for the answer to the PUT of an intent. `act` is told how
 * many there have been, from 1 on.
 */
export function betweenReadAndApply(
  s3: S3Server,
  { bucket }: TestBucket,
  act: (nth: number) => Promise<unknown>,
): void {
  let intents = 0
  s3.setHooks(bucket, {
    before: async (request) => {
      if (isIntent(request)) await act(++intents)
    },
  })
}

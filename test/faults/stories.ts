import type { S3Server } from '../../bin/sandbox/s3.ts'
import { readJson, type TestBucket } from '../support/bucket.ts'
import { invokeJob, type JobPlace } from '../support/job.ts'
import { BATCH_SIZE } from './scenario.ts'
import { LONG_WAITS } from './waits.ts'

export type Spender = { readonly userId: string; readonly page: number }

/** What a trial is about: what was done before, undisturbed, and then the event that is disturbed. */
export type Story = {
  readonly name: string
  /**
   * The user who spends between read and write, and the page. It has to be a user that the run writes: of all
   * others the line shows the balance when it was read, which depends on the fault. A rollback has none for
   * the same reason.
   */
  readonly spender: Spender | null
  readonly prepare: (place: JobPlace & { readonly bucket: TestBucket }, s3: S3Server) => Promise<object>
}

const SIZES = { batchSize: BATCH_SIZE, concurrency: 3 }

/** A run of its own. */
export const EXECUTE: Story = {
  name: 'execute',
  spender: { userId: 'user-07', page: 1 },
  prepare: async () => ({ execute: true, ...SIZES }),
}

/** A run that is rolled back. */
export const ROLLBACK: Story = {
  name: 'rollback',
  spender: null,
  prepare: async (place) => {
    const { runId } = await invokeJob(place, { execute: true, ...SIZES }, { host: { waits: LONG_WAITS } })
    // Its pages are those of the run.
    return { rollback: runId, execute: true, concurrency: SIZES.concurrency }
  },
}

/**
 * A run whose holder died once a page was committed and before its outcome was stored: there is something to
 * settle.
 */
export const CANCEL: Story = {
  name: 'cancel',
  spender: null,
  prepare: async (place, s3) => ({ cancel: await diedOnItsSecondPage(place, s3) }),
}
export const RESTART: Story = {
  name: 'restart',
  // The run before it has already expired the users of the first two pages.
  spender: { userId: 'user-10', page: 2 },
  prepare: async (place, s3) => ({ execute: true, ...SIZES, restart: await diedOnItsSecondPage(place, s3) }),
}

export const STORIES: readonly Story[] = [EXECUTE, ROLLBACK, CANCEL, RESTART]

async function diedOnItsSecondPage(
  place: JobPlace & { readonly bucket: TestBucket },
  s3: S3Server,
): Promise<string> {
  let dead = false
  s3.setHooks(place.bucket.bucket, {
    before: ({ method, key }) => {
      dead ||= method === 'PUT' && /^logs\/.*\/00001-\d+\.jsonl$/.test(key)
      return dead ? 'drop' : undefined
    },
  })
  const env = { ...place.env, AWS_MAX_ATTEMPTS: '1' }
  const end = await invokeJob(
    { ...place, env },
    { execute: true, batchSize: BATCH_SIZE, concurrency: 1 },
    { host: { waits: LONG_WAITS } },
  ).catch((error: unknown) => error)
  s3.setHooks(place.bucket.bucket, undefined)
  if (!(end instanceof Error)) throw new Error('The invocation that was to die did not.')
  const { runId } = (await readJson(place.bucket, 'control/writer.json')) as { runId: string }
  return runId
}

import type { S3Server } from '../../bin/sandbox/s3.ts'
import { readJson, type TestBucket } from '../support/bucket.ts'
import { invokeJob, type JobPlace } from '../support/job.ts'
import { BATCH_SIZE } from './scenario.ts'
import { LONG_WAITS } from './waits.ts'

/** What a trial is about: what was done before, undisturbed, and then the event that is disturbed. */
export type Story = {
  readonly name: string
  /** Whether a user spends between read and write. Not in a rollback: it does not mind, and only its line's balance shows it. */
  readonly spends: boolean
  readonly prepare: (place: JobPlace & { readonly bucket: TestBucket }, s3: S3Server) => Promise<object>
}

const SIZES = { batchSize: BATCH_SIZE, concurrency: 3 }

/** A run of its own. */
export const EXECUTE: Story = {
  name: 'execute',
  spends: true,
  prepare: async () => ({ execute: true, ...SIZES }),
}

/** A run that is rolled back. */
export const ROLLBACK: Story = {
  name: 'rollback',
  spends: false,
  prepare: async (place) => {
    const { runId } = await invokeJob(place, { execute: true, ...SIZES }, { host: { waits: LONG_WAITS } })
    // Its pages are those of the run.
    return { rollback: runId, execute: true, concurrency: SIZES.concurrency }
  },
}

/** A run whose holder died once a page was committed and before its outcome was stored: there is something to settle. */
export const CANCEL: Story = {
  name: 'cancel',
  spends: false,
  prepare: async (place, s3) => ({ cancel: await diedOnItsSecondPage(place, s3) }),
}
export const RESTART: Story = {
  name: 'restart',
  spends: true,
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

import type { Host } from '../../lambda/host.ts'
import { invokeJob, type JobPlace } from '../support/job.ts'

/** Where a job in a process of its own works. */
export type ChildPlace = {
  readonly databaseUrl: string
  readonly endpoint: string
  readonly bucket: string
  readonly env: Record<string, string>
  /** How far the database's clock is ahead of this machine's: the job's own goes with it. */
  readonly aheadMs?: number
  readonly waits?: Host['waits']
}

/**
 * A job in a process of its own, for a test to kill or to stop. Its arguments: where it works, and the event,
 * as JSON.
 */
const [where = '', event = ''] = process.argv.slice(2)
const { databaseUrl, endpoint, bucket, env, aheadMs = 0, waits = {} } = JSON.parse(where) as ChildPlace
const job: JobPlace = { databaseUrl, bucket: { endpoint, bucket }, env }
const host = { now: () => new Date(Date.now() + aheadMs), waits }
process.stdout.write(JSON.stringify(await invokeJob(job, JSON.parse(event), { host })))

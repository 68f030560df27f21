import { invokeJob, type JobPlace } from '../support/job.ts'

/** A job in a process of its own, for a test to kill. Its arguments: where it works, and the event, as JSON. */
const [place = '', event = ''] = process.argv.slice(2)
const {
  databaseUrl,
  endpoint,
  bucket,
  env,
  aheadMs = 0,
} = JSON.parse(place) as {
  databaseUrl: string
  endpoint: string
  bucket: string
  env: Record<string, string>
  /** How far the database's clock is ahead of this machine's: the job's own goes with it. */
  aheadMs?: number
}
const job: JobPlace = { databaseUrl, bucket: { endpoint, bucket }, env }
process.stdout.write(
  JSON.stringify(
    await invokeJob(job, JSON.parse(event), { host: { now: () => new Date(Date.now() + aheadMs) } }),
  ),
)

import { invokeJob, type JobPlace } from '../support/job.ts'

/** A job in a process of its own, for a test to kill. Its arguments: where it works, and the event, as JSON. */
const [place = '', event = ''] = process.argv.slice(2)
const { databaseUrl, endpoint, bucket, env } = JSON.parse(place) as {
  databaseUrl: string
  endpoint: string
  bucket: string
  env: Record<string, string>
}
const job: JobPlace = { databaseUrl, bucket: { endpoint, bucket }, env }
process.stdout.write(JSON.stringify(await invokeJob(job, JSON.parse(event))))

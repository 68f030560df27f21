import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { S3Request, S3Server } from '../../bin/sandbox/s3.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { freshBucket, keys, readJson, type TestBucket } from '../support/bucket.ts'
import { invokeJob, type JobPlace } from '../support/job.ts'
import { freshDatabase } from '../support/ledger.ts'
import { startProxy } from './proxy.ts'
import { BATCH_SIZE, BUSY_USER } from './scenario.ts'

/**
 * What happens at one call: it fails before it takes effect; it takes effect and its reply is lost, where the client
 * tries once (`lose`) or tries again (`lose-retried`); or the process is killed while it takes effect.
 */
export const MODES = ['fail', 'lose', 'lose-retried', 'kill'] as const
export type Mode = (typeof MODES)[number]
export type Fault = { readonly at: number; readonly mode: Mode }

/** A run that came to its end, whatever was done to it. */
export type Trial = {
  readonly database: Awaited<ReturnType<typeof freshDatabase>>
  readonly bucket: TestBucket
  readonly runId: string
  readonly card: ExitCard
  /** All calls of the first invocation, in order. */
  readonly calls: readonly string[]
}

const EVENT = { execute: true, batchSize: BATCH_SIZE, concurrency: 3 }
const RESUMES = 6

/**
 * Runs the scenario with one fault in its first invocation, and then, with the clock set forward past every lease,
 * goes on with it until it is closed.
 */
export async function runTrial(template: string, s3: S3Server, fault: Fault | null): Promise<Trial> {
  const database = await freshDatabase(template)
  const bucket = await freshBucket(s3.endpoint)
  const calls: string[] = []
  const child: { process: ChildProcess | null } = { process: null }
  const strikes = (what: string): Mode | null => {
    calls.push(what)
    return calls.length === fault?.at ? fault.mode : null
  }
  const kill = (): void => void child.process?.kill('SIGKILL')

  const proxy = await startProxy(database.url, ({ what }) => {
    const mode = strikes(what)
    if (mode === 'kill') kill()
    return mode === null || mode === 'kill' ? 'pass' : mode === 'fail' ? 'fail' : 'lose'
  })
  const spend = spendOnce(database)
  const lost = new WeakSet<S3Request>()
  s3.setHooks(bucket.bucket, {
    before: async (request) => {
      await spend(request)
      const mode = strikes(`S3: ${request.method} ${request.key || JSON.stringify(request.query)}`)
      if (mode === 'kill') kill()
      if (mode === 'lose' || mode === 'lose-retried') lost.add(request)
      return mode === 'fail' ? 'drop' : undefined
    },
    after: (request) => (lost.has(request) ? 'drop' : undefined),
  })

  try {
    const env = { AWS_MAX_ATTEMPTS: fault?.mode === 'lose-retried' ? '5' : '1' }
    const place = { databaseUrl: proxy.url, bucket, env }
    if (fault?.mode === 'kill') await runInChild(place, child)
    else await invokeJob(place, EVENT).catch((error: unknown) => error)
  } finally {
    s3.setHooks(bucket.bucket, { before: async (request) => void (await spend(request)) })
    await proxy.stop()
  }
  const { runId, card } = await goOnUntilClosed(database, bucket)
  s3.setHooks(bucket.bucket, undefined)
  return { database, bucket, runId, card, calls }
}

/** Lets the busy user spend a dollar when an intent with that user is first on its way: after the read, before the write. */
function spendOnce({ sql }: Trial['database']): (request: S3Request) => Promise<void> {
  let spent = false
  return async ({ key }) => {
    if (spent || !key.endsWith('-001-intent.jsonl') || !key.includes('/000001-')) return
    spent = true
    await sql`update kilocode_users set microdollars_used = microdollars_used + 1000000 where id = ${BUSY_USER}`
  }
}

async function runInChild(place: JobPlace, child: { process: ChildProcess | null }): Promise<void> {
  const script = fileURLToPath(new URL('child.ts', import.meta.url))
  const { endpoint, bucket } = place.bucket
  const where = JSON.stringify({ databaseUrl: place.databaseUrl, endpoint, bucket, env: place.env })
  child.process = spawn(process.execPath, [script, where, JSON.stringify(EVENT)], { stdio: 'ignore' })
  await once(child.process, 'exit')
}

async function goOnUntilClosed(database: Trial['database'], bucket: TestBucket): Promise<{ runId: string; card: ExitCard }> {
  const place = { databaseUrl: database.url, bucket }
  const writer = (await keys(bucket, 'control/writer.json')).length > 0 ? await readJson(bucket, 'control/writer.json') : null
  const open = writer as { runId: string | null } | null
  const closed = (await keys(bucket, 'runs/')).find((key) => key.endsWith('/manifest.json'))
  // A run that was prepared but not opened leaves its files behind; the same payload then opens another one.
  const runId = open?.runId ?? (open && closed ? closed.split('/')[1] : undefined)
  let event: object = runId === undefined ? EVENT : { resume: runId }
  for (let resumes = 0; resumes < RESUMES; resumes++) {
    await database.sql`update test_clock.ahead set by = by + interval '1 hour'`
    const card = await invokeJob(place, event)
    if (card.status !== 'incomplete' && card.status !== 'busy') return { runId: card.runId, card }
    event = { resume: card.runId }
  }
  throw new Error(`The run is still not closed after ${RESUMES} more invocations.`)
}

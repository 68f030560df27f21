import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { S3Request, S3Server } from '../../bin/sandbox/s3.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { freshBucket, keys, readJson, type TestBucket } from '../support/bucket.ts'
import { invokeJob, type JobPlace } from '../support/job.ts'
import { freshDatabase } from '../support/ledger.ts'
import { startProxy } from './proxy.ts'
import { BUSY_USER } from './scenario.ts'
import { EXECUTE, type Story } from './stories.ts'

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
  /** All calls of the disturbed invocation, in order. */
  readonly calls: readonly string[]
}

const RESUMES = 6

/**
 * Runs a story with one fault in the invocation that it is about, and then, with the clock set forward past every
 * lease, goes on with it until it is closed.
 */
export async function runTrial(
  template: string,
  s3: S3Server,
  fault: Fault | null,
  story: Story = EXECUTE,
): Promise<Trial> {
  const database = await freshDatabase(template)
  const bucket = await freshBucket(s3.endpoint)
  const event = await story.prepare({ databaseUrl: database.url, bucket }, s3)
  const earlier = await runIdsOf(bucket)
  const clock = await clockOf(database)
  await clock.goForward()
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
  const spend = story.spends ? spendOnce(database) : async () => {}
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
    if (fault?.mode === 'kill') await runInChild(place, event, clock.aheadMs(), child)
    else await invokeJob(place, event, { host: { now: clock.now } }).catch((error: unknown) => error)
  } finally {
    s3.setHooks(bucket.bucket, { before: spend })
    await proxy.stop()
  }
  const { runId, card } = await goOnUntilClosed({ databaseUrl: database.url, bucket }, clock, event, earlier)
  s3.setHooks(bucket.bucket, undefined)
  return { database, bucket, runId, card, calls }
}

/** Lets the busy user spend a dollar when an intent with that user is first on its way: after the read, before the write. */
function spendOnce({ sql }: Trial['database']): (request: S3Request) => Promise<void> {
  let spent = false
  return async ({ key }) => {
    if (spent || !key.endsWith('-intent.jsonl') || !key.includes('/000001-')) return
    spent = true
    await sql`update kilocode_users set microdollars_used = microdollars_used + 1000000 where id = ${BUSY_USER}`
  }
}

async function runIdsOf(bucket: TestBucket): Promise<Set<string | undefined>> {
  return new Set((await keys(bucket, 'runs/')).map((key) => key.split('/')[1]))
}

type Clock = {
  readonly now: () => Date
  readonly aheadMs: () => number
  readonly goForward: () => Promise<void>
}

/** The scenario's clock, of the database and of the job's machine: it goes forward past every lease. */
async function clockOf({ sql }: Trial['database']): Promise<Clock> {
  // A copy of a database does not take over its settings.
  await sql.unsafe(`do $$ begin
    execute format('alter database %I set search_path = test_clock, pg_catalog, public', current_database());
  end $$`)
  let hours = 0
  const aheadMs = (): number => hours * 3_600_000
  return {
    aheadMs,
    now: () => new Date(Date.now() + aheadMs()),
    goForward: async () => {
      hours += 1
      await sql`update test_clock.ahead set by = ${`${hours} hours`}::text::interval`
    },
  }
}

async function runInChild(
  place: JobPlace,
  event: object,
  aheadMs: number,
  child: { process: ChildProcess | null },
): Promise<void> {
  const script = fileURLToPath(new URL('child.ts', import.meta.url))
  const { endpoint, bucket } = place.bucket
  const where = JSON.stringify({ databaseUrl: place.databaseUrl, endpoint, bucket, env: place.env, aheadMs })
  child.process = spawn(process.execPath, [script, where, JSON.stringify(event)], { stdio: 'ignore' })
  await once(child.process, 'exit')
}

/** Goes on with the run that the disturbed invocation opened, if it came so far; else, and to cancel, sends its event again. */
async function goOnUntilClosed(
  place: JobPlace & { readonly bucket: TestBucket },
  clock: Clock,
  asked: object,
  earlier: ReadonlySet<string | undefined>,
): Promise<{ runId: string; card: ExitCard }> {
  const { bucket } = place
  const written =
    (await keys(bucket, 'control/writer.json')).length > 0
      ? await readJson(bucket, 'control/writer.json')
      : null
  const open = (written as { runId: string | null } | null)?.runId ?? undefined
  const closed = (await keys(bucket, 'runs/'))
    .filter((key) => key.endsWith('/manifest.json'))
    .map((key) => key.split('/')[1])
  // A run that was prepared but not opened leaves its files behind; the same payload then opens another one.
  const runId = [open, ...closed].find((id) => id !== undefined && !earlier.has(id))
  let event: object = runId === undefined ? asked : { resume: runId }
  for (let resumes = 0; resumes < RESUMES; resumes++) {
    await clock.goForward()
    const card = await invokeJob(place, event, { host: { now: clock.now } })
    if (card.status !== 'incomplete' && card.status !== 'busy') return { runId: card.runId, card }
    event = card.next?.payload ?? event
  }
  throw new Error(`The run is still not closed after ${RESUMES} more invocations.`)
}

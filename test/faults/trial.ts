import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { S3Request, S3Server } from '../../bin/sandbox/s3.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { freshBucket, keys, readJson, type TestBucket } from '../support/bucket.ts'
import { invokeJob, type JobPlace } from '../support/job.ts'
import { freshDatabase } from '../support/ledger.ts'
import { type Fate, startProxy } from './proxy.ts'
import type { Spender, Story } from './stories.ts'
import { LONG_WAITS, SHORT_WAITS } from './waits.ts'

/**
 * What happens at one call: it fails before it takes effect; it takes effect and its reply is lost, where the
 * client tries once (`lose`) or tries again (`lose-retried`); the process is killed while it takes effect; it
 * never arrives and is never answered (`silent`); or it takes effect, and its answer stops in the middle of
 * its body (`stall`).
 */
export const MODES = ['fail', 'lose', 'lose-retried', 'kill', 'silent', 'stall'] as const
export type Mode = (typeof MODES)[number]
/** `at` counts the calls of all invocations of the trial, from 1. */
export type Fault = { readonly at: number; readonly mode: Mode }

/** A run that came to its end, whatever was done to it. */
export type Trial = {
  readonly database: Awaited<ReturnType<typeof freshDatabase>>
  readonly bucket: TestBucket
  readonly runId: string
  readonly card: ExitCard
  /** All calls of the disturbed invocations, in order. */
  readonly calls: readonly string[]
}

const RESUMES = 6

/**
 * Runs a story with faults, the first of them in the invocation that it is about, and then, with the clock
 * set forward past every lease, continues it until it is closed. Everything goes over one proxy, whose port
 * is part of what the job knows the ledger by.
 */
export async function runTrial(
  template: string,
  s3: S3Server,
  faults: readonly Fault[],
  story: Story,
): Promise<Trial> {
  const database = await freshDatabase(template)
  const bucket = await freshBucket(s3.endpoint)
  const calls: string[] = []
  const child: { process: ChildProcess | null } = { process: null }
  let counting = false
  const modeAt = (what: string): Mode | null => {
    if (!counting) return null
    calls.push(what)
    const mode = faults.find(({ at }) => at === calls.length)?.mode ?? null
    if (mode === 'kill') child.process?.kill('SIGKILL')
    return mode
  }
  const proxy = await startProxy(database.url, ({ what }) => FATES[modeAt(what) ?? 'kill'])
  const place = { databaseUrl: proxy.url, bucket }
  try {
    const event = await story.prepare(place, s3)
    const earlier = await runIdsOf(bucket)
    const clock = clockOf(database)
    await clock.goForward()
    const spend = story.spender ? spendOnce(database, story.spender) : async () => {}
    const faultOf = new WeakMap<S3Request, Mode>()
    s3.setHooks(bucket.bucket, {
      before: async (request) => {
        await spend(request)
        const mode = modeAt(`S3: ${request.method} ${request.key || JSON.stringify(request.query)}`)
        if (mode) faultOf.set(request, mode)
        if (mode === 'fail') return 'drop'
        return mode === 'silent' ? mode : undefined
      },
      after: (request) => {
        const mode = faultOf.get(request)
        if (mode === 'lose' || mode === 'lose-retried') return 'drop'
        return mode === 'stall' ? mode : undefined
      },
    })

    counting = true
    const isLeft = (): boolean => faults.some(({ at }) => at > calls.length)
    const disturbed = async (asked: object): Promise<ExitCard | Error> => {
      const tries = faults.some(({ mode }) => mode === 'lose-retried' || mode === 'stall') ? '5' : '1'
      const where = { ...place, env: { AWS_MAX_ATTEMPTS: tries } }
      const kills = faults.some(({ at, mode }) => mode === 'kill' && at > calls.length)
      if (kills) return runInChild(where, asked, clock.aheadMs(), child)
      return invokeJob(where, asked, { host: { now: clock.now, waits: SHORT_WAITS } }).catch(
        (error: unknown) => {
          if (error instanceof Error) return error
          throw error
        },
      )
    }
    await disturbed(event)
    // A fault that was to come after the end of the invocation meets those that continue the run.
    for (let nth = 1; isLeft() && nth < RESUMES && faults.length > 1; nth++) {
      await clock.goForward()
      // What the trial itself asks of S3 meets no fault: a silent one would never end.
      counting = false
      const next = await nextEvent(bucket, event, earlier)
      counting = true
      await disturbed(next)
    }
    counting = false
    const { runId, card } = await continueUntilClosed(place, clock, event, earlier)
    return { database, bucket, runId, card, calls }
  } finally {
    s3.setHooks(bucket.bucket, undefined)
    await proxy.stop()
  }
}

/** `kill`: what a process has sent when it dies still arrives. */
const FATES: Readonly<Record<Mode, Fate>> = {
  fail: 'fail',
  lose: 'lose',
  'lose-retried': 'lose',
  kill: 'pass',
  silent: 'silent',
  stall: 'stall',
}

/**
 * Lets the user spend a dollar when an intent of the page is first on its way: after the read, before the
 * write.
 */
function spendOnce(
  { sql }: Trial['database'],
  { userId, page }: Spender,
): (request: S3Request) => Promise<void> {
  const ofPage = `/${String(page).padStart(5, '0')}-`
  let spent = false
  return async ({ method, key }) => {
    if (spent || method !== 'PUT' || !key.startsWith('intents/') || !key.includes(ofPage)) return
    spent = true
    await sql`update kilocode_users set microdollars_used = microdollars_used + 1000000 where id = ${userId}`
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
function clockOf({ sql }: Trial['database']): Clock {
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
): Promise<Error> {
  const script = fileURLToPath(new URL('child.ts', import.meta.url))
  const { endpoint, bucket } = place.bucket
  const where = JSON.stringify({ databaseUrl: place.databaseUrl, endpoint, bucket, env: place.env, aheadMs })
  child.process = spawn(process.execPath, [script, where, JSON.stringify(event)], { stdio: 'ignore' })
  await once(child.process, 'exit')
  child.process = null
  return new Error('The process has ended.')
}

/**
 * The payload that continues the run of a disturbed invocation: by the run's id, or, where no run was opened
 * or the event cancels one, the same event again. A run that was prepared but not opened leaves its files
 * behind; the same payload then opens another one.
 */
async function nextEvent(
  bucket: TestBucket,
  asked: object,
  earlier: ReadonlySet<string | undefined>,
): Promise<object> {
  const written =
    (await keys(bucket, 'control/writer.json')).length > 0
      ? await readJson(bucket, 'control/writer.json')
      : null
  const open = (written as { runId: string | null } | null)?.runId ?? undefined
  const closed = (await keys(bucket, 'runs/'))
    .filter((key) => key.endsWith('/manifest.json'))
    .map((key) => key.split('/')[1])
  const runId = [open, ...closed].find((id) => id !== undefined && !earlier.has(id))
  return runId === undefined ? asked : { resume: runId }
}

async function continueUntilClosed(
  place: JobPlace & { readonly bucket: TestBucket },
  clock: Clock,
  asked: object,
  earlier: ReadonlySet<string | undefined>,
): Promise<{ runId: string; card: ExitCard }> {
  let event = await nextEvent(place.bucket, asked, earlier)
  const answers: string[] = []
  for (let resumes = 0; resumes < RESUMES; resumes++) {
    await clock.goForward()
    const card = await invokeJob(place, event, { host: { now: clock.now, waits: LONG_WAITS } })
    if (card.status !== 'incomplete' && card.status !== 'busy') return { runId: card.runId, card }
    answers.push(`${card.status}: ${card.why}`)
    event = card.next?.payload ?? event
  }
  throw new Error(`The run is still not closed after ${RESUMES} more invocations.\n${answers.join('\n')}`)
}

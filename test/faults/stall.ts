import type { Sql } from 'postgres'
import type { S3Request, S3Server } from '../../bin/sandbox/s3.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import type { Host } from '../../lambda/host.ts'
import { freshBucket, keys, type TestBucket } from '../support/bucket.ts'
import { invokeJob } from '../support/job.ts'
import { releaseClock, setHostAhead } from '../support/clock.ts'
import { freshDatabase } from '../support/ledger.ts'
import { openRunId } from '../support/logs.ts'
import { PATIENT_WAITS } from './waits.ts'
import { type Fate, type PostgresProxy, type RoundTrip, startProxy } from './proxy.ts'

/** A point at which the first caller waits until the test opens it; later callers pass. */
export type Gate = { readonly reached: Promise<void>; hold(): Promise<void>; open(): void }

export function gate(): Gate {
  const reached = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  let taken = false
  return {
    reached: reached.promise,
    async hold() {
      if (taken) return
      taken = true
      reached.resolve()
      await opened.promise
    },
    open: () => opened.resolve(),
  }
}

/** What an invocation came to: its card, or the error that it failed with. */
export type Answer = { readonly status: string; readonly why: string; readonly runId: string }

/**
 * A database with its ledger, a bucket, and a way to the database on which a test can hold what the job
 * sends.
 */
export type Place = {
  readonly sql: Sql
  readonly url: string
  readonly bucket: TestBucket
  /** LEDGER_FORMERLY for an invocation that continues what came over the proxy. */
  readonly formerly: string
  /** An invocation that comes over the proxy, and one that goes straight to the database. */
  disturbed(event: object, timeLeft?: () => number, host?: Partial<Host>): Promise<Answer>
  direct(event: object, timeLeft?: () => number): Promise<ExitCard>
  /** Sets the clocks of the database and the job's machine forward, past every lease by default. */
  later(by?: string): Promise<void>
  /**
   * Ends the connections that came over the proxy, as the server does with a transaction that idles for too
   * long.
   */
  endDisturbed(): Promise<void>
  drop(): Promise<void>
}

/** An hour: longer than any lease of a test. */
const PAST_EVERY_LEASE = '1 hour'

/** Makes a copy of a template (which has the clock of buildScenario), an empty bucket, and the proxy. */
export async function openPlace(
  template: string,
  s3: S3Server,
  decide: (trip: RoundTrip) => Fate | Promise<Fate>,
): Promise<Place> {
  releaseClock()
  const database = await freshDatabase(template)
  const bucket = await freshBucket(s3.endpoint)
  const proxied = new Set<number>()
  const proxy: PostgresProxy = await startProxy(database.url, decide, (port) => proxied.add(port))
  // Host and port are part of what the job knows a ledger by.
  const ledgers = [proxy.url, database.url].map((url) => new URL(url).host)
  const env = { AWS_MAX_ATTEMPTS: '1', LEDGER_FORMERLY: ledgers.join(',') }
  // Of this place alone: places of concurrent tests have other times.
  let aheadMs = 0
  const now = () => new Date(Date.now() + aheadMs)
  const invoke = async (
    databaseUrl: string,
    event: object,
    timeLeft?: () => number,
    host: Partial<Host> = {},
  ) => {
    const options = { host: { waits: PATIENT_WAITS, now, ...host }, ...(timeLeft && { timeLeft }) }
    return invokeJob({ databaseUrl, bucket, env }, event, options)
  }
  return {
    sql: database.sql,
    url: database.url,
    bucket,
    formerly: ledgers.join(','),
    disturbed: async (event, timeLeft, host) => invoke(proxy.url, event, timeLeft, host).catch(answerOf),
    direct: async (event, timeLeft) => invoke(database.url, event, timeLeft),
    later: async (by = PAST_EVERY_LEASE) => {
      const [ahead] = await database.sql`
        update test_clock.ahead set by = by + ${by}::text::interval returning extract(epoch from by)::int as seconds`
      aheadMs = Number(ahead?.seconds) * 1000
      setHostAhead(aheadMs)
    },
    endDisturbed: async () => {
      const ports = JSON.stringify([...proxied])
      await database.sql`
        select pg_terminate_backend(pid, 5000) from pg_stat_activity
        where datname = current_database() and client_port in (select jsonb_array_elements_text(${ports}::text::jsonb)::int)`
    },
    drop: async () => {
      s3.setHooks(bucket.bucket, undefined)
      await proxy.stop()
      await database.drop()
    },
  }
}

function answerOf(error: unknown): Answer {
  if (!(error instanceof Error)) throw error
  return { status: error.name, why: error.message, runId: '' }
}

/** Continues the open run, each time with every lease expired, until it is closed. */
export async function resumeUntilClosed(place: Place, tries = 6): Promise<ExitCard> {
  const runId = await openRunId(place.bucket)
  for (let nth = 1; nth <= tries; nth++) {
    await place.later()
    const card = await place.direct({ resume: runId })
    if (card.status !== 'incomplete' && card.status !== 'busy') return card
  }
  throw new Error(`The run ${runId} is still open after ${tries} more invocations.`)
}

/** How many intents a run has by now. */
export async function countIntents({ bucket }: Place, runId: string): Promise<number> {
  return (await keys(bucket, `intents/${runId}/`)).length
}

/**
 * Round trips of an apply: the statement that writes, with the users locked, and the COMMIT after the clock
 * check.
 */
export function isWrite({ what }: RoundTrip): boolean {
  return what === 'database: write expirations' || what === 'database: write rollbacks'
}

export function isCommitOfApply({ what, previous }: RoundTrip): boolean {
  return what === 'database: commit' && previous === 'check lease'
}

/** Requests of a run's first invocation. */
export function isOutcome({ method, key }: S3Request): boolean {
  return method === 'PUT' && /^logs\/users\/.*-0001\.jsonl$/.test(key)
}

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import postgres, { type Sql } from 'postgres'
import { startS3, type S3Server } from '../../bin/sandbox/s3.ts'
import { auditAndLogs, commitsOf } from '../support/audit.ts'
import { auditRun } from '../support/audit-run.ts'
import { freshBucket, keys, type TestBucket } from '../support/bucket.ts'
import { strayLinesOf } from '../support/essence.ts'
import { invokeJob } from '../support/job.ts'
import { freshDatabase } from '../support/ledger.ts'
import { readDocument } from '../support/logs.ts'
import { productionPass } from '../support/places/production.ts'
import { random } from '../support/random.ts'
import { auditedTemplate } from '../support/places/scenario-place.ts'
import { type RequestFate, startChaosS3 } from './chaos-s3.ts'
import type { ChildPlace } from './child.ts'
import { type Fate, startProxy } from './proxy.ts'
import { LONG_WAITS, SHORT_WAITS } from './waits.ts'

/**
 * Three processes at a time that are killed, or stopped past their lease and woken; requests and statements
 * that are lost, late, repeated or never answered; usage, grants, production's pass and row locks meanwhile.
 * In the end every run is closed, every committed change is logged once, and the money adds up.
 *
 * SOAK=full takes many seeds; CHAOS_SEED=… makes the same choices again (in what order they meet is up to the
 * machine).
 */
const SEEDS = Number(process.env.CHAOS_RUNS ?? (process.env.SOAK === 'full' ? 60 : 1))
const FIRST_SEED = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 1_000_000))
const WAVES = 3
const HOLDERS = 3
const EVENT = { execute: true, batchSize: 2, concurrency: 2 }
const USD = 1_000_000

let s3: S3Server
let template: string

beforeAll(async () => {
  s3 = await startS3()
  template = await auditedTemplate()
})
afterAll(async () => {
  await s3.stop()
})

test.each(Array.from({ length: SEEDS }, (_, nth) => FIRST_SEED + nth))(
  'chaos; replay: CHAOS_RUNS=1 CHAOS_SEED=%i npx vitest run test/faults/chaos.test.ts',
  { timeout: 600_000 },
  async (seed) => {
    const dice = random(seed)
    const database = await freshDatabase(template)
    const { sql } = database
    await sql`create table known_rows as select id from credit_transactions`
    await sql`create table known_users as select id, total_microdollars_acquired as total from kilocode_users`
    const bucket = await freshBucket(s3.endpoint)
    let isCalm = false
    const proxy = await startProxy(database.url, async () => {
      if (isCalm) return 'pass'
      await pause(dice() < 0.05 ? dice() * 800 : 0)
      return fateOfTrip(dice())
    })
    const chaosS3 = await startChaosS3(s3.endpoint, () => (isCalm ? CALM : fateOfRequest(dice)))
    let hours = 0
    const forward = async (): Promise<void> => {
      hours += 1
      await sql`update test_clock.ahead set by = ${`${hours} hours`}::text::interval`
    }
    const interference = interfere(database.url, random(seed + 1), () => isCalm)
    try {
      const place = { databaseUrl: proxy.url, endpoint: chaosS3.endpoint, bucket: bucket.bucket, env: {} }
      const stopped: ChildProcess[] = []
      const ends: Promise<unknown>[] = []
      for (let wave = 0; wave < WAVES; wave++) {
        for (let holder = 0; holder < HOLDERS; holder++) {
          const child = startChild({ ...place, aheadMs: hours * 3_600_000, waits: SHORT_WAITS })
          ends.push(once(child, 'exit'))
          await pause(500 + dice() * 2_500)
          const what = dice()
          if (what < 0.35) child.kill('SIGKILL')
          else if (what < 0.75 && child.kill('SIGSTOP')) stopped.push(child)
          // Every lease expires, also of processes that work.
          if (what < 0.75 || dice() < 0.2) await forward()
        }
        for (const child of stopped.splice(0, Math.ceil(stopped.length / 2))) child.kill('SIGCONT')
      }
      for (const child of stopped) child.kill('SIGCONT')
      await Promise.all(ends)
      isCalm = true
      await interference
      await closeAll({ databaseUrl: proxy.url, bucket }, forward, () => hours)
    } finally {
      isCalm = true
      await interference
      await chaosS3.stop()
      await proxy.stop()
    }
    await expectAllTrue(sql, bucket)
    await database.drop()
  },
)

const CALM: RequestFate = { delayMs: 0, copies: 1, answer: 'given' }

function fateOfTrip(roll: number): Fate {
  if (roll < 0.006) return 'fail'
  if (roll < 0.012) return 'lose'
  if (roll < 0.016) return 'silent'
  return roll < 0.02 ? 'stall' : 'pass'
}

function fateOfRequest(dice: () => number): RequestFate {
  const delayMs = dice() < 0.1 ? dice() * 1_500 : 0
  const copies = dice() < 0.08 ? 2 : 1
  const roll = dice()
  if (roll < 0.02) return { delayMs, copies: 0, answer: 'cut' }
  if (roll < 0.04) return { delayMs, copies, answer: 'cut' }
  if (roll < 0.05) return { delayMs: 4_000, copies, answer: 'none' }
  return { delayMs, copies, answer: 'given' }
}

function startChild(place: ChildPlace): ChildProcess {
  const script = fileURLToPath(new URL('child.ts', import.meta.url))
  return spawn(process.execPath, [script, JSON.stringify(place), JSON.stringify(EVENT)], { stdio: 'ignore' })
}

/** What the application does to users meanwhile, until it is calm. */
async function interfere(url: string, dice: () => number, isCalm: () => boolean): Promise<void> {
  const sql = postgres(url, { max: 3, onnotice: () => undefined })
  while (!isCalm()) {
    const id = `user-${String(1 + Math.floor(dice() * 12)).padStart(2, '0')}`
    const what = dice()
    if (what < 0.5)
      await sql`update kilocode_users set microdollars_used = microdollars_used + 1000 where id = ${id}`
    else if (what < 0.65) await give(sql, id, Math.ceil(dice() * 5) * USD)
    else if (what < 0.8) await productionPass(sql, id).catch(ignoreConflict)
    else await lockFor(sql, id, dice() * 700)
    await pause(dice() * 200)
  }
  await sql.end()
}

/** A grant as old as those of the scenario, so that the run may take it or not. */
async function give(sql: Sql, id: string, amount: number): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`
      insert into credit_transactions (kilo_user_id, amount_microdollars, is_free, created_at, original_baseline_microdollars_used)
      select id, ${amount}, true, now() - interval '30 days', microdollars_used from kilocode_users where id = ${id}`
    await tx`
      update kilocode_users set total_microdollars_acquired = total_microdollars_acquired + ${amount} where id = ${id}`
  })
}

async function lockFor(sql: Sql, id: string, milliseconds: number): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`select from kilocode_users where id = ${id} for update`
    await pause(milliseconds)
  })
}

/**
 * Production and the job may close the same grant: the later one is refused. So is a closing row of the user
 * whose rows a trigger refuses.
 */
function ignoreConflict(error: unknown): void {
  if (!(error instanceof postgres.PostgresError && ['23505', 'P0001'].includes(error.code))) throw error
}

/** Nothing is disturbed any more: one run after the other is closed, each time with every lease expired. */
async function closeAll(
  place: { databaseUrl: string; bucket: TestBucket },
  forward: () => Promise<void>,
  hours: () => number,
): Promise<void> {
  const whys: string[] = []
  for (let tries = 0; tries < 6; tries++) {
    await forward()
    const host = { now: () => new Date(Date.now() + hours() * 3_600_000), waits: LONG_WAITS }
    const card = await invokeJob(place, EVENT, { host })
    if (card.status !== 'incomplete' && card.status !== 'busy') return
    whys.push(`${card.status}: ${card.why}`)
  }
  throw new Error(`The run is still open.\n${whys.join('\n')}`)
}

async function expectAllTrue(sql: Sql, bucket: TestBucket): Promise<void> {
  expect(await readDocument(bucket, 'control/writer.json')).toMatchObject({ runId: null })
  const runIds = (await keys(bucket, 'logs/runs/')).map((key) =>
    key.slice('logs/runs/'.length, -'.jsonl'.length),
  )
  const { database, logs } = await auditAndLogs(sql, bucket, runIds)
  expect(logs).toEqual(database)
  for (const runId of runIds) {
    expect(await strayLinesOf(bucket, runId)).toEqual([])
    await auditRun(bucket, runId)
  }
  const wrong = await sql`
    select u.id, u.total_microdollars_acquired - k.total as moved, coalesce(sum(t.amount_microdollars), 0) as inserted
    from kilocode_users u
    join known_users k on k.id = u.id
    left join credit_transactions t on t.kilo_user_id = u.id and t.id not in (select id from known_rows)
    group by u.id, u.total_microdollars_acquired, k.total
    having u.total_microdollars_acquired - k.total <> coalesce(sum(t.amount_microdollars), 0)`
  expect([...wrong]).toEqual([])
  expect((await commitsOf(sql)).filter(({ used, acquired }) => acquired < used)).toEqual([])
}

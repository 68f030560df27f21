import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { startS3, type S3Request, type S3Server } from '../../bin/sandbox/s3.ts'
import { auditAndLogs, auditJob } from '../support/audit.ts'
import { keys, readJson } from '../support/bucket.ts'
import { isCursorWrite, isIntent, isUsersPart } from '../support/between.ts'
import { essenceOf } from '../support/essence.ts'
import { dump, freshDatabase } from '../support/ledger.ts'
import { openRunId } from '../support/logs.ts'
import { timeForPages } from '../support/stops.ts'
import type { Fate, RoundTrip } from './proxy.ts'
import { buildScenario } from './scenario.ts'
import {
  countIntents,
  gate,
  type Gate,
  resumeUntilClosed,
  isCommitOfApply,
  isOutcome,
  isWrite,
  openPlace,
  type Place,
} from './stall.ts'

/**
 * A holder stalls at one step of its first page, its lease expires, others finish the run, and then it wakes.
 * Real connections: what stalls is a message on its way to PostgreSQL or a request to S3, and once the whole
 * process.
 */
vi.setConfig({ testTimeout: 300_000 })

const EVENT = { execute: true, batchSize: 4, concurrency: 1 }

let s3: S3Server
let template: string
let undisturbed: unknown
const drops: (() => Promise<void>)[] = []

beforeAll(async () => {
  s3 = await startS3()
  const made = await freshDatabase()
  await buildScenario(made.sql)
  await auditJob(made.sql)
  await slowCommits(made.sql)
  await made.sql.end()
  template = new URL(made.url).pathname.slice(1)
  const place = await placeWith(() => Promise.resolve())
  const card = await place.direct(EVENT)
  undisturbed = await essenceOf(place.sql, place.bucket, card.runId)
})
afterAll(async () => {
  for (const drop of drops.toReversed()) await drop()
  await s3.stop()
})

/**
 * While `slow.on` holds a row, a transaction of the job that inserted one stays in its COMMIT, at most for
 * its statement timeout.
 */
async function slowCommits(sql: Place['sql']): Promise<void> {
  await sql.unsafe(`
    CREATE SCHEMA slow;
    CREATE TABLE slow.on (yes boolean);
    CREATE FUNCTION slow.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      WHILE EXISTS (SELECT FROM slow.on) LOOP PERFORM pg_sleep(0.01); END LOOP;
      RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON credit_transactions DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW WHEN (current_setting('application_name') = 'credit-expiry') EXECUTE FUNCTION slow.wait();
  `)
}

async function placeWith(hold: (trip: RoundTrip) => Promise<void>): Promise<Place> {
  const place = await openPlace(template, s3, async (trip): Promise<Fate> => {
    await hold(trip)
    return 'pass'
  })
  drops.push(async () => place.drop())
  return place
}

/**
 * One winner per user, nothing twice, nothing lost: as undisturbed, and the log is what the database noted.
 */
async function expectAsUndisturbed(place: Place, { runId }: Pick<ExitCard, 'runId'>): Promise<void> {
  expect(await essenceOf(place.sql, place.bucket, runId)).toEqual(undisturbed)
  const { database, logs } = await auditAndLogs(place.sql, place.bucket, [runId])
  expect(logs).toEqual(database)
}

function holdRequests(
  place: Place,
  held: Gate,
  which: (request: S3Request) => boolean,
  when: 'before' | 'after',
): void {
  s3.setHooks(place.bucket.bucket, {
    [when]: async (request: S3Request) => (which(request) ? held.hold() : undefined),
  })
}

/** The write of the cursor that names the first page, which comes after the page's parts. */
function firstNaming(): (request: S3Request) => boolean {
  let isStored = false
  return (request) => {
    isStored ||= isUsersPart(request)
    return isStored && isCursorWrite(request)
  }
}

/** Steps at which no other writer has to wait: no user is locked. */
const unlocked: [string, (place: Place, held: Gate) => void][] = [
  ['with its intent written', (place, held) => holdRequests(place, held, isIntent, 'after')],
  ['with its intent on its way', (place, held) => holdRequests(place, held, isIntent, 'before')],
  ['committed, before its outcome', (place, held) => holdRequests(place, held, isOutcome, 'before')],
  [
    'with its outcome stored, before its cursor',
    (place, held) => holdRequests(place, held, firstNaming(), 'before'),
  ],
  [
    'with its cursor written, before it heard of it',
    (place, held) => holdRequests(place, held, firstNaming(), 'after'),
  ],
  [
    'while it stores its last card',
    (place, held) =>
      holdRequests(
        place,
        held,
        ({ method, key }) => method === 'PUT' && key.endsWith('summary.json'),
        'before',
      ),
  ],
]

test.concurrent.each(unlocked)(
  'a holder that stalls %s: the others finish, and it writes nothing when it wakes',
  async (_where, stall) => {
    const held = gate()
    const place = await placeWith(() => Promise.resolve())
    stall(place, held)
    const first = place.disturbed(EVENT)
    await held.reached
    const card = await resumeUntilClosed(place)
    await expectAsUndisturbed(place, card)
    const before = { ledger: await dump(place.sql), keys: await keys(place.bucket, 'logs/') }

    held.open()
    expect(await first).toMatchObject({ status: 'busy' })
    expect({ ledger: await dump(place.sql), keys: await keys(place.bucket, 'logs/') }).toEqual(before)
    await expectAsUndisturbed(place, card)
  },
)

/**
 * Steps with users locked: who comes next can only wait, until the stalled transaction has come to its end.
 */
const locked: [string, (trip: RoundTrip) => boolean][] = [
  ['with its users locked', isWrite],
  ['before its COMMIT, after the check', isCommitOfApply],
]

test.concurrent.each(locked)(
  'a holder that stalls %s: the server ends its transaction, the others finish, it writes nothing ' +
    'when it wakes',
  async (_where, which) => {
    const held = gate()
    const place = await placeWith(async (trip) => (which(trip) ? held.hold() : undefined))
    const first = place.disturbed(EVENT)
    await held.reached
    await expectOthersToWait(place)

    await place.endDisturbed()
    const card = await resumeUntilClosed(place)
    await expectAsUndisturbed(place, card)
    held.open()
    expect(await first).toMatchObject({ status: 'busy' })
    await expectAsUndisturbed(place, card)
  },
)

test.concurrent.each(locked)('a holder that stalls %s and wakes while others wait', async (_where, which) => {
  const held = gate()
  const place = await placeWith(async (trip) => (which(trip) ? held.hold() : undefined))
  const first = place.disturbed(EVENT)
  await held.reached
  await expectOthersToWait(place)

  held.open()
  expect(await first).toMatchObject({ status: 'busy' })
  await expectAsUndisturbed(place, await resumeUntilClosed(place))
})

test.concurrent('a holder whose COMMIT is in flight: it lands late, and is found', async () => {
  const place = await placeWith(() => Promise.resolve())
  await place.sql`INSERT INTO slow.on VALUES (true)`
  const first = place.disturbed(EVENT)
  await untilInCommit(place)
  await expectOthersToWait(place)

  await place.sql`DELETE FROM slow.on`
  expect(await first).toMatchObject({ status: 'busy' })
  const card = await resumeUntilClosed(place)
  await expectAsUndisturbed(place, card)
})

async function untilInCommit({ sql }: Place): Promise<void> {
  for (let seen = false; !seen; await pause(10)) {
    const rows =
      await sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'credit-expiry' AND wait_event = 'PgSleep'`
    seen = rows.length > 0
  }
}

/**
 * It is not known yet whether the first one's users are committed: they are neither failed nor planned again.
 */
async function expectOthersToWait(place: Place): Promise<void> {
  const runId = await openRunId(place.bucket)
  await place.later()
  const intents = await countIntents(place, runId)
  const second = await place.direct({ resume: runId })
  expect(second).toMatchObject({
    status: 'incomplete',
    why: expect.stringContaining('locked'),
    totals: { usersFailed: 0, usersProcessed: 0 },
  })
  expect(await countIntents(place, runId)).toBe(intents)
  expect(await readJson(place.bucket, `runs/${runId}/cursor.json`)).toMatchObject({
    lease: { epoch: 2 },
    pages: [],
  })
}

test.concurrent('a holder that wakes while another one stores the last card: its own card does not get in the way', async () => {
  const held = gate()
  const place = await placeWith(() => Promise.resolve())
  const isCard = ({ method, key }: S3Request) => method === 'PUT' && key.endsWith('summary.json')
  let cards = 0
  s3.setHooks(place.bucket.bucket, {
    before: async (request) => {
      if (!isCard(request)) return
      if (++cards === 1) return held.hold()
      // The second holder has seen that there is no card; now the first one's comes in between.
      if (cards === 2) {
        held.open()
        await first
      }
    },
  })
  // It runs out of time, and leaves the run incomplete.
  const { timeLeft, host } = timeForPages(1)
  const first = place.disturbed(EVENT, timeLeft, host)
  await held.reached
  await place.later()
  const card = await place.direct({ resume: await openRunId(place.bucket) })
  expect(await first).toMatchObject({ status: 'busy' })
  expect(await readJson(place.bucket, `runs/${card.runId}/summary.json`)).toEqual(card)
  await expectAsUndisturbed(place, card)
})

test.concurrent('a process that is stopped whole, and continues after the others have finished', async () => {
  const place = await placeWith(() => Promise.resolve())
  const { endpoint, bucket } = place.bucket
  const script = fileURLToPath(new URL('child.ts', import.meta.url))
  const stopped = Promise.withResolvers<void>()
  s3.setHooks(bucket, {
    after: (request) => {
      if (!isIntent(request) || child.killed) return
      child.kill('SIGSTOP')
      stopped.resolve()
    },
  })
  const child = spawn(
    process.execPath,
    [script, JSON.stringify({ databaseUrl: place.url, endpoint, bucket, env: {} }), JSON.stringify(EVENT)],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  )
  const said = text(child.stdout)
  await stopped.promise
  s3.setHooks(bucket, undefined)
  const card = await resumeUntilClosed(place)
  child.kill('SIGCONT')
  expect(JSON.parse(await said)).toMatchObject({ status: 'busy', runId: card.runId })
  await expectAsUndisturbed(place, card)
})

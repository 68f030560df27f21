import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import * as fc from 'fast-check'
import { startS3, type S3Server } from '../../../bin/sandbox/s3.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { auditRun } from '../../support/audit-run.ts'
import { betweenReadAndWrite } from '../../support/between.ts'
import { freshBucket, keys, readText, type TestBucket } from '../../support/bucket.ts'
import { setClock, stopClock } from '../../support/clock.ts'
import { essenceOf } from '../../support/essence.ts'
import { invokeJob } from '../../support/job.ts'
import { dump, freshDatabase } from '../../support/ledger.ts'
import { readDocument, readLogs } from '../../support/logs.ts'
import { insertLedgers, LEDGERS_INSTANT } from '../../support/population.ts'
import { ledgers } from '../../rules/ledgers.ts'

/** RUN_SEED=… shows a failure again. */
const SEED = Number(process.env.RUN_SEED ?? Math.floor(Math.random() * 2 ** 31))
const USERS = 40
const EVENT = { execute: true, batchSize: 2, concurrency: 1 }
/** A test here is dozens of invocations. */
vi.setConfig({ testTimeout: 240_000 })

type Place = { database: Awaited<ReturnType<typeof freshDatabase>>; bucket: TestBucket }

let s3: S3Server
let template: string
const drops: (() => Promise<void>)[] = []
let single: unknown
let singleCard: ExitCard

beforeAll(async () => {
  s3 = await startS3()
  const made = await freshDatabase()
  await insertLedgers(made.sql, fc.sample(ledgers, { seed: SEED, numRuns: USERS }), { takenLinks: true })
  await made.sql.end()
  template = new URL(made.url).pathname.slice(1)
  drops.push(made.drop)
  const place = await freshPlace()
  singleCard = await invoke(place, EVENT)
  single = await essenceOf(place.database.sql, place.bucket, singleCard.runId)
}, 60_000)
afterAll(async () => {
  for (const drop of drops.toReversed()) await drop()
  await s3.stop()
})
beforeEach(() => {
  process.stderr.write(`RUN_SEED=${SEED}\n`)
})

/** A copy of the ledger, whose clock stands at the ledgers' instant, and an empty bucket. */
async function freshPlace(): Promise<Place> {
  const database = await freshDatabase(template)
  drops.push(database.drop)
  await stopClock(database.sql, LEDGERS_INSTANT)
  return { database, bucket: await freshBucket(s3.endpoint) }
}

async function invoke(
  { database, bucket }: Place,
  event: unknown,
  timeLeft?: () => number,
): Promise<ExitCard> {
  return invokeJob({ databaseUrl: database.url, bucket }, event, timeLeft && { timeLeft })
}

/** An invocation whose time ends once it has sent so many requests to S3, wherever it is then. */
async function stoppedAfter(place: Place, requests: number): Promise<ExitCard> {
  let isOver = false
  s3.setHooks(place.bucket.bucket, { before: ({ number }) => void (isOver ||= number >= requests) })
  const card = await invoke(place, EVENT, () => (isOver ? 0 : 900_000))
  s3.setHooks(place.bucket.bucket, undefined)
  return card
}

function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

test('a single invocation does it all', () => {
  expect(singleCard).toMatchObject({
    status: 'complete',
    progress: { usersDone: USERS, usersTotal: USERS, percent: 100, etaSeconds: 0 },
  })
})

test.each([0, 1])(
  'ten invocations and more that stop at random points come to the same as a single one (%i)',
  async (nth) => {
    const place = await freshPlace()
    const dice = random(SEED + nth)
    let invocations = 1
    let done = -1
    const next = (): Promise<ExitCard> => stoppedAfter(place, 8 + Math.floor(dice() * 16))
    let card = await next()
    for (; card.status === 'incomplete' && invocations < 300; invocations++) {
      expect(card).toMatchObject({ next: { payload: { resume: card.runId } } })
      expect(card.progress.usersDone).toBeGreaterThanOrEqual(done)
      done = card.progress.usersDone
      expect(await readDocument(place.bucket, `runs/${card.runId}/cursor.json`)).toMatchObject({
        lease: null,
        state: 'open',
        usersDone: done,
      })
      card = await next()
    }
    expect(invocations).toBeGreaterThanOrEqual(10)
    expect(card.status).toBe('complete')
    await auditRun(place.bucket, card.runId, place.database.sql)
    expect(await essenceOf(place.database.sql, place.bucket, card.runId)).toEqual(single)
    expect(await keys(place.bucket, 'logs/runs/')).toEqual([`logs/runs/${card.runId}.jsonl`])
  },
)

test.each([3, 16])('%i pages in flight come to the same as one', async (concurrency) => {
  const place = await freshPlace()
  const card = await invoke(place, { ...EVENT, concurrency })
  expect(await essenceOf(place.database.sql, place.bucket, card.runId)).toEqual(single)
})

test('a page for all comes to the same users, rows and lines', async () => {
  const place = await freshPlace()
  const card = await invoke(place, { execute: true })
  expect(card.status).toBe('complete')
  expect(await essenceOf(place.database.sql, place.bucket, card.runId)).toMatchObject({
    users: (single as { users: unknown }).users,
  })
})

test('a second invocation at the same time is busy, has done nothing, and stored nothing', async () => {
  const place = await freshPlace()
  const seconds: ExitCard[] = []
  let unchanged = false
  betweenReadAndWrite(s3, place.bucket, async (nth) => {
    if (nth !== 3) return
    const stored = async () => ({
      keys: await keys(place.bucket),
      cursor: await readText(
        place.bucket,
        (await keys(place.bucket, 'runs/')).find((key) => key.endsWith('cursor.json')) ?? '',
      ),
    })
    const before = { stored: await stored(), ledger: await dump(place.database.sql) }
    seconds.push(await invoke(place, EVENT))
    seconds.push(await invoke(place, { resume: seconds[0]?.runId }))
    const after = { stored: await stored(), ledger: await dump(place.database.sql) }
    expect(after).toEqual(before)
    unchanged = true
  })
  const first = await invoke(place, EVENT)
  s3.setHooks(place.bucket.bucket, undefined)
  expect(unchanged).toBe(true)
  expect(seconds).toMatchObject([
    { runId: first.runId, status: 'busy', why: expect.stringContaining('expires at') },
    { runId: first.runId, status: 'busy', next: { payload: { resume: first.runId } } },
  ])
  expect(first.status).toBe('complete')
  expect(await essenceOf(place.database.sql, place.bucket, first.runId)).toEqual(single)
})

test('two that begin at the same moment: one run, and the other is busy', async () => {
  const place = await freshPlace()
  const cards = await Promise.all([invoke(place, EVENT), invoke(place, EVENT)])
  // Unless one was done before the other looked, which then finds nothing to do.
  const done = cards
    .filter(({ status }) => status === 'complete')
    .toSorted((a, b) => b.totals.usersProcessed - a.totals.usersProcessed)
  const busy = cards.filter(({ status }) => status === 'busy')
  expect(done.length + busy.length).toBe(2)
  for (const { runId } of busy) expect(runId).toBe(done[0]?.runId)
  expect(done[1]?.totals.usersProcessed ?? 0).toBe(0)
  const [card] = done
  expect(await essenceOf(place.database.sql, place.bucket, card?.runId ?? '')).toMatchObject({
    users: (single as { users: unknown }).users,
  })
})

test('the same again, once complete, finds nothing: no row changes, and no correction is ever expired', async () => {
  const place = await freshPlace()
  const first = await invoke(place, EVENT)
  expect(first.totals.usersCorrected).toBeGreaterThan(0)
  const after = await dump(place.database.sql)
  const recent = (await readLogs(place.bucket, first.runId)).users
    .filter(({ outcome }) => outcome === 'too_recent')
    .map((line) => line.user_id)

  const again = await invoke(place, EVENT)
  expect(again).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: 0, expiredMicrodollars: 0, correctedMicrodollars: 0 },
  })
  expect(again.runId).not.toBe(first.runId)
  expect(await dump(place.database.sql)).toEqual(after)
  expect((await readLogs(place.bucket, again.runId)).mutations).toEqual([])

  // Whoever was too recent is taken by the next run, and nobody else.
  await setClock(place.database.sql, '2026-11-23T00:00:00.000Z')
  const tomorrow = await invoke(place, EVENT)
  const taken = (await readLogs(place.bucket, tomorrow.runId)).mutations.map((line) => line.user_id)
  expect(taken.filter((id) => !recent.includes(id))).toEqual([])
  const final = await dump(place.database.sql)
  await setClock(place.database.sql, '2036-11-22T06:12:30.123Z')
  expect(await invoke(place, EVENT)).toMatchObject({ status: 'complete', totals: { usersProcessed: 0 } })
  expect(await dump(place.database.sql)).toEqual(final)

  const made = new Set(
    (await readLogs(place.bucket, first.runId)).mutations
      .filter(({ type }) => type === 'accounting_adjustment_insert')
      .map((line) => line.row_id),
  )
  const corrections = after.transactions.filter(({ id }) => made.has(id))
  const links = new Set(final.transactions.map((row) => row.original_transaction_id))
  expect(final.transactions).toEqual(expect.arrayContaining(corrections))
  expect(corrections.filter(({ id }) => links.has(id))).toEqual([])
  expect(corrections).toHaveLength(first.totals.usersCorrected)
})

test('resuming a closed run returns its card, and changes nothing', async () => {
  const place = await freshPlace()
  const card = await invoke(place, EVENT)
  const before = { ledger: await dump(place.database.sql), keys: await keys(place.bucket) }
  expect(await invoke(place, { resume: card.runId })).toEqual(card)
  expect(await readDocument(place.bucket, `runs/${card.runId}/summary.json`)).toEqual(card)
  expect({ ledger: await dump(place.database.sql), keys: await keys(place.bucket) }).toEqual(before)
})

test('while a run is open another payload is refused, with what resolves it; a dry run is not', async () => {
  const place = await freshPlace()
  const open = await stoppedAfter(place, 60)
  expect(open.status).toBe('incomplete')
  const before = await keys(place.bucket)
  for (const other of [
    { execute: true, userIds: ['user-001'] },
    { execute: true, domains: ['kilo.ai'] },
  ]) {
    const refused = await invoke(place, other).then(
      () => null,
      (error: unknown) => error,
    )
    expect(refused).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining(`{"resume": "${open.runId}"}`),
    })
  }
  expect(await keys(place.bucket)).toEqual(before)
  expect(await invoke(place, {})).toMatchObject({ status: 'complete', mode: 'dry-run' })
  // Other fields do not make it another payload.
  const rest = await invoke(place, {
    execute: true,
    batchSize: 500,
    concurrency: 16,
    reason: 'go on',
    domains: ['kilocode.ai', 'kilo.ai'],
  })
  expect(rest).toMatchObject({ runId: open.runId, status: 'complete' })
  expect(await essenceOf(place.database.sql, place.bucket, open.runId)).toEqual(single)
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ExitCard } from '../lambda/exit-card.ts'
import { freshBucket, keys, putText, readJson, readText, type TestBucket } from './support/bucket.ts'
import { failureOf, invokeJob } from './support/job.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from './support/ledger.ts'

/**
 * ALLOW_WRITES=false through the handler, on a login that could write everything: only the handler itself
 * keeps these payloads from writing. An open writing run, a closed one and a plan are there to be acted on.
 */

const { url, sql, drop } = await freshDatabase()
let bucket: TestBucket
let closed: ExitCard
let open: ExitCard
let plan: ExitCard

const job = (event: unknown, timeLeft?: () => number): Promise<ExitCard> =>
  invokeJob(
    { databaseUrl: url, bucket },
    event,
    timeLeft && { timeLeft, host: { onPage: () => (left = 6_000) } },
  )
const preview = (event: unknown): Promise<ExitCard> =>
  invokeJob({ databaseUrl: url, bucket, env: { ALLOW_WRITES: 'false' } }, event)

beforeAll(async () => {
  bucket = await freshBucket()
  for (const id of ['ada', 'bob', 'cid', 'dan']) {
    await insertUser(sql, { id, total_microdollars_acquired: 10_000_000, microdollars_used: 4_000_000 })
    await insertTransaction(sql, { kilo_user_id: id })
  }
  plan = await job({})
  closed = await job({ execute: true, userIds: ['ada'] })
  open = await job({ execute: true, exceptUserIds: ['ada'], batchSize: 1, concurrency: 1 }, () => left)
  const statuses = [plan.status, closed.status, open.status].join(', ')
  if (statuses !== 'complete, complete, incomplete') throw new Error(`The runs ended as ${statuses}.`)
})
afterAll(drop)

/** Time for one page. */
let left = 60_000

/**
 * Everything that the preview function must not change: the ledger, control/, and what belongs to writing
 * runs.
 */
async function guarded(): Promise<object> {
  const own = (key: string) => /-dry-run-/.test(key) || key.startsWith('control/requests/dry-run/')
  const objects: Record<string, string> = {}
  for (const key of (await keys(bucket)).filter((name) => !own(name)))
    objects[key] = await readText(bucket, key)
  return { ledger: await dump(sql), objects }
}

const envelope = (detail: unknown) => ({ source: 'aws.scheduler', 'detail-type': 'Scheduled Event', detail })

const writing: [string, () => unknown][] = [
  ['execute', () => ({ execute: true })],
  ['execute with a plan', () => ({ execute: true, plan: plan.runId })],
  ['execute of what the open run does', () => ({ execute: true, exceptUserIds: ['ada'], batchSize: 1 })],
  ['restart', () => ({ execute: true, restart: open.runId })],
  ['resume of a writing run', () => ({ resume: open.runId })],
  ['resume of the latest run', () => ({ resume: 'latest' })],
  ['resume of a closed writing run', () => ({ resume: closed.runId })],
  ['cancel of a writing run', () => ({ cancel: open.runId })],
  ['cancel of the latest run', () => ({ cancel: 'latest' })],
  ['abandon', () => ({ abandon: open.runId, reason: 'a test' })],
  ['hold', () => ({ hold: 'a test' })],
  ['release', () => ({ release: 'a test' })],
  ['rollback', () => ({ rollback: closed.runId, execute: true })],
  ['rollback of the latest run', () => ({ rollback: 'latest', execute: true })],
  [
    'rollback under a hold',
    () => ({ rollback: closed.runId, execute: true, underHold: true, reason: 'a test' }),
  ],
]

const hidden: [string, (payload: unknown) => unknown][] = [
  ['plain', (payload) => payload],
  ['in an EventBridge envelope', envelope],
  ['in an envelope, as JSON text', (payload) => envelope(JSON.stringify(payload))],
]

describe.each(hidden)('%s', (_how, wrap) => {
  test.each(writing)('%s is refused, and changes nothing', async (_what, payload) => {
    const before = await guarded()
    expect(await failureOf(preview(wrap(payload())))).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining(
        'This function only previews (ALLOW_WRITES=false). Nothing was done.',
      ) as string,
    })
    expect(await guarded()).toEqual(before)
  })
})

test.each<[string, () => unknown]>([
  ['a prototype that says execute', () => JSON.parse('{"__proto__": {"execute": true}}')],
  ['a constructor that says execute', () => JSON.parse('{"constructor": {"prototype": {"execute": true}}}')],
  ['an inherited execute', () => Object.create({ execute: true })],
  ['an inherited resume', () => Object.create({ resume: open.runId })],
  ['a prototype in an envelope', () => envelope('{"__proto__": {"execute": true}}')],
  ['execute beside detail', () => ({ ...envelope({}), execute: true })],
  ['an envelope in an envelope', () => envelope(envelope({ execute: true }))],
  ['another spelling of the switch', () => ({ ALLOW_WRITES: 'true', allowWrites: true, execute: true })],
  ['execute as text', () => ({ execute: 'true' })],
  ['two leading fields', () => ({ status: open.runId, cancel: open.runId })],
  ['a dry run that restarts', () => ({ restart: open.runId })],
  ['a list', () => [{ execute: true }]],
  ['a run id with a path', () => ({ resume: `../control/2026-dry-run-` })],
  ['a run id that only looks like a dry run', () => ({ resume: `${open.runId}-dry-run-aaaa` })],
])('%s changes nothing', async (_what, payload) => {
  const before = await guarded()
  const answered = await preview(payload()).catch((error: unknown) => error)
  const said = answered instanceof Error ? answered.name : (answered as ExitCard).mode
  expect(['InvalidEvent', 'RunRefused', 'dry-run']).toContain(said)
  expect(await guarded()).toEqual(before)
})

test('a dry run, also resumed and cancelled, a rollback preview and status work, and change nothing of the writing runs', async () => {
  const before = await guarded()
  const dry = await preview({ requestKey: 'a-key' })
  expect(dry).toMatchObject({ mode: 'dry-run', status: 'complete' })
  expect(await preview({ requestKey: 'a-key' })).toMatchObject({ runId: dry.runId })
  expect(await preview({ resume: dry.runId })).toMatchObject({ runId: dry.runId, status: 'complete' })
  expect(await preview({ cancel: dry.runId })).toMatchObject({ runId: dry.runId, status: 'complete' })
  expect(await preview({ rollback: closed.runId })).toMatchObject({
    mode: 'rollback-dry-run',
    status: 'complete',
    totals: { usersProcessed: 1 },
  })
  expect(await preview({ status: open.runId })).toMatchObject({ runId: open.runId, status: 'incomplete' })
  expect(await preview({ status: 'latest' })).toMatchObject({ runId: open.runId })
  expect(await preview({ status: closed.runId })).toMatchObject({ runId: closed.runId, status: 'complete' })
  expect(await guarded()).toEqual(before)
})

test('history is answered, by id and by e-mail address, and changes nothing', async () => {
  const before = await guarded()
  for (const user of ['ada', 'ada@kilo.ai']) {
    expect(await preview({ history: user })).toMatchObject({
      answer: 'history',
      result: {
        user: { id: 'ada', email: 'ada@kilo.ai' },
        runs: [
          { runId: closed.runId, outcome: 'expired', status: 'complete' },
          { runId: open.runId, outcome: 'excluded', status: 'open' },
        ],
      },
      runsNotRead: 0,
    })
  }
  expect(await guarded()).toEqual(before)
})

test('a writer.json that still names a closed run is left for the job function to free', async () => {
  const { runId } = await job({ resume: open.runId })
  const writer = (await readJson(bucket, 'control/writer.json')) as object
  await putText(bucket, 'control/writer.json', JSON.stringify({ ...writer, runId }))
  const before = await guarded()
  await preview({})
  await preview({ status: 'latest' })
  await preview({ rollback: closed.runId })
  expect(await guarded()).toEqual(before)
  expect(await job({ execute: true, userIds: ['ada'] })).toMatchObject({ status: 'complete' })
})

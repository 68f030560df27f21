import { setTimeout as pause } from 'node:timers/promises'
import type { Sql } from 'postgres'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { startS3 } from '../../../bin/sandbox/s3.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { freshBucket, keys, readLines, type TestBucket } from '../../support/bucket.ts'
import { type InvocationOptions, invokeJob, type JobPlace } from '../../support/job.ts'
import { freshDatabase, insertTransaction, insertUser } from '../../support/ledger.ts'
import { execute, lambdaError } from './workflow-run.ts'

/** The synthesized state machine with the real handler, a real PostgreSQL and the S3 server. */

const { url, sql, drop } = await freshDatabase()
afterAll(drop)
let bucket: TestBucket
let place: JobPlace

beforeEach(async () => {
  await sql`DROP TRIGGER IF EXISTS poison ON kilocode_users`
  await sql`DELETE FROM credit_transactions`
  await sql`DELETE FROM kilocode_users`
  bucket = await freshBucket()
  place = { databaseUrl: url, bucket }
  for (const id of ['ada', 'bob', 'cid', 'dan', 'eve']) {
    await insertUser(sql, { id, total_microdollars_acquired: 10_000_000, microdollars_used: 4_000_000 })
    await insertTransaction(sql, { kilo_user_id: id })
  }
})

/** The real handler as Lambda would call it: an error comes back as its name, with JSON for a cause. */
function realJob(
  options: (turn: number) => InvocationOptions = () => ({}),
  where: () => JobPlace = () => place,
): (payload: unknown) => Promise<unknown> {
  let turn = 0
  return async (payload) => {
    try {
      return await invokeJob(where(), payload, options(++turn))
    } catch (error) {
      if (!(error instanceof Error)) throw error
      throw lambdaError(
        error.name,
        JSON.stringify({ errorType: error.name, errorMessage: error.message, trace: [] }),
      )
    }
  }
}

/** Time for one page: what is left after it is just enough to stop in good order. */
function oneTurnsTime(): InvocationOptions {
  let left = 60_000
  const onPage = () => {
    left = 6_000
  }
  return { timeLeft: () => left, host: { onPage } }
}

async function balances(ledger: Sql): Promise<Record<string, number>> {
  const rows = await ledger<{ id: string; balance: string }[]>`
    SELECT id, total_microdollars_acquired - microdollars_used AS balance FROM kilocode_users ORDER BY id`
  return Object.fromEntries(rows.map(({ id, balance }) => [id, Number(balance)]))
}

async function poison(user: string): Promise<void> {
  await sql.unsafe(`
    CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poison' USING ERRCODE = '22000'; END $$;
    CREATE TRIGGER poison BEFORE UPDATE ON kilocode_users FOR EACH ROW WHEN (OLD.id = '${user}') EXECUTE FUNCTION refuse()`)
}

const NOBODY_HAS_ANY = { ada: 0, bob: 0, cid: 0, dan: 0, eve: 0 }
const runsIn = async () => new Set((await keys(bucket, 'runs/')).map((key) => key.split('/')[1]))

test('success over several turns of the loop: one run, and one notice with totals, logs and what comes next', async () => {
  const ended = await execute({ execute: true, batchSize: 1, concurrency: 1 }, realJob(oneTurnsTime))
  const card = ended.output as ExitCard
  expect(ended.failure).toBeNull()
  expect(ended.payloads).toHaveLength(6)
  expect(ended.payloads.slice(1)).toEqual(ended.payloads.slice(1).map(() => ({ resume: card.runId })))
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 5, expired: '$30.00' } })
  expect(await balances(sql)).toEqual(NOBODY_HAS_ANY)
  expect(await runsIn()).toEqual(new Set([card.runId]))
  expect(ended.notices).toHaveLength(1)
  expect(ended.notices[0]?.Subject).toBe('Credit expiry: execute complete')
  for (const part of [
    card.runId,
    '5 processed',
    'Expired: $30.00',
    `Asked by: ${card.asked.by} (${card.asked.via})`,
    `Software version: ${card.softwareVersion}`,
    card.logs.users,
    card.logs.mutations,
    `Next: ${JSON.stringify(card.next)}`,
  ]) {
    expect(ended.notices[0]?.Message).toContain(part)
  }
})

test('failed users: the others are done, and the execution ends as a failure that says how many', async () => {
  await poison('cid')
  const ended = await execute({ execute: true }, realJob())
  expect(ended.failure).toEqual({
    error: 'complete_with_errors',
    cause: expect.stringContaining('1 user failed') as string,
  })
  expect(ended.notices).toMatchObject([
    {
      Subject: 'Credit expiry: execute complete_with_errors',
      Message: expect.stringContaining('1 failed') as string,
    },
  ])
  expect(await balances(sql)).toEqual({ ...NOBODY_HAS_ANY, cid: 6_000_000 })
})

test('a service error, then out of memory: tried again, with success', async () => {
  const failures = [
    lambdaError('Lambda.ServiceException', 'try later'),
    lambdaError('Lambda.Unknown', 'out of memory'),
  ]
  const job = realJob()
  const ended = await execute({ execute: true }, async (payload) => {
    const failure = failures.shift()
    if (failure) throw failure
    return job(payload)
  })
  expect(ended.payloads).toHaveLength(3)
  expect(ended.failure).toBeNull()
  expect(ended.notices).toMatchObject([{ Subject: 'Credit expiry: execute complete' }])
  expect(await balances(sql)).toEqual(NOBODY_HAS_ANY)
})

test('an answer that is lost after the run was closed: the same card comes back, and no second run is opened', async () => {
  const job = realJob()
  let lost = false
  const ended = await execute({ execute: true }, async (payload) => {
    const card = await job(payload)
    if (lost) return card
    lost = true
    throw lambdaError('Lambda.Unknown', 'the connection went')
  })
  expect(ended.payloads).toHaveLength(2)
  expect(ended.output).toMatchObject({ status: 'complete', totals: { expired: '$30.00' } })
  expect((await runsIn()).size).toBe(1)
})

test('busy: waits until the other invocation is done, and publishes the card of the one run', async () => {
  const s3 = await startS3()
  bucket = await freshBucket(s3.endpoint)
  place = { databaseUrl: url, bucket }
  const released = Promise.withResolvers<void>()
  s3.setHooks(bucket.bucket, {
    before: ({ key }) => (key.startsWith('intents/') ? released.promise : undefined),
  })
  const direct = invokeJob(place, { execute: true })
  while ((await keys(bucket, 'control/writer.json')).length === 0) await pause(20)
  const cards: ExitCard[] = []
  const job = realJob()
  const ended = await execute({ execute: true }, async (payload) => {
    const card = (await job(payload)) as ExitCard
    cards.push(card)
    if (cards.length === 2) released.resolve()
    return card
  })
  expect(cards.slice(0, 2).map(({ status }) => status)).toEqual(['busy', 'busy'])
  expect(ended.failure).toBeNull()
  expect(ended.output).toEqual(await direct)
  expect((await runsIn()).size).toBe(1)
  expect(await balances(sql)).toEqual(NOBODY_HAS_ANY)
  await s3.stop()
})

test('refused: not tried again, nothing written, and the notice says why', async () => {
  const ended = await execute({ execute: true, limits: { users: 2 } }, realJob())
  expect(ended.payloads).toHaveLength(1)
  expect(ended.failure).toEqual({
    error: 'RunRefused',
    cause: expect.stringContaining('5 users match; the limit is 2') as string,
  })
  expect(ended.notices).toMatchObject([
    {
      Subject: 'Credit expiry: RunRefused',
      Message: expect.stringContaining('5 users match; the limit is 2') as string,
    },
  ])
  expect((await balances(sql))['ada']).toBe(6_000_000)
})

test('a scheduled plan above the limit in dollars, by face value: a person is asked, and nothing is written', async () => {
  const { runId: plan } = await invokeJob(place, {})
  await invokeJob(place, { execute: true, plan })
  const [acquired, used] = [30_000_000_000, 29_999_000_000]
  await insertUser(sql, { id: 'fay', total_microdollars_acquired: acquired, microdollars_used: used })
  await insertTransaction(sql, { kilo_user_id: 'fay', amount_microdollars: acquired })
  const ended = await execute({ scheduledExecute: { requestKey: 'monthly-1' } }, realJob())
  expect(ended.failure).toBeNull()
  expect(ended.invoked).toEqual(['preview'])
  expect(ended.notices.map(({ Subject }) => Subject)).toEqual(['Credit expiry: needs approval'])
  expect(ended.output).toMatchObject({
    sinceExecuted: { runId: plan, users: 1, expired: '$1.00' },
    totals: { matchedFaceValueMicrodollars: acquired, matchedFaceValue: '$30,000.00', expired: '$1.00' },
  })
  expect(await balances(sql)).toEqual({ ...NOBODY_HAS_ANY, fay: 1_000_000 })
})

test('an event that cannot be read: not tried again, and the notice shows a right one', async () => {
  const ended = await execute({ excute: true }, realJob())
  expect(ended.payloads).toHaveLength(1)
  expect(ended.failure?.error).toBe('InvalidEvent')
  expect(ended.notices[0]?.Message).toContain('did you mean "execute"?')
})

test('a status in an EventBridge envelope shows the open run, and leaves it as it is', async () => {
  const opened = await invokeJob(place, { execute: true, batchSize: 1, concurrency: 1 }, oneTurnsTime())
  const before = await balances(sql)
  for (const detail of [{ status: 'latest' }, '{"status": "latest"}']) {
    const ended = await execute({ source: 'app', 'detail-type': 'ask', detail }, realJob())
    expect(ended.failure).toBeNull()
    expect(ended.output).toMatchObject({ runId: opened.runId, status: 'incomplete' })
    expect(ended.invoked).toEqual(['preview'])
  }
  expect(await balances(sql)).toEqual(before)
  expect(Object.values(before).filter((balance) => balance > 0)).toHaveLength(4)
})

test('cancelled: the open run is closed, and the execution ends well, since that was asked for', async () => {
  const { runId, status } = await invokeJob(
    place,
    { execute: true, batchSize: 1, concurrency: 1 },
    oneTurnsTime(),
  )
  expect(status).toBe('incomplete')
  const ended = await execute({ cancel: runId }, realJob())
  expect(ended.failure).toBeNull()
  expect(ended.output).toMatchObject({ runId, status: 'cancelled' })
  expect(ended.notices).toMatchObject([
    { Subject: 'Credit expiry: execute cancelled', Message: expect.stringContaining(runId) as string },
  ])
  expect(new Set(Object.values(await balances(sql)))).toEqual(new Set([0, 6_000_000]))
})

test('stopped by the error threshold: ends as a failure with the reason, and the logs hold what was done', async () => {
  await poison('ada')
  const strict = () => ({ ...place, env: { MAX_FAILED_USERS: '0', MAX_FAILED_PERCENT: '0' } })
  const ended = await execute(
    { execute: true, batchSize: 1, concurrency: 1 },
    realJob(() => ({}), strict),
  )
  expect(ended.failure).toEqual({
    error: 'stopped',
    cause: expect.stringContaining('MAX_FAILED_USERS') as string,
  })
  expect(ended.notices).toMatchObject([
    {
      Subject: 'Credit expiry: execute stopped',
      Message: expect.stringContaining('MAX_FAILED_USERS') as string,
    },
  ])
  const [run = ''] = [...(await runsIn())]
  expect(await readLines(bucket, `logs/errors/${run}/00000-0001.jsonl`)).toHaveLength(1)
})

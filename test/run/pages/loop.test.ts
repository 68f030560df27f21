import { beforeAll, expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import type { S3Request } from '../../../bin/sandbox/s3.ts'
import { auditRun } from '../../support/audit-run.ts'
import { isCursorWrite, isIntent, isUsersPart } from '../../support/between.ts'
import { keys } from '../../support/bucket.ts'
import { essenceOf } from '../../support/essence.ts'
import { invokeJob } from '../../support/job.ts'
import { insertTransaction, insertUser } from '../../support/ledger.ts'
import { readStoredCursor } from '../../support/logs.ts'
import { randomFrom } from '../../support/random.ts'
import { freshPlace, type Place, s3, SEED, useRandomLedgers } from '../../support/places/random-ledgers.ts'

const RANDOM_USERS = 15
/** The random ones, one without rows, and one at each end who has credit to expire: two pages have intents. */
const USERS = RANDOM_USERS + 3
const EVENT = { execute: true, batchSize: 2, concurrency: 1 }

let single: Awaited<ReturnType<typeof essenceOf>>
let singleCard: ExitCard

useRandomLedgers(RANDOM_USERS, async (sql) => {
  await insertUser(sql, { id: 'without-rows' })
  for (const id of ['a-first-one', 'z-last-one']) {
    await insertUser(sql, { id, total_microdollars_acquired: 10_000_000 })
    await insertTransaction(sql, { kilo_user_id: id })
  }
})
beforeAll(async () => {
  const place = await freshPlace()
  singleCard = await invoke(place, EVENT)
  single = await essenceOf(place.database.sql, place.bucket, singleCard.runId)
})

async function invoke({ database, bucket }: Place, event: unknown): Promise<ExitCard> {
  return invokeJob({ databaseUrl: database.url, bucket }, event)
}

/**
 * Where an invocation's time ends: while it waits for the answer to the nth of these requests. A resumed run
 * first empties a part of its predecessor and writes the lease into the cursor; the requests after that are a
 * page's.
 */
const STOPS: readonly [string, number, (request: S3Request) => boolean][] = [
  ['an intent', 2, isIntent],
  ["a page's log", 2, isUsersPart],
  ['the cursor', 3, isCursorWrite],
]

/** An invocation whose time ends at the nth request of a kind. */
async function stoppedAt(
  place: Place,
  isStop: (request: S3Request) => boolean,
  nth: number,
): Promise<ExitCard> {
  let seen = 0
  s3.setHooks(place.bucket.bucket, { before: (request) => void (seen += isStop(request) ? 1 : 0) })
  const card = await invokeJob({ databaseUrl: place.database.url, bucket: place.bucket }, EVENT, {
    timeLeft: () => (seen >= nth ? 0 : 900_000),
  })
  s3.setHooks(place.bucket.bucket, undefined)
  return card
}

/** Lets `next` stop invocations until one closes the run. Returns the cards of all. */
async function untilClosed(place: Place, next: () => Promise<ExitCard>): Promise<ExitCard[]> {
  const cards: ExitCard[] = []
  for (let card = await next(); card.status === 'incomplete'; card = await next()) {
    expect(card).toMatchObject({ next: { payload: { resume: card.runId } } })
    expect(card.progress.usersDone).toBeGreaterThanOrEqual(cards.at(-1)?.progress.usersDone ?? 0)
    expect(await readStoredCursor(place.bucket, card.runId)).toMatchObject({
      lease: null,
      state: 'open',
      usersDone: card.progress.usersDone,
    })
    if (cards.push(card) === 100) throw new Error('The run is still open after 100 invocations.')
  }
  return [...cards, await invoke(place, { resume: cards[0]?.runId })]
}

/** What a closed run has come to, its logs compared with the ledger first. */
async function auditedEssence({ database, bucket }: Place, { runId }: ExitCard): Promise<unknown> {
  await auditRun(bucket, runId, database.sql)
  expect(await keys(bucket, 'logs/runs/')).toEqual([`logs/runs/${runId}.jsonl`])
  return essenceOf(database.sql, bucket, runId)
}

test('a single invocation completes the run', () => {
  expect(singleCard).toMatchObject({
    status: 'complete',
    progress: { usersDone: USERS, usersTotal: USERS, percent: 100, etaSeconds: 0 },
  })
})

test.each(STOPS)('invocations that all stop at %s end like a single one', async (_what, nth, isStop) => {
  const place = await freshPlace()
  const cards = await untilClosed(place, () => stoppedAt(place, isStop, nth))
  expect(cards.length).toBeGreaterThan(1)
  expect(await auditedEssence(place, cards[0] ?? singleCard)).toEqual(single)
})

test('invocations that stop at random requests end like a single one', async () => {
  const place = await freshPlace()
  const { between, pick } = randomFrom(SEED)
  // The first comes in every random ledger, which may lead to one or two intents only.
  let next: readonly [(request: S3Request) => boolean, number] = [isCursorWrite, 3]
  const cards = await untilClosed(place, async () => {
    const [isStop, nth] = next
    next = [pick(STOPS)[2], between(1, 3)]
    return stoppedAt(place, isStop, nth)
  })
  expect(cards.length).toBeGreaterThan(1)
  expect(await auditedEssence(place, cards[0] ?? singleCard)).toEqual(single)
})

test.each([3, 16])('%i pages in flight end like one', async (concurrency) => {
  const place = await freshPlace()
  const card = await invoke(place, { ...EVENT, concurrency })
  expect(await essenceOf(place.database.sql, place.bucket, card.runId)).toEqual(single)
})

test('one page with all users gives the same users, rows and lines', async () => {
  const place = await freshPlace()
  const card = await invoke(place, { execute: true })
  expect(card.status).toBe('complete')
  const { users, transactions, logs } = await essenceOf(place.database.sql, place.bucket, card.runId)
  expect({ users, transactions }).toEqual({ users: single.users, transactions: single.transactions })
  expect({ users: logs.users.length, mutations: logs.mutations }).toEqual({
    users: single.logs.users.length,
    mutations: single.logs.mutations,
  })
})

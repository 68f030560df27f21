import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startS3, type S3Request, type S3Server } from '../../bin/sandbox/s3.ts'
import { attemptId } from '../../lambda/archive/keys.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import type { Fate, RoundTrip } from '../faults/proxy.ts'
import { buildScenario } from '../faults/scenario.ts'
import { countIntents, gate, goOnUntilClosed, isCommitOfApply, isOutcome, openPlace, openRun, type Place } from '../faults/stall.ts'
import { auditAndLogs, auditJob } from '../support/audit.ts'
import { keys, readJson, readLines } from '../support/bucket.ts'
import { dump, freshDatabase } from '../support/ledger.ts'
import { readIntents, readLogs, type LogLine } from '../support/logs.ts'

const EVENT = { execute: true, batchSize: 4, concurrency: 1 }

let s3: S3Server
let template: string
let place: Place
let decide: (trip: RoundTrip) => Fate | Promise<Fate>
const drops: (() => Promise<void>)[] = []

beforeAll(async () => {
  s3 = await startS3()
  const made = await freshDatabase()
  await buildScenario(made.sql)
  await auditJob(made.sql)
  await made.sql.end()
  template = new URL(made.url).pathname.slice(1)
})
afterAll(async () => {
  for (const drop of drops) await drop()
  await s3.stop()
})
beforeEach(async () => {
  decide = () => 'pass'
  const opened = await openPlace(template, s3, (trip) => decide(trip))
  drops.push(async () => opened.drop())
  place = opened
})

/** Users 1 to 4 are page 0, 5 to 8 page 1, 9 to 12 page 2; see test/faults/scenario.ts. */
const ENDS = { status: 'complete_with_errors', totals: { usersMatched: 12, usersProcessed: 9, usersFailed: 1, usersLeftAlone: 1, usersCorrected: 1 } }

async function expectWholeAndTrue(card: ExitCard): Promise<{ users: LogLine[]; mutations: LogLine[] }> {
  expect(card).toMatchObject(ENDS)
  const { database, logs } = await auditAndLogs(place.sql, place.bucket, [card.runId])
  expect(logs).toEqual(database)
  const { users, mutations } = await readLogs(place.bucket, card.runId)
  expect(new Set(users.map((line) => line.user_id)).size).toBe(users.length)
  return { users, mutations }
}

const recoveredOf = (users: readonly LogLine[]) => users.filter((line) => line.recovered === true).map((line) => line.user_id)

/** One fate for the nth COMMIT of an apply; the others pass. */
function nthCommit(nth: number, fate: Fate): (trip: RoundTrip) => Fate {
  let commits = 0
  return (trip) => (isCommitOfApply(trip) && ++commits === nth ? fate : 'pass')
}

/** From the first such request on, the process is as good as dead: S3 hears nothing more of it. */
function dieAt(which: (request: S3Request) => boolean): void {
  let dead = false
  s3.setHooks(place.bucket.bucket, {
    before: (request) => {
      dead ||= which(request)
      return dead ? 'drop' : undefined
    },
  })
}

const revive = () => s3.setHooks(place.bucket.bucket, undefined)

test.each<[string, Fate, number]>([
  ['took effect', 'lose', 1],
  ['never arrived', 'fail', 2],
])('a COMMIT whose reply is lost, and which %s, is settled at once by the same invocation', async (_what, fate, attempts) => {
  decide = nthCommit(1, fate)
  const card = await place.disturbed(EVENT)
  const { users } = await expectWholeAndTrue(card as ExitCard)
  expect(recoveredOf(users)).toEqual([])
  const intents = await readIntents(place.bucket, card.runId)
  expect(intents.filter(({ key }) => key.startsWith('000000-'))).toHaveLength(attempts)
})

test('a commit that lands late, while the next invocation settles: its users are neither failed nor planned again', async () => {
  const held = gate()
  decide = async (trip): Promise<Fate> => {
    if (isCommitOfApply(trip)) await held.hold()
    return 'pass'
  }
  const first = place.disturbed(EVENT)
  await held.reached
  const runId = await openRun(place)
  await place.later()

  const second = await place.direct(EVENT)
  expect(second).toMatchObject({ runId, status: 'incomplete', why: expect.stringContaining('4 users of page 0 are locked'), totals: { usersFailed: 0, usersProcessed: 0 } })
  expect(second.why).toContain('lease lapses at')
  const cursor = (await readJson(place.bucket, `state/${runId}/cursor.json`)) as { lease: { epoch: number; expiresAt: string } }
  expect(cursor).toMatchObject({ lease: { epoch: 2 }, finished: [], closing: null })
  expect(second.why).toContain(cursor.lease.expiresAt)
  expect(await countIntents(place, runId)).toBe(1)
  // It keeps its lease: nobody comes in between.
  expect(await place.direct(EVENT)).toMatchObject({ status: 'busy' })

  held.open()
  expect(await first).toMatchObject({ status: 'busy' })
  const { users } = await expectWholeAndTrue(await goOnUntilClosed(place))
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('a commit that lands while somebody already waits for it is found by that invocation', async () => {
  const held = gate()
  decide = async (trip): Promise<Fate> => {
    if (isCommitOfApply(trip)) await held.hold()
    return 'pass'
  }
  const first = place.disturbed(EVENT)
  await held.reached
  await place.later()
  // The read of the intent is what comes before the locks.
  s3.setHooks(place.bucket.bucket, { after: ({ method, key }) => (method === 'GET' && key.endsWith('-intent.jsonl') ? void setTimeout(() => held.open(), 100) : undefined) })
  const card = await place.direct(EVENT)
  expect(await first).toMatchObject({ status: 'busy' })
  const { users } = await expectWholeAndTrue(card)
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('recovered lines are the planned outcome lines of the attempt, marked; so are their mutations', async () => {
  dieAt(isOutcome)
  await place.disturbed(EVENT)
  revive()
  const runId = await openRun(place)
  const [, ...planned] = (await readLines(place.bucket, `segments/${runId}/${attemptId(0, 1, 1)}-intent.jsonl`)) as { user_id: string; line: LogLine; mutations: LogLine[] }[]
  const { users, mutations } = await expectWholeAndTrue(await goOnUntilClosed(place))
  expect(planned.map(({ user_id }) => user_id)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
  expect(recoveredOf(users)).toEqual(planned.map(({ user_id }) => user_id))
  expect(users.filter((line) => line.recovered)).toEqual(planned.map(({ line }) => ({ ...line, recovered: true })))
  expect(mutations.filter((line) => line.attempt === attemptId(0, 1, 1))).toEqual(planned.flatMap((user) => user.mutations))
})

test('a page finished beyond an unfinished one: the one is settled, the other left as it is', async () => {
  const held = gate()
  decide = async (trip): Promise<Fate> => {
    if (isCommitOfApply(trip)) await held.hold()
    return 'pass'
  }
  const first = place.disturbed({ ...EVENT, concurrency: 2 })
  await held.reached
  const runId = await openRun(place)
  await untilPagesFinished(runId, 2)
  const cursor = (await readJson(place.bucket, `state/${runId}/cursor.json`)) as { finished: { from: number; to: number }[] }
  const missing = [0, 1, 2].find((page) => !cursor.finished.some(({ from, to }) => from <= page && page <= to))
  expect(missing).toBeLessThan(2)
  const before = await segmentsBut(runId, missing)

  dieAt(() => true)
  held.open()
  await first
  revive()
  const { users } = await expectWholeAndTrue(await goOnUntilClosed(place))
  expect(recoveredOf(users).length).toBeGreaterThan(0)
  expect(recoveredOf(users).every((id) => Math.floor((Number(String(id).slice(5)) - 1) / 4) === missing)).toBe(true)
  expect(users.map((line) => line.user_id)).toEqual(users.map((line) => String(line.user_id)).toSorted())
  expect(await segmentsBut(runId, missing)).toEqual(before)
})

async function untilPagesFinished(runId: string, pages: number): Promise<void> {
  for (;;) {
    const { finished } = (await readJson(place.bucket, `state/${runId}/cursor.json`)) as { finished: { from: number; to: number }[] }
    if (finished.reduce((sum, { from, to }) => sum + to - from + 1, 0) >= pages) return
  }
}

async function segmentsBut(runId: string, page: number | undefined): Promise<string[]> {
  return (await keys(place.bucket, `segments/${runId}/`)).filter((key) => !key.includes(`/00000${page}-`))
}

test('users that somebody keeps locked: the invocation ends incomplete, keeping its lease; nobody failed, nobody planned again', async () => {
  decide = nthCommit(1, 'fail')
  // The first attempt was not committed; the second is never declared.
  dieAt(({ method, key }) => method === 'PUT' && key.endsWith(`${attemptId(0, 1, 2)}-intent.jsonl`))
  await place.disturbed(EVENT)
  revive()
  const runId = await openRun(place)
  await place.later()
  const card = await place.sql.begin(async (tx) => {
    await tx`SELECT FROM kilocode_users WHERE id = 'user-02' FOR UPDATE`
    return place.direct({ resume: runId })
  })
  expect(card).toMatchObject({ status: 'incomplete', why: expect.stringContaining('1 users of page 0 are locked'), totals: { usersFailed: 0, usersProcessed: 0 } })
  expect(await readJson(place.bucket, `state/${runId}/cursor.json`)).toMatchObject({ lease: { epoch: 2 } })
  expect(await countIntents(place, runId)).toBe(1)
  const { users } = await expectWholeAndTrue(await goOnUntilClosed(place))
  expect(recoveredOf(users)).toEqual([])
})

test('a committed user needs no lock to be found, whoever holds the row', async () => {
  dieAt(isOutcome)
  await place.disturbed(EVENT)
  revive()
  await place.later()
  const card = await place.sql.begin(async (tx) => {
    await tx`SELECT FROM kilocode_users WHERE id = 'user-02' FOR UPDATE`
    return place.direct(EVENT)
  })
  const { users } = await expectWholeAndTrue(card)
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('attempts of several invocations on one page: each user has the one that committed', async () => {
  // User 2 is locked while the first invocation works, user 4 while the second does; both die before their outcome.
  const dieBusy = (user: string) =>
    place.sql.begin(async (tx) => {
      await tx`SELECT FROM kilocode_users WHERE id = ${user} FOR UPDATE`
      dieAt(({ method, key }) => method === 'PUT' && key.endsWith(`${attemptId(0, 1, 2)}-intent.jsonl`))
      await place.disturbed(EVENT)
      revive()
    })
  await dieBusy('user-02')
  const runId = await openRun(place)
  await place.later()
  await place.sql`UPDATE kilocode_users SET microdollars_used = microdollars_used + 1 WHERE id = 'user-12'`
  dieAt(isOutcomeOf(2))
  await place.disturbed(EVENT)
  revive()
  const { users, mutations } = await expectWholeAndTrue(await goOnUntilClosed(place))
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
  const attemptOf = (user: string) => [...new Set(mutations.filter((line) => line.user_id === user).map((line) => line.attempt))]
  expect(attemptOf('user-01')).toEqual([attemptId(0, 1, 1)])
  expect(attemptOf('user-02')).toEqual([attemptId(0, 2, 1)])
  expect((await readIntents(place.bucket, runId)).filter(({ key }) => key.startsWith('000000-')).map(({ userIds }) => userIds)).toEqual([
    ['user-01', 'user-02', 'user-03', 'user-04'],
    ['user-02'],
  ])
})

function isOutcomeOf(epoch: number): (request: S3Request) => boolean {
  return ({ method, key }) => method === 'PUT' && key.endsWith(`-000${epoch}-users.jsonl`)
}

test("an attempt counts as not done only past the lease expiry in its intent, whoever's lease has lapsed since", async () => {
  // The first gives its lease back when S3 fails; the second has a short lease, and dies.
  s3.setHooks(place.bucket.bucket, { before: (request) => (isOutcome(request) ? { status: 403, code: 'AccessDenied' } : undefined) })
  expect(await place.disturbed(EVENT, () => 900_000)).toMatchObject({ status: 'ArchiveUnavailable' })
  const runId = await openRun(place)
  expect(await readJson(place.bucket, `state/${runId}/cursor.json`)).toMatchObject({ lease: null })
  dieAt(({ method, key }) => method === 'GET' && key.includes('/pages/'))
  await place.disturbed(EVENT, () => 60_000)
  revive()

  await place.later('3 minutes')
  const early = await place.direct(EVENT, () => 60_000)
  expect(early).toMatchObject({ status: 'incomplete', why: expect.stringContaining('may commit until'), totals: { usersFailed: 0, usersProcessed: 0 } })
  await place.later('20 minutes')
  const { users } = await expectWholeAndTrue(await place.direct(EVENT))
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('a settling whose own replies are lost settles all the same', async () => {
  dieAt(isOutcome)
  await place.disturbed(EVENT)
  revive()
  await place.later()
  let lost = 0
  decide = ({ what, previous }) => (what === 'database: commit' && previous.includes('from credit_transactions where id = any') && ++lost <= 2 ? 'lose' : 'pass')
  const card = await place.disturbed(EVENT)
  expect(lost).toBeGreaterThan(2)
  const { users } = await expectWholeAndTrue(card as ExitCard)
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('connections that the server closes for being idle: the run goes on over new ones', async () => {
  await place.sql.unsafe(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET idle_session_timeout = 100', current_database()); END $$`)
  s3.setHooks(place.bucket.bucket, { before: (request) => (isOutcome(request) ? new Promise((resolve) => setTimeout(resolve, 300)) : undefined) })
  const { users } = await expectWholeAndTrue((await place.disturbed(EVENT)) as ExitCard)
  expect(recoveredOf(users)).toEqual([])
})

test('a run that is cancelled with attempts open: what was committed is in the log, the others are not reached', async () => {
  dieAt(isOutcome)
  await place.disturbed(EVENT)
  revive()
  const runId = await openRun(place)
  await place.later()
  const card = await place.direct({ cancel: runId })
  expect(card).toMatchObject({ status: 'cancelled', totals: { usersProcessed: 4, usersNotReached: 8 } })
  const { database, logs } = await auditAndLogs(place.sql, place.bucket, [runId])
  expect(logs).toEqual(database)
  expect((await dump(place.sql)).users).toHaveLength(12)
})

test('an intent that comes late, of a holder that lost its lease, does not keep a run from being closed', async () => {
  // The first stalls with its intent on its way; the second cancels, and is cut off while it closes.
  const held = gate()
  let intents = 0
  const closing = ({ method, key }: S3Request) => method === 'PUT' && key.startsWith('logs/mutations/')
  s3.setHooks(place.bucket.bucket, {
    before: async ({ method, key, ...rest }) => {
      if (method === 'PUT' && key.endsWith('-intent.jsonl') && ++intents === 2) await held.hold()
      return closing({ method, key, ...rest }) ? { status: 403, code: 'AccessDenied' } : undefined
    },
  })
  const first = place.disturbed(EVENT)
  await held.reached
  const runId = await openRun(place)
  await place.later()
  const cut = await place.direct({ cancel: runId }).catch((error: unknown) => error)
  expect(cut).toMatchObject({ name: 'ArchiveUnavailable' })
  held.open()
  expect(await first).toMatchObject({ status: 'busy' })
  revive()
  await place.later()
  expect(await place.direct({ cancel: runId })).toMatchObject({ status: 'cancelled', totals: { usersProcessed: 4, usersNotReached: 8 } })
  const { database, logs } = await auditAndLogs(place.sql, place.bucket, [runId])
  expect(logs).toEqual(database)
})

import { PutObjectCommand } from '@aws-sdk/client-s3'
import { beforeAll, expect, test, vi } from 'vitest'
import type { S3Request } from '../../bin/sandbox/s3.ts'
import { auditAndLogs } from '../support/audit.ts'
import { dieAt, isCursorWrite, isIntent, isUsersPart, revive } from '../support/between.ts'
import { freshBucket, keys, readText, type TestBucket } from '../support/bucket.ts'
import { essenceOf, strayLinesOf } from '../support/essence.ts'
import { failureOf, invokeJob } from '../support/job.ts'
import { dump } from '../support/ledger.ts'
import { openRunId, readLogs, readStoredCursor } from '../support/logs.ts'
import { EVENT, place, s3, steer, useScenarioPlaces } from '../support/places/scenario-place.ts'
import { POISON_USER } from './scenario.ts'
import { gate, resumeUntilClosed } from './stall.ts'

/** Invocations that die or stall, and those that continue their run: special cases, each by name. */
useScenarioPlaces()
vi.setConfig({ testTimeout: 300_000 })

let undisturbed: Awaited<ReturnType<typeof essenceOf>> | null = null
beforeAll(() => {
  undisturbed = null
})

/** The first time, an undisturbed run of the same scenario in a place of its own. */
async function expectAsUndisturbed(runId: string): Promise<void> {
  const found = await essenceOf(place.sql, place.bucket, runId)
  undisturbed ??= found
  expect(found).toEqual(undisturbed)
  expect(found).toMatchObject({ left: { strayLines: [], wrongFiles: [], openRun: null } })
  await expectTrueLog(runId)
}

async function expectTrueLog(runId: string): Promise<void> {
  const { database, logs } = await auditAndLogs(place.sql, place.bucket, [runId])
  expect(logs).toEqual(database)
}

/** From the first such request on, nothing of the invocation reaches S3 or the database. */
function cutOffAt(which: (request: S3Request) => boolean): void {
  const isDead = dieAt(s3, place.bucket, which)
  steer.decide = () => (isDead() ? 'fail' : 'pass')
}

function reconnect(): void {
  revive(s3, place.bucket)
  steer.decide = () => 'pass'
}

/** The bytes of all log parts. */
async function partsOf(bucket: TestBucket): Promise<Record<string, string>> {
  const found = await keys(bucket, 'logs/')
  return Object.fromEntries(await Promise.all(found.map(async (key) => [key, await readText(bucket, key)])))
}

test('undisturbed', async () => {
  const card = await place.direct(EVENT)
  expect(card).toMatchObject({
    status: 'complete_with_errors',
    totals: { usersProcessed: 9, usersFailed: 1 },
  })
  await expectAsUndisturbed(card.runId)
})

test('three holders, with late writes of the first two: each line is in the folder once, and nothing changes after closing', async () => {
  const create = gate()
  const overwrite = gate()
  const puts = new Map<string, number>()
  s3.setHooks(place.bucket.bucket, {
    before: async ({ method, key }) => {
      if (method !== 'PUT' || !/^logs\/.*\/00000-0001\.jsonl$/.test(key)) return
      puts.set(key, (puts.get(key) ?? 0) + 1)
      // The first holder creates its parts; one of them arrives late.
      if (key.startsWith('logs/users/') && puts.get(key) === 1) await create.hold()
      // The second finds the other one with lines, and overwrites it; that arrives late too.
      if (key.startsWith('logs/mutations/') && puts.get(key) === 3) await overwrite.hold()
    },
  })
  const first = place.disturbed(EVENT)
  await create.reached
  const runId = await openRunId(place.bucket)
  await untilStored(`logs/mutations/${runId}/00000-0001.jsonl`)
  await place.later()
  const second = place.disturbed({ resume: runId })
  await overwrite.reached
  const card = await resumeUntilClosed(place)
  await expectAsUndisturbed(card.runId)
  const closed = await partsOf(place.bucket)

  overwrite.open()
  expect(await second).toMatchObject({ status: 'busy' })
  create.open()
  expect(await first).toMatchObject({ status: 'busy' })
  expect(await partsOf(place.bucket)).toEqual(closed)
  await expectAsUndisturbed(card.runId)
})

async function untilStored(key: string): Promise<void> {
  while (!(await keys(place.bucket, key)).includes(key));
}

test('a crash between the log parts of one page: users written, mutations not', async () => {
  const isStored = Promise.withResolvers<void>()
  let dead = false
  s3.setHooks(place.bucket.bucket, {
    before: async ({ method, key }) => {
      if (method === 'PUT' && key.startsWith('logs/mutations/')) {
        await isStored.promise
        dead = true
      }
      return dead ? 'drop' : undefined
    },
    after: (request) => (isUsersPart(request) ? isStored.resolve() : undefined),
  })
  await place.disturbed(EVENT)
  reconnect()
  const runId = await openRunId(place.bucket)
  const stored = await keys(place.bucket, 'logs/')
  expect(stored).toContain(`logs/users/${runId}/00000-0001.jsonl`)
  expect(stored).not.toContain(`logs/mutations/${runId}/00000-0001.jsonl`)
  await expectAsUndisturbed((await resumeUntilClosed(place)).runId)
})

test('a page whose first holder had errors and whose second has none: its errors are in no log', async () => {
  let hasErrors = false
  cutOffAt((request) => {
    hasErrors ||= request.method === 'PUT' && request.key.startsWith('logs/errors/')
    return hasErrors && isCursorWrite(request)
  })
  await place.disturbed(EVENT)
  reconnect()
  const runId = await openRunId(place.bucket)
  expect(await readText(place.bucket, `logs/errors/${runId}/00001-0001.jsonl`)).toContain(POISON_USER)
  await place.sql`DROP TRIGGER refuse_poison ON credit_transactions`

  const card = await resumeUntilClosed(place)
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 10, usersFailed: 0 } })
  expect((await readStoredCursor(place.bucket, runId)).pages).toMatchObject([
    { page: 0, epoch: 1 },
    { page: 1, epoch: 2, errors: null },
    { page: 2, epoch: 2 },
  ])
  expect(await strayLinesOf(place.bucket, runId)).toEqual([])
  await expectTrueLog(runId)
})

test('a cancelled run with parts of a page that the cursor does not name: what was committed is logged once', async () => {
  let isStored = false
  cutOffAt((request) => {
    isStored ||= request.method === 'PUT' && request.key.startsWith('logs/mutations/')
    return isStored && isCursorWrite(request)
  })
  await place.disturbed(EVENT)
  reconnect()
  const runId = await openRunId(place.bucket)
  expect(await readText(place.bucket, `logs/users/${runId}/00000-0001.jsonl`)).not.toBe('')
  await place.later()
  const card = await place.direct({ cancel: runId })
  expect(card).toMatchObject({ status: 'cancelled', totals: { usersProcessed: 4, usersNotReached: 8 } })
  expect((await readStoredCursor(place.bucket, runId)).pages).toMatchObject([{ page: 0, epoch: 2 }])
  expect(await strayLinesOf(place.bucket, runId)).toEqual([])
  await expectTrueLog(runId)
})

test('an intent of a version with other rules: refused, naming it, and nothing is logged', async () => {
  cutOffAt(isUsersPart)
  await place.disturbed(EVENT)
  reconnect()
  const runId = await openRunId(place.bucket)
  const [key = ''] = await keys(place.bucket, `intents/${runId}/`)
  const intent = await readText(place.bucket, key)
  const put = async (Body: string) =>
    place.bucket.client.send(new PutObjectCommand({ Bucket: place.bucket.bucket, Key: key, Body }))
  await put(intent.replace(/"digest":"\w+"/, `"digest":"${'0'.repeat(64)}"`))
  await place.later()
  const before = await dump(place.sql)
  const error = await failureOf(place.direct({ resume: runId }))
  expect(error).toMatchObject({ name: 'PlannedByOtherVersion', message: expect.stringContaining(key) })
  expect(await dump(place.sql)).toEqual(before)
  expect((await readStoredCursor(place.bucket, runId)).pages).toEqual([])
  expect((await readLogs(place.bucket, runId)).users).toEqual([])

  await put(intent)
  await expectAsUndisturbed((await resumeUntilClosed(place)).runId)
})

test('two buckets with one ledger, at once: every committed change is in one of the two logs', async () => {
  const other = await freshBucket(s3.endpoint)
  const [here, there] = await Promise.all([
    place.direct(EVENT),
    invokeJob({ databaseUrl: place.url, bucket: other }, EVENT),
  ])
  const ours = await auditAndLogs(place.sql, place.bucket, [here.runId])
  const theirs = await auditAndLogs(place.sql, other, [there.runId])
  expect([...ours.logs, ...theirs.logs].toSorted()).toEqual(ours.database)
  expect(here.totals.usersProcessed + there.totals.usersProcessed).toBe(9)
})

test('a rollback cut off between intent and transaction: what others deleted meanwhile is neither rolled back nor logged', async () => {
  const { runId } = await place.direct(EVENT)
  const rollback = await rollbackDiesAfter(runId, isIntent)
  await place.sql`
    DELETE FROM credit_transactions WHERE kilo_user_id = 'user-01' AND credit_category = 'credits_expired'`
  await place.sql`DELETE FROM credit_transactions WHERE kilo_user_id = 'user-02'`
  await place.sql`DELETE FROM kilocode_users WHERE id = 'user-02'`
  const card = await resumeUntilClosed(place)
  expect(card).toMatchObject({ runId: rollback, status: 'complete', totals: { usersProcessed: 7 } })
  const { users, mutations } = await readLogs(place.bucket, rollback)
  expect(users.slice(0, 3)).toMatchObject([
    { user_id: 'user-01', outcome: 'changed_since' },
    { user_id: 'user-02', outcome: 'gone' },
    { user_id: 'user-03', outcome: 'rolled_back' },
  ])
  expect(mutations.filter(({ user_id }) => user_id === 'user-01' || user_id === 'user-02')).toEqual([])
})

test('a committed rollback of a user who is deleted before the attempt is settled: it is logged', async () => {
  const { runId } = await place.direct(EVENT)
  let isWritten = false
  const rollback = await rollbackDiesAfter(runId, (request) => {
    isWritten ||= isUsersPart(request)
    return isWritten
  })
  await place.sql`DELETE FROM kilocode_users WHERE id = 'user-02'`
  const card = await resumeUntilClosed(place)
  expect(card).toMatchObject({ runId: rollback, totals: { usersProcessed: 9 } })
  const { users } = await readLogs(place.bucket, rollback)
  expect(users[1]).toMatchObject({ user_id: 'user-02', outcome: 'rolled_back', recovered: true })
  const { database, logs } = await auditAndLogs(place.sql, place.bucket, [runId, rollback])
  expect(logs).toEqual(database)
})

/**
 * Rolls a run back until such a request has taken effect, and returns the id of the rollback, which is open.
 */
async function rollbackDiesAfter(runId: string, which: (request: S3Request) => boolean): Promise<string> {
  let dead = false
  s3.setHooks(place.bucket.bucket, {
    before: () => (dead ? 'drop' : undefined),
    after: (request) => {
      dead ||= which(request)
    },
  })
  steer.decide = () => (dead ? 'fail' : 'pass')
  await place.disturbed({ rollback: runId, execute: true, concurrency: 1 })
  reconnect()
  return openRunId(place.bucket)
}

test('a run so old that its intents may have expired is not cancelled either, until a person has looked', async () => {
  cutOffAt(isUsersPart)
  await place.disturbed(EVENT)
  reconnect()
  const runId = await openRunId(place.bucket)
  await place.later()
  const later = { now: () => new Date(Date.now() + 81 * 86_400_000) }
  expect(await place.disturbed({ cancel: runId }, undefined, later)).toMatchObject({
    status: 'RunRefused',
    why: expect.stringContaining('"intentsRestored": true'),
  })
  expect(await keys(place.bucket, `runs/${runId}/cancel.json`)).toEqual([])
  const card = await place.disturbed({ cancel: runId, intentsRestored: true }, undefined, later)
  expect(card).toMatchObject({ status: 'cancelled', totals: { usersProcessed: 4 } })
  await expectTrueLog(runId)
})

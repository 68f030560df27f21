import { afterEach, beforeEach, expect, test } from 'vitest'
import { storeOf } from '../../support/bucket.ts'
import { type Cursor, readCursor } from '../../../lambda/archive/cursor.ts'
import { readRun } from '../../../lambda/archive/runs.ts'
import { hold } from '../../../lambda/run/lifecycle/lease.ts'
import { gate } from '../../faults/stall.ts'
import { isCursorWrite } from '../../support/between.ts'
import { setClock } from '../../support/clock.ts'
import { failureOf, invokeJob } from '../../support/job.ts'
import { openRunId, readDocument } from '../../support/logs.ts'
import { timeForPages } from '../../support/stops.ts'
import { freshTeam, NOW, type Team } from '../../support/places/team.ts'

let team: Team

beforeEach(async () => {
  team = await freshTeam(4)
})
afterEach(async () => {
  await team.drop()
})

const withUsers = (users: number) => (cursor: Cursor) => ({ ...cursor, usersDone: cursor.usersDone + users })

test('changes that share a write of the cursor share its failure: none is reported as written', async () => {
  const place = { databaseUrl: team.url, bucket: team.bucket }
  await invokeJob(place, { execute: true, batchSize: 1, concurrency: 1 }, timeForPages(1))
  const store = { ...storeOf(team.bucket), waits: { pauseMs: 1 } }
  const runId = await openRunId(team.bucket)
  const run = await readRun(store, runId)
  const read = await readCursor(store, runId)
  if (!run) throw new Error('The run is not in the bucket.')
  const lease = { invocationId: 'this', epoch: read.document.epoch, expiresAt: '2999-01-01T00:00:00.000Z' }
  const taken = { ...read, document: { ...read.document, lease } }
  const holder = hold(run, taken, { store, now: () => new Date() })

  const first = gate()
  let writes = 0
  team.s3.setHooks(team.bucket.bucket, {
    before: async (request) => {
      if (!isCursorWrite(request)) return
      if (++writes === 1) return first.hold()
      return { status: 403, code: 'AccessDenied' }
    },
  })
  const updates = [holder.update(withUsers(1))]
  await first.reached
  updates.push(holder.update(withUsers(10)), holder.update(withUsers(100)))
  first.open()
  const ends = (await Promise.allSettled(updates)).map(({ status }) => status)
  expect(ends).toEqual(['fulfilled', 'rejected', 'rejected'])
  expect((await readCursor(store, runId)).document.usersDone).toBe(read.document.usersDone + 1)

  team.s3.setHooks(team.bucket.bucket, undefined)
  await holder.update(withUsers(1_000))
  expect(holder.cursor().usersDone).toBe(read.document.usersDone + 1_001)
})

test('a database whose clock is a year ahead gives no lease; the run continues once the clock is right again', async () => {
  const place = { databaseUrl: team.url, bucket: team.bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }
  const event = { execute: true, batchSize: 1, concurrency: 1 }
  const { runId } = await invokeJob(place, event, timeForPages(1))
  const cursor = async () => readDocument(team.bucket, `runs/${runId}/cursor.json`)
  const before = await cursor()
  // The clock of the job's machine stays right.
  await team.sql`UPDATE test_clock.now SET at = at + interval '1 year'`
  expect(await failureOf(invokeJob(place, { resume: runId }))).toMatchObject({
    name: 'RunRefused',
    message: expect.stringContaining('they differ by 525600 minutes'),
  })
  expect(await cursor()).toEqual(before)
  await setClock(team.sql, NOW)
  expect(await invokeJob(place, { resume: runId })).toMatchObject({ status: 'complete' })
})

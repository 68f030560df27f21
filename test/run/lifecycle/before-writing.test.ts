import { afterEach, beforeEach, expect, test } from 'vitest'
import { invokeJob, failureOf, type JobPlace } from '../../support/job.ts'
import { keys } from '../../support/bucket.ts'
import { startClosingServer } from '../../support/servers/silent-proxy.ts'
import { timeForPages } from '../../support/stops.ts'
import { freshTeam, type Team } from '../../support/places/team.ts'

/** What fails before a run is worked on has written nothing, and the message says so. */

let team: Team
let place: JobPlace

beforeEach(async () => {
  team = await freshTeam(4)
  place = { databaseUrl: team.url, bucket: team.bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }
})
afterEach(() => team.drop())

test('a ledger that cannot be reached: opening says that nothing was written; else how far the open run is', async () => {
  const open = await invokeJob(place, { execute: true, batchSize: 2, concurrency: 1 }, timeForPages(1))
  const stored = await keys(team.bucket)
  const server = await startClosingServer('at once')
  const url = new URL(team.url)
  url.port = String(server.port)
  try {
    const failed = async (event: object) => failureOf(invokeJob({ ...place, databaseUrl: url.href }, event))
    expect(await failed({})).toMatchObject({
      name: 'LedgerUnavailable',
      message: expect.stringMatching(/ Then try again\. Nothing was written\.$/),
    })
    for (const event of [{ execute: true }, { resume: open.runId }, { cancel: open.runId }]) {
      expect(await failed(event)).toMatchObject({
        name: 'LedgerUnavailable',
        message: expect.stringContaining(
          ` Then try again. This invocation wrote nothing. Run ${open.runId} is open: 2 of 4 users are done, and ` +
            `what was committed beyond that is in its intents. Then send {"${'cancel' in event ? 'cancel' : 'resume'}": "${open.runId}"}.`,
        ),
      })
    }
  } finally {
    await server.stop()
  }
  expect(await keys(team.bucket)).toEqual(stored)
})

test('a table lock that is not granted: the message says that nothing was written, and the time is not used up', async () => {
  const { promise: isOver, resolve: release } = Promise.withResolvers<void>()
  const { promise: isLocked, resolve: locked } = Promise.withResolvers<void>()
  const lock = team.sql.begin(async (tx) => {
    await tx`lock table credit_transactions in access exclusive mode`
    locked()
    await isOver
  })
  await isLocked
  // Enough for the first look, and for no try after it.
  const options = { timeLeft: () => 5_000, host: { waits: { ledger: { readLockMs: 50 } } } }
  const error = await failureOf(invokeJob(place, {}, options))
  release()
  await lock
  expect(error).toMatchObject({
    name: 'LedgerBusy',
    message: expect.stringMatching(/^A lock on the ledger was not granted in time .* Nothing was written\.$/),
  })
})

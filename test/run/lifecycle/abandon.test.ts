import { afterEach, beforeEach, expect, test } from 'vitest'
import { isUsersPart, dieAt, revive } from '../../support/between.ts'
import { keys, putText, readText, remove } from '../../support/bucket.ts'
import { setClock } from '../../support/clock.ts'
import { failureOf, invokeJob, type InvocationOptions, type JobPlace } from '../../support/job.ts'
import { dump } from '../../support/ledger.ts'
import { openRunId, readDocument } from '../../support/logs.ts'
import { timeForPages } from '../../support/stops.ts'
import { freshTeam, LATER, type Team } from '../../support/places/team.ts'

const EVENT = { execute: true, batchSize: 2, concurrency: 1 }
const KEY = 'monday'

let team: Team
let bucket: Team['bucket']
let place: JobPlace

/** Six users on three pages. */
beforeEach(async () => {
  team = await freshTeam(6)
  bucket = team.bucket
  place = { databaseUrl: team.url, bucket, env: { MIN_GRANT_AGE_SECONDS: '0', AWS_MAX_ATTEMPTS: '1' } }
})
afterEach(() => team.drop())

const invoke = (event: object, options?: InvocationOptions) => invokeJob(place, event, options)

/** A run whose invocation dies at a request, before that takes effect, and which stays open. */
async function openCutOffAt(which: Parameters<typeof dieAt>[2], event: object = EVENT): Promise<string> {
  dieAt(team.s3, bucket, which)
  await failureOf(invoke(event))
  revive(team.s3, bucket)
  return openRunId(bucket)
}

/** Objects that resuming or cancelling a run reads. */
const objects: readonly [string, (runId: string) => string][] = [
  ['its run.json', (runId) => `runs/${runId}/run.json`],
  ['its cursor', (runId) => `runs/${runId}/cursor.json`],
  ['its last card', (runId) => `runs/${runId}/summary.json`],
  ['its cancellation request', (runId) => `runs/${runId}/cancel.json`],
  ['the next page', (runId) => `runs/${runId}/pages/00001.json`],
  ['a part of its log', (runId) => `logs/mutations/${runId}/00000-0001.jsonl`],
  ['the mark of its key', () => `control/requests/${KEY}.json`],
]

test.each(objects)(
  'an open run of which %s is damaged for good can be abandoned, and another run opens',
  async (_what, keyOf) => {
    const { runId } = await invoke({ ...EVENT, requestKey: KEY }, timeForPages(1))
    await putText(bucket, keyOf(runId), '{"run')
    await setClock(team.sql, LATER)
    expect(await failureOf(invoke({ cancel: runId }))).toMatchObject({ name: 'ArchiveCorrupt' })

    const card = await invoke({ abandon: runId, reason: 'the bucket was damaged', by: 'Ada' })
    expect(card).toMatchObject({
      runId,
      status: 'abandoned',
      why: expect.stringContaining('the bucket was damaged'),
      next: { payload: {} },
      warnings: [expect.stringContaining('these figures may lack what the run wrote last')],
    })
    expect(await readDocument(bucket, `runs/${runId}/summary.json`)).toEqual(card)
    expect(await readDocument(bucket, 'control/writer.json')).toMatchObject({ runId: null })
    expect(await keys(bucket, `intents/${runId}/`)).not.toEqual([])
    expect(await invoke(EVENT)).toMatchObject({ status: 'complete', totals: { usersProcessed: 4 } })
  },
)

test('a message about a damaged object of an open run names both ways on', async () => {
  const { runId } = await invoke(EVENT, timeForPages(1))
  await putText(bucket, `runs/${runId}/cursor.json`, '')
  expect((await failureOf(invoke({ resume: runId }))).message).toBe(
    `runs/${runId}/cursor.json is damaged or incomplete. It was not changed. Restore its last good ` +
      'version in S3, then send the payload again. If that is impossible and the run is open, ' +
      `{"abandon": "${runId}", "reason": "…"} abandons it.`,
  )
})

test('the history of a user says that what an abandoned run wrote is not known', async () => {
  // Two users are committed; the invocation dies before their part of the log is stored.
  const runId = await openCutOffAt(isUsersPart)
  await remove(bucket, `runs/${runId}/cursor.json`)
  await setClock(team.sql, LATER)
  await invoke({ abandon: runId, reason: 'the bucket was damaged', by: 'Ada' })
  const [written] = await team.sql`
    select kilo_user_id as id from credit_transactions where credit_category = 'credits_expired'`
  expect(await invoke({ history: written?.['id'] })).toMatchObject({
    result: {
      runs: [{ runId, problem: expect.stringContaining('was abandoned, and what it wrote for this user') }],
    },
  })
})

test('a run whose cursor cannot be read is not abandoned while its holder may still commit', async () => {
  const runId = await openCutOffAt(isUsersPart)
  await remove(bucket, `runs/${runId}/cursor.json`)
  const event = { abandon: runId, reason: 'the cursor is lost' }
  expect(await failureOf(invoke(event))).toMatchObject({
    name: 'RunRefused',
    message: expect.stringMatching(
      /^An invocation holds the lease of run \S+ until 2026-11-22T06:1\S+\. Nothing/,
    ),
  })
  expect(await openRunId(bucket)).toBe(runId)
  await setClock(team.sql, LATER)
  expect(await invoke(event)).toMatchObject({ status: 'abandoned' })
})

test('a run that can be read is not abandoned, nor one that is not the open writing run', async () => {
  const open = await invoke(EVENT, timeForPages(1))
  expect(await failureOf(invoke({ abandon: open.runId, reason: 'impatience' }))).toMatchObject({
    name: 'RunRefused',
    message: expect.stringContaining(`can be read, so it can be finished`),
  })
  const done = await invoke({ resume: open.runId })
  expect(await failureOf(invoke({ abandon: done.runId, reason: 'impatience' }))).toMatchObject({
    name: 'RunRefused',
    message: expect.stringContaining('is not the open writing run'),
  })
})

test('a duplicate of its request key gets the card of the abandoned run, also where it was cut off before its mark', async () => {
  const runId = await openCutOffAt(
    ({ method, key }) => method === 'PUT' && key.endsWith(`requests/${KEY}.json`),
    { ...EVENT, requestKey: KEY },
  )
  const cursor = await readText(bucket, `runs/${runId}/cursor.json`)
  await putText(bucket, `runs/${runId}/cursor.json`, cursor.slice(0, -9))
  await setClock(team.sql, LATER)
  const card = await invoke({ abandon: runId, reason: 'the cursor is cut short' })
  expect(await invoke({ ...EVENT, requestKey: KEY })).toEqual(card)
})

test('a resume that comes while the run is being abandoned is busy, and writes nothing', async () => {
  const { runId } = await invoke(EVENT, timeForPages(1))
  // Only closing the run reads it.
  await putText(bucket, `logs/users/${runId}/00000-0001.jsonl`, '{')
  const before = await dump(team.sql)
  const resumed: unknown[] = []
  team.s3.setHooks(bucket.bucket, {
    before: async ({ method, key }) => {
      if (method !== 'PUT' || !key.endsWith('/summary.json') || resumed.length > 0) return
      resumed.push('asked')
      resumed[0] = await invoke({ resume: runId })
    },
  })
  const card = await invoke({ abandon: runId, reason: 'a log part is damaged' })
  expect(card).toMatchObject({ status: 'abandoned', totals: { usersProcessed: 2 } })
  expect(resumed).toMatchObject([{ runId, status: 'busy' }])
  expect(await dump(team.sql)).toEqual(before)
  expect(await invoke({ resume: runId })).toEqual(card)
})

test('an abandon that was cut off before it freed writer.json is finished by the same payload', async () => {
  const { runId } = await invoke(EVENT, timeForPages(1))
  await putText(bucket, `runs/${runId}/summary.json`, '{')
  const event = { abandon: runId, reason: 'its card is damaged' }
  dieAt(team.s3, bucket, ({ method, key }) => method === 'PUT' && key === 'control/writer.json')
  await failureOf(invoke(event))
  revive(team.s3, bucket)
  expect(await openRunId(bucket)).toBe(runId)
  const stored = await readDocument(bucket, `runs/${runId}/summary.json`)
  expect(await invoke({ ...event, reason: 'once more' })).toEqual(stored)
  expect(stored).toMatchObject({
    status: 'abandoned',
    why: expect.stringMatching(/: its card is damaged$/),
  })
  expect(await readDocument(bucket, 'control/writer.json')).toMatchObject({ runId: null })
  expect(await invoke(EVENT)).toMatchObject({ status: 'complete', totals: { usersProcessed: 4 } })
})

test('a run of which an intent was edited, so that it is another plan, can be abandoned', async () => {
  const runId = await openCutOffAt(isUsersPart)
  await setClock(team.sql, LATER)
  const [intent = ''] = await keys(bucket, `intents/${runId}/`)
  const text = await readText(bucket, intent)
  await putText(bucket, intent, text.replaceAll('user-1@kilo.ai', 'erased@kilo.ai'))
  for (const event of [{ resume: runId }, { cancel: runId }])
    expect((await failureOf(invoke(event))).name).toBe('PlannedByOtherVersion')
  expect(await invoke({ abandon: runId, reason: 'an intent was edited' })).toMatchObject({
    status: 'abandoned',
  })
  expect(await readDocument(bucket, 'control/writer.json')).toMatchObject({ runId: null })
})

test('a rollback that is abandoned is named by the run of which it rolled some users back', async () => {
  const { runId } = await invoke(EVENT)
  const open = await invoke({ rollback: runId, execute: true, concurrency: 1 }, timeForPages(1))
  await putText(bucket, `logs/users/${open.runId}/00000-0001.jsonl`, '{')
  await invoke({ abandon: open.runId, reason: 'a log part is damaged' })
  expect(await invoke({ status: runId })).toMatchObject({
    why: `every page is done; 2 of 6 users rolled back by ${open.runId}`,
    rolledBackBy: [open.runId],
    usersRolledBack: 2,
  })
})

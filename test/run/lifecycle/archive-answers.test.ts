import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { expect, test } from 'vitest'
import type { S3Request } from '../../../bin/sandbox/s3.ts'
import { attemptName } from '../../../lambda/archive/keys.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { goOnUntilClosed, isOutcome, openRun } from '../../faults/stall.ts'
import { auditAndLogs } from '../../support/audit.ts'
import { keys, readText } from '../../support/bucket.ts'
import { invokeJob } from '../../support/job.ts'
import { dump } from '../../support/ledger.ts'
import { EVENT, place, s3, useScenarioPlaces } from '../../support/scenario-place.ts'

/** What S3 may answer to a run, and what may be wrong with what it has kept: a named error or the right end, never a guess. */
useScenarioPlaces()

/** As in Lambda: a request that fails is tried again. */
const execute = () => invokeJob({ databaseUrl: place.url, bucket: place.bucket }, EVENT)
const failure = (work: Promise<unknown>) =>
  work.then(
    () => null,
    (error: unknown) => error,
  )
const answer = (
  hooks: (request: S3Request) => { status: number; code: string } | 'drop' | undefined,
  when: 'before' | 'after' = 'before',
) => s3.setHooks(place.bucket.bucket, { [when]: hooks })
const heal = () => s3.setHooks(place.bucket.bucket, undefined)

async function expectWholeAndTrue(card: ExitCard): Promise<void> {
  expect(card).toMatchObject({
    status: 'complete_with_errors',
    totals: { usersMatched: 12, usersProcessed: 9, usersFailed: 1, usersSkipped: 1 },
  })
  const { database, logs } = await auditAndLogs(place.sql, place.bucket, [card.runId])
  expect(logs).toEqual(database)
}

async function everything(): Promise<Map<string, string>> {
  return new Map(
    await Promise.all(
      (await keys(place.bucket)).map(async (key): Promise<[string, string]> => [
        key,
        await readText(place.bucket, key),
      ]),
    ),
  )
}

/** These hold the state of the run, and are made to be replaced; everything else is written once. */
const REPLACED = /\/cursor\.json$|\/summary\.json$|^control\/writer\.json$/

async function expectNothingOverwritten(before: ReadonlyMap<string, string>): Promise<void> {
  const after = await everything()
  const overwritten = [...before]
    .filter(([key, body]) => !REPLACED.test(key) && after.get(key) !== body)
    .map(([key]) => key)
  expect(overwritten).toEqual([])
}

/** Which requests come for the first time: the same one again is a new try. */
function firstOfEach(which: (request: S3Request) => boolean): (request: S3Request) => boolean {
  const seen = new Set<string>()
  return (request) => {
    const name = `${request.method} ${request.key} ${JSON.stringify(request.query)}`
    if (!which(request) || seen.has(name)) return false
    seen.add(name)
    return true
  }
}

test('every write takes effect and its first reply is lost: 412 to the second try, and the run ends as ever', async () => {
  const first = firstOfEach(({ method }) => method === 'PUT')
  answer((request) => (first(request) ? 'drop' : undefined), 'after')
  const card = await execute()
  expect(card.progress.percent).toBe(100)
  await expectWholeAndTrue(card)
})

test.each<[string, number, string, (request: S3Request) => boolean]>([
  [
    '409 ConditionalRequestConflict to every first write',
    409,
    'ConditionalRequestConflict',
    ({ method }) => method === 'PUT',
  ],
  [
    '503 SlowDown to every first request for control/ and cursors',
    503,
    'SlowDown',
    ({ key }) => key.startsWith('control/') || key.endsWith('cursor.json'),
  ],
])('%s: tried again, and the run ends as ever', async (_what, status, code, which) => {
  const first = firstOfEach(which)
  answer((request) => (first(request) ? { status, code } : undefined))
  const card = await execute()
  expect(card.progress.percent).toBe(100)
  await expectWholeAndTrue(card)
})

test('503 SlowDown for ever is an error that says to wait; afterwards the run is gone on with', async () => {
  answer((request) => (isOutcome(request) ? { status: 503, code: 'SlowDown' } : undefined))
  expect(await failure(execute())).toMatchObject({
    name: 'ArchiveUnavailable',
    message: expect.stringContaining('503 SlowDown'),
  })
  const before = await everything()
  heal()
  await expectWholeAndTrue(await execute())
  await expectNothingOverwritten(before)
})

test('a bucket that becomes read-only in the middle: an error; what was committed is found when it can be written again', async () => {
  let writes = 0
  answer(({ method }) =>
    method === 'PUT' && ++writes > 12 ? { status: 403, code: 'AccessDenied' } : undefined,
  )
  const error = await failure(execute())
  expect(error).toMatchObject({
    name: 'ArchiveUnavailable',
    message: expect.stringContaining('403 AccessDenied'),
  })
  const before = await everything()
  heal()
  // The lease could not be given back either.
  expect(await execute()).toMatchObject({ status: 'busy' })
  await expectWholeAndTrue(await goOnUntilClosed(place))
  await expectNothingOverwritten(before)
})

test('403 never means absent: the cursor of an open run', async () => {
  await begun()
  const before = { stored: await everything(), ledger: await dump(place.sql) }
  answer(({ method, key }) =>
    method === 'GET' && key.endsWith('cursor.json') ? { status: 403, code: 'AccessDenied' } : undefined,
  )
  expect(await failure(execute())).toMatchObject({
    name: 'ArchiveUnavailable',
    message: expect.stringContaining('cursor.json'),
  })
  heal()
  expect({ stored: await everything(), ledger: await dump(place.sql) }).toEqual(before)
  await expectWholeAndTrue(await goOnUntilClosed(place))
})

test('403 never means absent: whether a run is open', async () => {
  const ledger = await dump(place.sql)
  answer(({ method, key }) =>
    method === 'GET' && key === 'control/writer.json' ? { status: 403, code: 'AccessDenied' } : undefined,
  )
  expect(await failure(execute())).toMatchObject({
    name: 'ArchiveUnavailable',
    message: expect.stringContaining('control/writer.json'),
  })
  expect(await keys(place.bucket)).toEqual([])
  expect(await dump(place.sql)).toEqual(ledger)
})

test.each(['summary.json', '/pages/', '/cancel.json'])('403 never means absent: %s', async (name) => {
  answer(({ method, key }) =>
    method === 'GET' && key.includes(name) ? { status: 403, code: 'AccessDenied' } : undefined,
  )
  expect(await failure(execute())).toMatchObject({
    name: 'ArchiveUnavailable',
    message: expect.stringContaining(name),
  })
  heal()
  await expectWholeAndTrue(await goOnUntilClosed(place))
})

test('412 lost: somebody else has written the cursor; this one is busy, and writes nothing any more', async () => {
  const theirs = Promise.withResolvers<string>()
  let cursorWrites = 0
  s3.setHooks(place.bucket.bucket, {
    before: async ({ method, key }) => {
      if (method !== 'PUT' || !key.endsWith('cursor.json') || ++cursorWrites !== 2) return
      const body = (await readText(place.bucket, key)).replace(/"nonce": "[^"]*"/, '"nonce": "theirs"')
      await write(key, body)
      theirs.resolve(body)
    },
  })
  expect(await execute()).toMatchObject({ status: 'busy' })
  heal()
  const runId = await openRun(place)
  expect(await readText(place.bucket, `runs/${runId}/cursor.json`)).toBe(await theirs.promise)
  await expectWholeAndTrue(await goOnUntilClosed(place))
})

test('404 on If-Match: a cursor that has gone in the middle is an error, and is not written anew', async () => {
  let gone = false
  s3.setHooks(place.bucket.bucket, {
    before: async (request) => {
      if (gone || !isOutcome(request)) return
      gone = true
      const cursor = (await keys(place.bucket, 'state/')).find((key) => key.endsWith('cursor.json')) ?? ''
      await place.bucket.client.send(new DeleteObjectCommand({ Bucket: place.bucket.bucket, Key: cursor }))
    },
  })
  expect(await failure(execute())).toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining('cursor.json is gone'),
  })
  heal()
  expect((await keys(place.bucket, 'state/')).filter((key) => key.endsWith('cursor.json'))).toEqual([])
  const before = { stored: await everything(), ledger: await dump(place.sql) }
  expect(await failure(execute())).toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining('cursor.json is missing'),
  })
  expect({ stored: await everything(), ledger: await dump(place.sql) }).toEqual(before)
})

async function write(key: string, body: string): Promise<void> {
  await place.bucket.client.send(
    new PutObjectCommand({ Bucket: place.bucket.bucket, Key: key, Body: Buffer.from(body) }),
  )
}

/** A run whose last page, 2, was committed, in its second attempt, before its holder died; every lease has lapsed. */
async function begun(): Promise<string> {
  let outcomes = 0
  let dead = false
  answer((request) => {
    dead ||= isOutcome(request) && ++outcomes === 3
    return dead ? 'drop' : undefined
  })
  await place.disturbed(EVENT)
  heal()
  await place.later()
  return openRun(place)
}

const half = (body: string) => body.slice(0, body.length / 2)
const withoutLastLine = (body: string) => body.replace(/[^\n]*\n$/, '')
const unknownOutcome = (body: string) => body.replaceAll('"outcome":"expired"', '"outcome":"perhaps"')

const damages: [
  string,
  (runId: string) => string,
  (body: string, runId: string) => string | Promise<string>,
  RegExp,
][] = [
  ['a cursor cut short', (runId) => `runs/${runId}/cursor.json`, half, /ArchiveCorrupt: .*cursor\.json/],
  ['an empty cursor', (runId) => `runs/${runId}/cursor.json`, () => '', /ArchiveCorrupt: .*cursor\.json/],
  [
    'a page list cut short',
    (runId) => `runs/${runId}/pages/000002.json`,
    half,
    /ArchiveCorrupt: .*000002\.json/,
  ],
  [
    'a page list of another page',
    (runId) => `runs/${runId}/pages/000002.json`,
    (_, runId) => readText(place.bucket, `runs/${runId}/pages/000000.json`),
    /ArchiveCorrupt: .*000002\.json/,
  ],
  [
    'an intent cut in the middle',
    (runId) => `segments/${runId}/${attemptName(2, 1, 1)}-intent.jsonl`,
    half,
    /ArchiveCorrupt: .*intent\.jsonl/,
  ],
  [
    'an intent without its last line',
    (runId) => `segments/${runId}/${attemptName(2, 1, 1)}-intent.jsonl`,
    withoutLastLine,
    /ArchiveCorrupt: .*intent\.jsonl/,
  ],
  [
    'an intent with an outcome that nobody knows',
    (runId) => `segments/${runId}/${attemptName(2, 1, 2)}-intent.jsonl`,
    unknownOutcome,
    /ArchiveCorrupt: .*intent\.jsonl/,
  ],
  [
    'an intent of another attempt',
    (runId) => `segments/${runId}/${attemptName(2, 1, 1)}-intent.jsonl`,
    (_, runId) => readText(place.bucket, `segments/${runId}/${attemptName(0, 1, 1)}-intent.jsonl`),
    /ArchiveCorrupt: .*intent\.jsonl/,
  ],
  ['run.json cut short', (runId) => `runs/${runId}/run.json`, half, /ArchiveCorrupt: .*run\.json/],
  ['writer.json cut short', () => 'control/writer.json', half, /ArchiveCorrupt: .*writer\.json/],
  [
    'a user segment cut in the middle of a line',
    (runId) => `segments/${runId}/000000-0001-users.jsonl`,
    half,
    /ArchiveCorrupt: .*users/,
  ],
  [
    'a user segment without its last line break',
    (runId) => `segments/${runId}/000000-0001-users.jsonl`,
    (body) => body.slice(0, -1),
    /TotalsDiffer: |ArchiveCorrupt: .*users/,
  ],
  [
    'a user segment without its last line',
    (runId) => `segments/${runId}/000000-0001-users.jsonl`,
    withoutLastLine,
    /TotalsDiffer: /,
  ],
  [
    'a user segment with an outcome that nobody knows',
    (runId) => `segments/${runId}/000000-0001-users.jsonl`,
    unknownOutcome,
    /ArchiveCorrupt: .*users/,
  ],
  [
    'a mutation segment without its last line',
    (runId) => `segments/${runId}/000000-0001-mutations.jsonl`,
    withoutLastLine,
    /TotalsDiffer: /,
  ],
]

test.each(damages)(
  '%s: an error that says so; once it is restored, the run is gone on with to its true end',
  async (_what, keyOf, damage, error) => {
    const runId = await begun()
    const key = keyOf(runId)
    const good = await readText(place.bucket, key)
    const bad = await damage(good, runId)
    expect(bad).not.toBe(good)
    await write(key, bad)
    const before = await everything()
    for (let tries = 0; tries < 2; tries++) {
      const failed = await failure(execute())
      expect(failed instanceof Error ? `${failed.name}: ${failed.message}` : failed).toMatch(error)
      await expectNothingOverwritten(before)
      expect(await readText(place.bucket, key)).toBe(
        key.endsWith('cursor.json') || key.startsWith('control/') ? bad : (before.get(key) ?? ''),
      )
      await place.later()
    }
    await write(key, good)
    await expectWholeAndTrue(await goOnUntilClosed(place))
  },
)

test('a summary cut short: nothing is closed over it', async () => {
  answer(({ method, key }) =>
    method === 'PUT' && key.endsWith('manifest.json') ? { status: 403, code: 'AccessDenied' } : undefined,
  )
  expect(await failure(execute())).toMatchObject({ name: 'ArchiveUnavailable' })
  heal()
  const key = `runs/${await openRun(place)}/summary.json`
  const good = await readText(place.bucket, key)
  await write(key, half(good))
  expect(await failure(execute())).toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining('summary.json'),
  })
  expect(await readText(place.bucket, key)).toBe(half(good))
  await write(key, good)
  await expectWholeAndTrue(await goOnUntilClosed(place))
  expect(await readText(place.bucket, key)).toBe(good)
})

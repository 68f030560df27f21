import { expect, test } from 'vitest'
import type { S3Request } from '../../../bin/sandbox/s3.ts'
import { attemptName } from '../../../lambda/archive/keys.ts'
import { resumeUntilClosed } from '../../faults/stall.ts'
import { isUsersPart, revive } from '../../support/between.ts'
import { keys, putText, readText, remove } from '../../support/bucket.ts'
import { invokeJob } from '../../support/job.ts'
import { dump } from '../../support/ledger.ts'
import { openRunId } from '../../support/logs.ts'
import { EVENT, place, s3, useScenarioPlaces } from '../../support/places/scenario-place.ts'
import { expectWholeAndTrue } from '../pages/cut-off.ts'

/** Answers of S3 and damaged objects: the run ends as undisturbed, or with a named error. */
useScenarioPlaces()

/** As in Lambda: a request that fails is tried again. */
const execute = () =>
  invokeJob({ databaseUrl: place.url, bucket: place.bucket, env: { LEDGER_FORMERLY: place.formerly } }, EVENT)
const failure = (work: Promise<unknown>) =>
  work.then(
    () => null,
    (error: unknown) => error,
  )
const answer = (
  hooks: (request: S3Request) => { status: number; code: string } | 'drop' | undefined,
  when: 'before' | 'after' = 'before',
) => s3.setHooks(place.bucket.bucket, { [when]: hooks })
const heal = () => revive(s3, place.bucket)

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

/** Parts that no cursor names are emptied by the next holder; nothing else that is written once changes. */
async function expectNothingOverwritten(before: ReadonlyMap<string, string>): Promise<void> {
  const after = await everything()
  const overwritten = [...before]
    .filter(([key, body]) => !REPLACED.test(key) && ![body, ...emptied(key)].includes(after.get(key) ?? ''))
    .map(([key]) => key)
  expect(overwritten).toEqual([])
}

const emptied = (key: string): string[] => (/^logs\/(users|mutations|errors)\//.test(key) ? [''] : [])

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

test('every write takes effect and its first reply is lost: 412 to the second try, and the run ends as undisturbed', async () => {
  const first = firstOfEach(({ method }) => method === 'PUT')
  answer((request) => (first(request) ? 'drop' : undefined), 'after')
  const card = await execute()
  expect(card.progress.percent).toBe(100)
  heal()
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
])('%s: tried again, and the run ends as undisturbed', async (_what, status, code, which) => {
  const first = firstOfEach(which)
  answer((request) => (first(request) ? { status, code } : undefined))
  const card = await execute()
  expect(card.progress.percent).toBe(100)
  heal()
  await expectWholeAndTrue(card)
})

test('503 SlowDown without end is an error; afterwards the run is resumed', async () => {
  answer((request) => (isUsersPart(request) ? { status: 503, code: 'SlowDown' } : undefined))
  expect(await failure(execute())).toMatchObject({
    name: 'ArchiveUnavailable',
    message: expect.stringContaining('503 SlowDown'),
  })
  const before = await everything()
  heal()
  await expectWholeAndTrue(await execute())
  await expectNothingOverwritten(before)
})

test('a bucket becomes read-only during a run: an error; once it is writable, what was committed is settled', async () => {
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
  // The lease could not be released either.
  expect(await execute()).toMatchObject({ status: 'busy' })
  await expectWholeAndTrue(await resumeUntilClosed(place))
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
  await expectWholeAndTrue(await resumeUntilClosed(place))
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
  await expectWholeAndTrue(await resumeUntilClosed(place))
})

test('412: another invocation has taken over the run; this one is busy, and writes nothing more', async () => {
  const other = Promise.withResolvers<string>()
  let cursorWrites = 0
  s3.setHooks(place.bucket.bucket, {
    before: async ({ method, key }) => {
      if (method !== 'PUT' || !key.endsWith('cursor.json') || ++cursorWrites !== 3) return
      const body = (await readText(place.bucket, key)).replaceAll('"epoch":1', '"epoch":2')
      await putText(place.bucket, key, body)
      other.resolve(body)
    },
  })
  expect(await execute()).toMatchObject({ status: 'busy' })
  heal()
  const runId = await openRunId(place.bucket)
  expect(await readText(place.bucket, `runs/${runId}/cursor.json`)).toBe(await other.promise)
  await expectWholeAndTrue(await resumeUntilClosed(place))
})

test('404 on If-Match: a cursor that disappeared during the run is an error, and is not created again', async () => {
  let gone = false
  s3.setHooks(place.bucket.bucket, {
    before: async (request) => {
      if (gone || !isUsersPart(request)) return
      gone = true
      await remove(place.bucket, `runs/${await openRunId(place.bucket)}/cursor.json`)
    },
  })
  expect(await failure(execute())).toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining('cursor.json'),
  })
  heal()
  const runId = await openRunId(place.bucket)
  expect(await keys(place.bucket, `runs/${runId}/cursor`)).toEqual([])
  const before = { stored: await everything(), ledger: await dump(place.sql) }
  expect(await failure(execute())).toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining(`{"abandon": "${runId}"`),
  })
  expect({ stored: await everything(), ledger: await dump(place.sql) }).toEqual(before)
})

/**
 * A run whose last page, 2, was committed, in its second attempt, before its holder died; every lease has
 * expired.
 */
async function begun(): Promise<string> {
  let outcomes = 0
  let dead = false
  answer((request) => {
    dead ||= isUsersPart(request) && ++outcomes === 3
    return dead ? 'drop' : undefined
  })
  await place.disturbed(EVENT)
  heal()
  await place.later()
  return openRunId(place.bucket)
}

/** Page 2 was committed in its second attempt; this is one of the two. */
const intentKey = (runId: string, nth: number) => `intents/${runId}/${attemptName(2, 1, nth)}.jsonl`
const half = (body: string) => body.slice(0, body.length / 2)
const withoutLastLine = (body: string) => body.replace(/[^\n]*\n$/, '')

const damages: [
  string,
  (runId: string) => string,
  (body: string, runId: string) => string | Promise<string>,
  RegExp,
][] = [
  ['a cursor cut short', (runId) => `runs/${runId}/cursor.json`, half, /ArchiveCorrupt: .*cursor\.json/],
  ['an empty cursor', (runId) => `runs/${runId}/cursor.json`, () => '', /ArchiveCorrupt: .*cursor\.json/],
  ['a page cut short', (runId) => `runs/${runId}/pages/00002.json`, half, /ArchiveCorrupt: .*00002\.json/],
  [
    'the users of another page',
    (runId) => `runs/${runId}/pages/00002.json`,
    (_, runId) => readText(place.bucket, `runs/${runId}/pages/00000.json`),
    /ArchiveCorrupt: .*00002\.json/,
  ],
  ['an intent cut in the middle', (runId) => intentKey(runId, 1), half, /ArchiveCorrupt: .*intents/],
  [
    'an intent without its last line',
    (runId) => intentKey(runId, 1),
    withoutLastLine,
    /ArchiveCorrupt: .*intents/,
  ],
  [
    'an intent with other inputs',
    (runId) => intentKey(runId, 1),
    (body) => body.replace('@kilo.ai', '@kilo.aj'),
    /PlannedByOtherVersion: .*intents/,
  ],
  [
    'an intent of another attempt',
    (runId) => intentKey(runId, 1),
    (_, runId) => readText(place.bucket, `intents/${runId}/${attemptName(0, 1, 1)}.jsonl`),
    /ArchiveCorrupt: .*intents/,
  ],
  ['run.json cut short', (runId) => `runs/${runId}/run.json`, half, /ArchiveCorrupt: .*run\.json/],
  ['writer.json cut short', () => 'control/writer.json', half, /ArchiveCorrupt: .*writer\.json/],
  [
    'a part of the users log that was cut short',
    (runId) => `logs/users/${runId}/00000-0001.jsonl`,
    half,
    /ArchiveCorrupt: .*logs\/users/,
  ],
  [
    'a part of the mutation log that lost its last line',
    (runId) => `logs/mutations/${runId}/00000-0001.jsonl`,
    withoutLastLine,
    /ArchiveCorrupt: .*logs\/mutations/,
  ],
]

test.each(damages)(
  '%s: an error that says so; once it is restored, the run is resumed to its right end',
  async (_what, keyOf, damage, error) => {
    const runId = await begun()
    const key = keyOf(runId)
    const good = await readText(place.bucket, key)
    const bad = await damage(good, runId)
    expect(bad).not.toBe(good)
    await putText(place.bucket, key, bad)
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
    await putText(place.bucket, key, good)
    await expectWholeAndTrue(await resumeUntilClosed(place))
  },
)

test('a summary cut short: nothing is closed over it', async () => {
  answer(({ method, key }) =>
    method === 'PUT' && key.endsWith('manifest.json') ? { status: 403, code: 'AccessDenied' } : undefined,
  )
  expect(await failure(execute())).toMatchObject({ name: 'ArchiveUnavailable' })
  heal()
  const key = `runs/${await openRunId(place.bucket)}/summary.json`
  const good = await readText(place.bucket, key)
  await putText(place.bucket, key, half(good))
  expect(await failure(execute())).toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining('summary.json'),
  })
  expect(await readText(place.bucket, key)).toBe(half(good))
  await putText(place.bucket, key, good)
  await expectWholeAndTrue(await resumeUntilClosed(place))
  expect(await readText(place.bucket, key)).toBe(good)
})

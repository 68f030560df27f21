import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startS3, type S3Hooks, type S3Server } from '../../bin/sandbox/s3.ts'
import { list } from '../../lambda/archive/s3/list.ts'
import { create, get, getVerified, replaceIfMatch, swap } from '../../lambda/archive/s3/objects.ts'
import type { Store } from '../../lambda/archive/s3/store.ts'
import { readBytes } from '../../lambda/archive/s3/stream.ts'
import { clientFor, freshBucket, keys, readText, storeOf, type TestBucket } from '../support/bucket.ts'
import { type MisbehavingS3, startMisbehavingS3 } from '../support/servers/misbehaving-s3.ts'

const JSON_TYPE = 'application/json'
const TRIES = 3
const WAITS = { tries: TRIES, pauseMs: 1 }
/** Short enough for a test, and far longer than a local server takes to answer. */
const SHORT = { ...WAITS, requestMs: 1_500, silenceMs: 1_500 }

let s3: S3Server
let bucket: TestBucket
let store: Store
beforeAll(async () => {
  s3 = await startS3()
})
afterAll(() => s3.stop())
beforeEach(async () => {
  bucket = await freshBucket(s3.endpoint)
  store = { ...storeOf({ ...bucket, client: clientFor(s3.endpoint, { maxAttempts: 1 }) }), waits: WAITS }
})

/** Applies a fault to the first write. */
function onFirstWrite(hooks: { before?: S3Hooks['before']; after?: S3Hooks['after'] }): void {
  let writes = 0
  const isFirst = ({ method }: { method: string }): boolean => method === 'PUT' && ++writes === 1
  s3.setHooks(bucket.bucket, {
    before: (request) => (hooks.before && isFirst(request) ? hooks.before(request) : undefined),
    after: (request, status) => (hooks.after && isFirst(request) ? hooks.after(request, status) : undefined),
  })
}

const rival = (key: string, body: string): Promise<unknown> =>
  clientFor(s3.endpoint).send(new PutObjectCommand({ Bucket: bucket.bucket, Key: key, Body: body }))

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

async function drain<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

const readAll = async (key: string, range?: { from: number; to: number }): Promise<string> =>
  Buffer.concat(await drain(readBytes(store, key, range))).toString()

describe('create', () => {
  test('writes once: the same again is fine, another is refused and nothing is overwritten', async () => {
    const written = { etag: expect.any(String), bytes: 3, sha256: sha256('one') }
    expect(await create(store, 'a', 'one', JSON_TYPE)).toEqual(written)
    expect(await create(store, 'a', 'one', JSON_TYPE)).toEqual(written)
    expect(await create(store, 'a', 'two', JSON_TYPE)).toBeNull()
    expect(await readText(bucket, 'a')).toBe('one')
  })

  test('chunks are one object, written in one request', async () => {
    s3.setHooks(bucket.bucket, {})
    const chunks = ['ab', '', 'cdé'].map((text) => Buffer.from(text))
    expect(await create(store, 'a', chunks, JSON_TYPE)).toMatchObject({ bytes: 6, sha256: sha256('abcdé') })
    expect(s3.requestCount(bucket.bucket)).toBe(1)
    expect(await get(store, 'a')).toMatchObject({ body: 'abcdé' })
  })

  test('an empty body is a body', async () => {
    expect(await create(store, 'a', '', JSON_TYPE)).toMatchObject({ bytes: 0, sha256: sha256('') })
    expect(await get(store, 'a')).toMatchObject({ body: '' })
    expect(await drain(readBytes(store, 'a'))).toEqual([])
  })

  test.each<[string, S3Hooks['after']]>([
    ['cut off', () => 'drop'],
    ['a 500', () => ({ status: 500, code: 'InternalError' })],
    ['a 503', () => ({ status: 503, code: 'SlowDown' })],
  ])('a reply that is lost (%s) after the write took effect is a success', async (_how, after) => {
    onFirstWrite({ after })
    expect(await create(store, 'a', 'one', JSON_TYPE)).toMatchObject({ sha256: sha256('one') })
    expect(await readText(bucket, 'a')).toBe('one')
  })

  test('another writer who is faster wins', async () => {
    onFirstWrite({ before: async () => void (await rival('a', 'theirs')) })
    expect(await create(store, 'a', 'mine', JSON_TYPE)).toBeNull()
    expect(await readText(bucket, 'a')).toBe('theirs')
  })

  test('409 means try again', async () => {
    onFirstWrite({ before: () => ({ status: 409, code: 'ConditionalRequestConflict' }) })
    expect(await create(store, 'a', 'one', JSON_TYPE)).not.toBeNull()
  })

  test('an abandoned write is an error, and is not tried again', async () => {
    const gone = new AbortController()
    s3.setHooks(bucket.bucket, { before: () => gone.abort() })
    await expect(create(store, 'a', 'one', JSON_TYPE, gone.signal)).rejects.toMatchObject({
      name: 'ArchiveUnavailable',
    })
    expect(s3.requestCount(bucket.bucket)).toBe(1)
  })
})

describe('swap and replaceIfMatch', () => {
  test('replace what was read, and nothing else', async () => {
    const first = await swap(store, 'a', '{"nonce":1}', null)
    const second = await swap(store, 'a', '{"nonce":2}', first)
    expect(await swap(store, 'a', '{"nonce":3}', first)).toBeNull()
    expect(await swap(store, 'a', '{"nonce":4}', null)).toBeNull()
    expect(await replaceIfMatch(store, 'a', 'five', JSON_TYPE, first ?? '')).toBeNull()
    expect(await get(store, 'a')).toMatchObject({ body: '{"nonce":2}', etag: second })
    const third = await replaceIfMatch(store, 'a', '', JSON_TYPE, second ?? '')
    expect(third).toMatchObject({ bytes: 0, sha256: sha256('') })
    expect(await get(store, 'a')).toMatchObject({ body: '', etag: third?.etag })
  })

  test('a lost reply is found again by the nonce, with the ETag of what was written', async () => {
    const first = await swap(store, 'a', '{"nonce":1}', null)
    onFirstWrite({ after: () => 'drop' })
    const second = await swap(store, 'a', '{"nonce":2}', first)
    expect(second).not.toBeNull()
    expect(await swap(store, 'a', '{"nonce":3}', second)).not.toBeNull()
  })

  test('of many at once, one wins', async () => {
    const first = await swap(store, 'a', '{"nonce":0}', null)
    const swaps = await Promise.all(
      Array.from({ length: 20 }, (_, nonce) => swap(store, 'a', JSON.stringify({ nonce: nonce + 1 }), first)),
    )
    expect(swaps.filter((etag) => etag !== null)).toHaveLength(1)
  })

  test('an object that is gone is an error, and is not created again', async () => {
    const gone = { name: 'ArchiveCorrupt', message: expect.stringContaining('a is gone from the bucket') }
    const etag = '"0123456789abcdef0123456789abcdef"'
    await expect(swap(store, 'a', '{"nonce":1}', etag)).rejects.toMatchObject(gone)
    await expect(replaceIfMatch(store, 'a', 'x', JSON_TYPE, etag)).rejects.toMatchObject(gone)
    expect(await keys(bucket)).toEqual([])
  })
})

test.each([
  [403, 'AccessDenied'],
  [403, 'InvalidAccessKeyId'],
  [404, 'NoSuchBucket'],
  [500, 'InternalError'],
])('%i %s never passes for absent', async (status, code) => {
  s3.setHooks(bucket.bucket, { before: () => ({ status, code }) })
  const expected = { name: 'ArchiveUnavailable', message: expect.stringContaining(bucket.bucket) }
  await expect(get(store, 'a')).rejects.toMatchObject(expected)
  await expect(create(store, 'a', 'x', JSON_TYPE)).rejects.toMatchObject(expected)
  await expect(readAll('a')).rejects.toMatchObject(expected)
  await expect(drain(list(store, 'a'))).rejects.toMatchObject(expected)
})

test.each([
  [409, 'ConditionalRequestConflict', TRIES],
  [503, 'SlowDown', TRIES],
  [429, 'TooManyRequests', TRIES],
  [403, 'AccessDenied', 1],
])('%i %s for every request: %i tries, then an error', async (status, code, tries) => {
  s3.setHooks(bucket.bucket, { before: () => ({ status, code }) })
  await expect(create(store, 'a', 'one', JSON_TYPE)).rejects.toMatchObject({ name: 'ArchiveUnavailable' })
  expect(s3.requestCount(bucket.bucket)).toBe(tries)
})

test('without time left a request is tried twice and not more often', async () => {
  s3.setHooks(bucket.bucket, { before: () => ({ status: 503, code: 'SlowDown' }) })
  await expect(get({ ...store, timeLeft: () => 0 }, 'a')).rejects.toMatchObject({
    name: 'ArchiveUnavailable',
  })
  expect(s3.requestCount(bucket.bucket)).toBe(2)
})

test('absent is null for a document, and an error for what must be there', async () => {
  expect(await get(store, 'a')).toBeNull()
  const missing = { name: 'ArchiveCorrupt', message: expect.stringContaining('a is missing') }
  await expect(readAll('a')).rejects.toMatchObject(missing)
  await expect(getVerified(store, 'a', { bytes: 1, sha256: '' })).rejects.toMatchObject(missing)
})

test('what is read back is compared with what its writer recorded', async () => {
  const written = await create(store, 'logs/a.jsonl', '{"usd":15}\n', JSON_TYPE)
  if (!written) throw new Error('It was not written.')
  expect(await getVerified(store, 'logs/a.jsonl', written)).toMatchObject({ body: '{"usd":15}\n' })
  await rival('logs/a.jsonl', '{"usd":21}\n')
  await expect(getVerified(store, 'logs/a.jsonl', written)).rejects.toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringMatching(/^logs\/a\.jsonl is not as the job wrote it: 11 bytes with SHA-256 /),
  })
})

test('lists more than one page of keys, with their sizes', async () => {
  const names = Array.from({ length: 1_005 }, (_, n) => `p/${String(n).padStart(4, '0')}`)
  for (let at = 0; at < names.length; at += 100)
    await Promise.all(
      names.slice(at, at + 100).map((name) => create(store, name, name.slice(0, 3), JSON_TYPE)),
    )
  expect(await drain(list(store, 'p/'))).toEqual(names.map((key) => ({ key, bytes: 3 })))
  expect(await drain(list(store, 'q/'))).toEqual([])
})

describe('S3 that falls silent', () => {
  const TEXT = '0123456789abcde\n'.repeat(64 * 1024)
  let proxy: MisbehavingS3
  beforeEach(async () => {
    proxy = await startMisbehavingS3(s3.endpoint)
    store = { ...storeOf({ ...bucket, client: clientFor(proxy.endpoint, { maxAttempts: 1 }) }), waits: SHORT }
    return () => proxy.stop()
  })
  const first = (behaviour: 'silent' | 'mute' | 'half, then silent' | 'half, then cut') =>
    proxy.behave((_request, number) => (number === 1 ? behaviour : 'pass'))

  test('before a PUT takes effect: it is tried again', async () => {
    first('silent')
    expect(await create(store, 'a', 'one', JSON_TYPE)).not.toBeNull()
    expect(proxy.requests).toHaveLength(2)
    expect(await readText(bucket, 'a')).toBe('one')
  })

  test('after a PUT took effect: the second try is answered 412, and what is there is this write', async () => {
    first('mute')
    expect(await create(store, 'a', 'one', JSON_TYPE)).toMatchObject({ sha256: sha256('one') })
    expect(proxy.requests.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'GET'])
    const read = await get(store, 'a')
    first('mute')
    expect(await swap(store, 'a', 'two', read?.etag ?? null)).not.toBeNull()
    expect(await readText(bucket, 'a')).toBe('two')
  })

  test.each(['silent', 'half, then silent', 'half, then cut'] as const)(
    'to a GET (%s): it is tried again, and the object comes whole',
    async (behaviour) => {
      await create(store, 'a', TEXT, JSON_TYPE)
      first(behaviour)
      expect((await get(store, 'a'))?.body === TEXT).toBe(true)
      expect(proxy.requests).toHaveLength(2)
    },
  )

  test('to a list: it is tried again', async () => {
    await create(store, 'a', 'one', JSON_TYPE)
    first('half, then silent')
    expect(await drain(list(store, ''))).toEqual([{ key: 'a', bytes: 3 }])
  })

  test('for ever: a named error after a few tries', async () => {
    proxy.behave(() => 'silent')
    const writing = create({ ...store, waits: { ...WAITS, requestMs: 200 } }, 'a', 'one', JSON_TYPE)
    await expect(writing).rejects.toMatchObject({
      name: 'ArchiveUnavailable',
      message: expect.stringMatching(/^Could not write a in the bucket .*: S3 did not answer in time/),
    })
    expect(proxy.requests).toHaveLength(TRIES)
  })

  test.each(['half, then silent', 'half, then cut'] as const)(
    'in the middle of a stream (%s): reading resumes where it stopped',
    async (behaviour) => {
      await create(store, 'a', TEXT, JSON_TYPE)
      first(behaviour)
      expect((await readAll('a')) === TEXT).toBe(true)
      first(behaviour)
      expect((await readAll('a', { from: 16, to: 160_000 })) === TEXT.slice(16, 160_000)).toBe(true)
    },
  )

  test('in the middle of a stream of an object that was replaced meanwhile: an error', async () => {
    await create(store, 'a', TEXT, JSON_TYPE)
    first('half, then cut')
    const chunks = readBytes(store, 'a')
    await chunks.next()
    await rival('a', 'another')
    await expect(drain(chunks)).rejects.toMatchObject({
      name: 'ArchiveCorrupt',
      message: expect.stringContaining('a was replaced while it was read'),
    })
  })

  test('a reader that takes its time is no stall', async () => {
    store = { ...store, waits: { ...WAITS, silenceMs: 200 } }
    await create(store, 'a', TEXT, JSON_TYPE)
    proxy.behave(() => 'pass')
    const chunks: Uint8Array[] = []
    for await (const chunk of readBytes(store, 'a')) {
      if (chunks.push(chunk) === 1) await pause(600)
    }
    expect(Buffer.concat(chunks).toString() === TEXT).toBe(true)
    expect(proxy.requests).toHaveLength(1)
  })
})

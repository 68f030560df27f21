import { PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startS3, type S3Hooks, type S3Server } from '../../bin/sandbox/s3.ts'
import {
  create,
  createFromStream,
  get,
  list,
  readBytes,
  swap,
  type Store,
} from '../../lambda/archive/store.ts'
import { clientFor, freshBucket, keys, readText, type TestBucket } from '../support/bucket.ts'

const JSON_TYPE = 'application/json'
const MIB = 1024 * 1024

let s3: S3Server
let bucket: TestBucket
let store: Store
beforeAll(async () => {
  s3 = await startS3()
})
afterAll(() => s3.stop())
beforeEach(async () => {
  bucket = await freshBucket(s3.endpoint)
  store = { client: clientFor(s3.endpoint, { maxAttempts: 3 }), bucket: bucket.bucket }
})

/** Lets the first write of a key meet a fault; `mine` says which requests count. */
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

describe('create', () => {
  test('writes once: the same again is fine, another is refused and nothing is overwritten', async () => {
    expect(await create(store, 'a', 'one', JSON_TYPE)).toBe(true)
    expect(await create(store, 'a', 'one', JSON_TYPE)).toBe(true)
    expect(await create(store, 'a', 'two', JSON_TYPE)).toBe(false)
    expect(await readText(bucket, 'a')).toBe('one')
  })

  test('an empty body is a body', async () => {
    expect(await create(store, 'a', '', JSON_TYPE)).toBe(true)
    expect(await get(store, 'a')).toMatchObject({ body: '' })
  })

  test.each<[string, S3Hooks['after']]>([
    ['cut off', () => 'drop'],
    ['a 500', () => ({ status: 500, code: 'InternalError' })],
    ['a 503', () => ({ status: 503, code: 'SlowDown' })],
  ])('a reply that is lost (%s) after the write took effect is a success', async (_how, after) => {
    onFirstWrite({ after })
    expect(await create(store, 'a', 'one', JSON_TYPE)).toBe(true)
    expect(await readText(bucket, 'a')).toBe('one')
  })

  test('a rival who is faster wins, also when our own reply would have been lost', async () => {
    onFirstWrite({ before: async () => void (await rival('a', 'theirs')) })
    expect(await create(store, 'a', 'mine', JSON_TYPE)).toBe(false)
    expect(await readText(bucket, 'a')).toBe('theirs')
  })

  test('409 means try again', async () => {
    onFirstWrite({ before: () => ({ status: 409, code: 'ConditionalRequestConflict' }) })
    expect(await create(store, 'a', 'one', JSON_TYPE)).toBe(true)
  })

  test('409 for ever is an error', async () => {
    s3.setHooks(bucket.bucket, { before: () => ({ status: 409, code: 'ConditionalRequestConflict' }) })
    await expect(create(store, 'a', 'one', JSON_TYPE)).rejects.toMatchObject({ name: 'ArchiveUnavailable' })
  })

  test('an abandoned write is an error, and may be there or not', async () => {
    const gone = new AbortController()
    s3.setHooks(bucket.bucket, { before: () => gone.abort() })
    await expect(create(store, 'a', 'one', JSON_TYPE, gone.signal)).rejects.toMatchObject({
      name: 'ArchiveUnavailable',
    })
  })

  test('an abandoned write of a large object is an error too, as soon as it is abandoned', async () => {
    const gone = new AbortController()
    let requests = 0
    s3.setHooks(bucket.bucket, {
      before: () => {
        if (++requests === 1) gone.abort()
      },
    })
    await expect(create(store, 'a', 'x'.repeat(9 * MIB), JSON_TYPE, gone.signal)).rejects.toMatchObject({
      name: 'ArchiveUnavailable',
    })
    expect(await keys(bucket)).toEqual([])
  })
})

describe('swap', () => {
  test('replaces what was read, and nothing else', async () => {
    const first = await swap(store, 'a', '{"nonce":1}', null)
    const second = await swap(store, 'a', '{"nonce":2}', first)
    expect(await swap(store, 'a', '{"nonce":3}', first)).toBeNull()
    expect(await swap(store, 'a', '{"nonce":4}', null)).toBeNull()
    expect(await get(store, 'a')).toEqual({ body: '{"nonce":2}', etag: second })
  })

  test('a lost reply is found again by the nonce, with the ETag to go on with', async () => {
    const first = await swap(store, 'a', '{"nonce":1}', null)
    onFirstWrite({ after: () => 'drop' })
    const second = await swap(store, 'a', '{"nonce":2}', first)
    expect(second).not.toBeNull()
    expect(await swap(store, 'a', '{"nonce":3}', second)).not.toBeNull()
  })

  test('of two at once, one wins', async () => {
    const first = await swap(store, 'a', '{"nonce":0}', null)
    const swaps = await Promise.all(
      Array.from({ length: 20 }, (_, nonce) => swap(store, 'a', JSON.stringify({ nonce: nonce + 1 }), first)),
    )
    expect(swaps.filter((etag) => etag !== null)).toHaveLength(1)
  })

  test('what has gone is an error, never written anew', async () => {
    await expect(swap(store, 'a', '{"nonce":1}', '"0123456789abcdef0123456789abcdef"')).rejects.toMatchObject(
      { name: 'ArchiveCorrupt', message: expect.stringContaining('a has gone') },
    )
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
  await expect(drain(readBytes(store, 'a'))).rejects.toMatchObject(expected)
  await expect(drain(list(store, 'a'))).rejects.toMatchObject(expected)
})

test('absent is null for a document, and an error for what must be there', async () => {
  expect(await get(store, 'a')).toBeNull()
  await expect(drain(readBytes(store, 'a'))).rejects.toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining('a is missing'),
  })
})

async function drain<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

describe('large objects', () => {
  const large = '0123456789abcde\n'.repeat((17 * MIB) / 16)
  const isWhole = async (): Promise<void> => expect((await readText(bucket, 'a')) === large).toBe(true)

  test('go up in parts, once, and come back whole', async () => {
    expect(await create(store, 'a', large, JSON_TYPE)).toBe(true)
    await isWhole()
    expect(await create(store, 'a', large, JSON_TYPE)).toBe(true)
    expect(await create(store, 'a', `${large}.`, JSON_TYPE)).toBe(false)
    await isWhole()
  })

  test('a stream too: the second is refused by S3 itself', async () => {
    const stream = async function* (): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < large.length; at += 700_001) yield Buffer.from(large.slice(at, at + 700_001))
    }
    expect(await createFromStream(store, 'a', stream(), JSON_TYPE)).toBe(true)
    await isWhole()
    expect(await createFromStream(store, 'a', stream(), JSON_TYPE)).toBe(false)
  })

  test('a rival while the parts go up wins', async () => {
    let parts = 0
    s3.setHooks(bucket.bucket, {
      before: async ({ query }) => {
        if (query.partNumber !== undefined && ++parts === 2) await rival('a', 'theirs')
      },
    })
    expect(await create(store, 'a', large, JSON_TYPE)).toBe(false)
    expect(await readText(bucket, 'a')).toBe('theirs')
  })

  test.each([6, 12, 30])(
    'a refused part of a stream of %i MiB is an error that says why',
    async (mebibytes) => {
      s3.setHooks(bucket.bucket, {
        before: ({ query }) => (query.partNumber === '2' ? { status: 403, code: 'AccessDenied' } : undefined),
      })
      const stream = async function* (): AsyncGenerator<Uint8Array> {
        for (let n = 0; n < mebibytes; n++) yield Buffer.alloc(MIB, 10)
      }
      await expect(createFromStream(store, 'a', stream(), JSON_TYPE)).rejects.toMatchObject({
        name: 'ArchiveUnavailable',
        message: expect.stringContaining('403'),
      })
      expect(await keys(bucket)).toEqual([])
    },
  )

  test('a stream that fails is no object, and its own error comes through', async () => {
    const stream = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(9 * MIB, 10)
      throw new Error('the source broke')
    }
    await expect(createFromStream(store, 'a', stream(), JSON_TYPE)).rejects.toThrow('the source broke')
    expect(await keys(bucket)).toEqual([])
  })
})

test('lists more than one page of keys', async () => {
  const names = Array.from({ length: 1_005 }, (_, n) => `p/${String(n).padStart(4, '0')}`)
  for (let at = 0; at < names.length; at += 100)
    await Promise.all(names.slice(at, at + 100).map((name) => create(store, name, '', JSON_TYPE)))
  expect(await drain(list(store, 'p/'))).toEqual(names)
  expect(await drain(list(store, 'q/'))).toEqual([])
})

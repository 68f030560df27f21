import { Readable } from 'node:stream'
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startS3 } from '../../bin/sandbox/s3.ts'
import type { S3Fault, S3Hooks, S3Request, S3Server } from '../../bin/sandbox/s3.ts'
import { clientFor, freshBucket, keys, readText } from '../support/bucket.ts'
import type { TestBucket } from '../support/bucket.ts'
import { ABSENT, put, refusedWith } from './s3-requests.ts'

let s3: S3Server
let bucket: TestBucket
beforeAll(async () => {
  s3 = await startS3()
})
afterAll(() => s3.stop())
beforeEach(async () => {
  // One attempt, so that the fault is what the caller sees.
  bucket = { ...(await freshBucket(s3.endpoint)), client: clientFor(s3.endpoint, { maxAttempts: 1 }) }
})

test('hooks get each request of their bucket, numbered, and none of other buckets', async () => {
  const seen: S3Request[] = []
  s3.setHooks(bucket.bucket, { before: (request) => void seen.push(request) })
  await put(await freshBucket(s3.endpoint), 'elsewhere', 'x')
  await put(bucket, 'a/b', 'x')
  await keys(bucket, 'a/')
  expect(seen).toMatchObject([
    { number: 1, method: 'PUT', bucket: bucket.bucket, key: 'a/b' },
    { number: 2, method: 'GET', bucket: bucket.bucket, key: '', query: { prefix: 'a/' } },
  ])
  expect(s3.requestCount(bucket.bucket)).toBe(2)
  s3.setHooks(bucket.bucket, undefined)
  await put(bucket, 'a/c', 'x')
  expect(seen).toHaveLength(2)
})

test.each<[string, S3Fault, unknown]>([
  ['an S3 error', { status: 503, code: 'SlowDown' }, refusedWith('SlowDown', 503)],
  ['a closed connection', 'drop', expect.objectContaining({ code: 'ECONNRESET' })],
])('before: %s, and the request has no effect', async (_name, fault, expected) => {
  s3.setHooks(bucket.bucket, { before: ({ number }) => (number === 1 ? fault : undefined) })
  await expect(put(bucket, 'key', 'x')).rejects.toEqual(expected)
  expect(await keys(bucket)).toEqual([])
})

test.each<[string, S3Fault, unknown]>([
  ['an S3 error', { status: 500, code: 'InternalError' }, refusedWith('InternalError', 500)],
  ['a closed connection', 'drop', expect.objectContaining({ code: 'ECONNRESET' })],
])('after: %s instead of the answer, and the request has taken effect', async (_name, fault, expected) => {
  const statuses: number[] = []
  s3.setHooks(bucket.bucket, {
    after: ({ number }, status) => {
      statuses.push(status)
      return number === 1 ? fault : undefined
    },
  })
  await expect(put(bucket, 'key', 'x', ABSENT)).rejects.toEqual(expected)
  expect(await readText(bucket, 'key')).toBe('x')
  await expect(put(bucket, 'key', 'y', ABSENT)).rejects.toEqual(refusedWith('PreconditionFailed', 412))
  expect(statuses).toEqual([200, 200, 412])
})

test('hooks may be slow, for example for a write that wins a race', async () => {
  const rival = await freshBucket(s3.endpoint)
  s3.setHooks(bucket.bucket, {
    before: async ({ number }) => {
      if (number === 1) await put({ ...rival, bucket: bucket.bucket }, 'key', 'rival', ABSENT)
    },
  })
  await expect(put(bucket, 'key', 'mine', ABSENT)).rejects.toEqual(refusedWith('PreconditionFailed', 412))
  expect(await readText(bucket, 'key')).toBe('rival')
})

test('a request whose hook throws is answered with the message of the error', async () => {
  s3.setHooks(bucket.bucket, {
    before: ({ number }) => {
      if (number === 1) throw new Error('broken before')
    },
    after: async ({ number }) => {
      if (number === 2) throw new Error('broken after')
    },
  })
  await expect(put(bucket, 'key', 'x')).rejects.toThrow('broken before')
  await expect(put(bucket, 'key', 'x')).rejects.toThrow('broken after')
  await expect(put(bucket, 'key', 'x')).resolves.toBeDefined()
})

/** Hooks that give one fault to the first request, and a promise that is kept when that has happened. */
function faultOnFirst(when: 'before' | 'after', fault: S3Fault): { hooks: S3Hooks; given: Promise<void> } {
  const { promise: given, resolve } = Promise.withResolvers<void>()
  const hook = ({ number }: S3Request) => {
    if (number !== 1) return undefined
    resolve()
    return fault
  }
  return { hooks: { [when]: hook }, given }
}

test.each([
  ['before', false],
  ['after', true],
] as const)('%s: a silent request is never answered, and takes effect: %s', async (when, isStored) => {
  const { hooks, given } = faultOnFirst(when, 'silent')
  s3.setHooks(bucket.bucket, hooks)
  const abort = new AbortController()
  const command = new PutObjectCommand({ Bucket: bucket.bucket, Key: 'key', Body: 'x' })
  let isAnswered = false
  const sent = bucket.client.send(command, { abortSignal: abort.signal }).finally(() => (isAnswered = true))
  await given
  expect(await keys(bucket)).toEqual(isStored ? ['key'] : [])
  expect(isAnswered).toBe(false)
  abort.abort()
  await expect(sent).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
})

test('a stalled GET sends its headers and half of its body, and then nothing', async () => {
  const body = Buffer.alloc(1_000_001, 'x')
  await put(bucket, 'key', body)
  const { hooks } = faultOnFirst('after', 'stall')
  s3.setHooks(bucket.bucket, hooks)
  const { Body, ContentLength } = await bucket.client.send(
    new GetObjectCommand({ Bucket: bucket.bucket, Key: 'key' }),
  )
  expect(ContentLength).toBe(body.length)
  if (!(Body instanceof Readable)) throw new Error('The body is not a stream.')
  let received = 0
  const half = Promise.withResolvers<void>()
  Body.on('data', ({ length }: Buffer) => {
    received += length
    if (received >= 500_000) half.resolve()
  })
  await half.promise
  expect(await readText(bucket, 'key')).toHaveLength(body.length)
  expect(received).toBe(500_000)
  Body.destroy()
})

test('a stalled PUT takes effect and is never answered', async () => {
  const { hooks, given } = faultOnFirst('before', 'stall')
  const own = await startS3({ buckets: ['own'] })
  own.setHooks('own', hooks)
  const client = clientFor(own.endpoint, { maxAttempts: 1 })
  const sent = put({ client, endpoint: own.endpoint, bucket: 'own' }, 'key', 'x')
  const failure = sent.catch((error: unknown) => error)
  await given
  expect(await readText({ client, endpoint: own.endpoint, bucket: 'own' }, 'key')).toBe('x')
  // The request ends only when the server stops, which does not wait for it.
  await own.stop()
  expect(await failure).toMatchObject({ code: 'ECONNRESET' })
})

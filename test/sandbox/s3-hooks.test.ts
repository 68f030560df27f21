import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startS3 } from '../../bin/sandbox/s3.ts'
import type { S3Fault, S3Request, S3Server } from '../../bin/sandbox/s3.ts'
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

test('see each request of their bucket, numbered, and nothing of other buckets', async () => {
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
  ['a cut connection', 'drop', expect.objectContaining({ code: 'ECONNRESET' })],
])('before: %s without effect', async (_name, fault, expected) => {
  s3.setHooks(bucket.bucket, { before: ({ number }) => (number === 1 ? fault : undefined) })
  await expect(put(bucket, 'key', 'x')).rejects.toEqual(expected)
  expect(await keys(bucket)).toEqual([])
})

test.each<[string, S3Fault, unknown]>([
  ['an S3 error', { status: 500, code: 'InternalError' }, refusedWith('InternalError', 500)],
  ['a cut connection', 'drop', expect.objectContaining({ code: 'ECONNRESET' })],
])('after: %s in place of the answer, once it took effect', async (_name, fault, expected) => {
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

test('may do work of their own between two requests, such as a write that wins the race', async () => {
  const rival = await freshBucket(s3.endpoint)
  s3.setHooks(bucket.bucket, {
    before: async ({ number }) => {
      if (number === 1) await put({ ...rival, bucket: bucket.bucket }, 'key', 'rival', ABSENT)
    },
  })
  await expect(put(bucket, 'key', 'mine', ABSENT)).rejects.toEqual(refusedWith('PreconditionFailed', 412))
  expect(await readText(bucket, 'key')).toBe('rival')
})

test('a hook that fails makes its request fail with what it said', async () => {
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

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { GetObjectCommand } from '@aws-sdk/client-s3'
import { beforeEach, describe, expect, test } from 'vitest'
import { freshBucket, keys, readText } from '../support/bucket.ts'
import type { TestBucket } from '../support/bucket.ts'
import { put, refusedWith, sendRaw } from './s3-requests.ts'

const MIB = 1024 * 1024

let bucket: TestBucket
beforeEach(async () => {
  bucket = await freshBucket()
})

test('an object of 64 MiB is stored with one PUT, and comes back unchanged', async () => {
  const body = Buffer.alloc(64 * MIB)
  for (let at = 0; at < body.length; at += 32) body.writeUInt32LE((at * 2654435761) % 2 ** 32, at)
  const { ETag } = await put(bucket, 'large', body)
  expect(ETag).toBe(`"${createHash('md5').update(body).digest('hex')}"`)
  const { Body } = await bucket.client.send(new GetObjectCommand({ Bucket: bucket.bucket, Key: 'large' }))
  expect(body.equals((await Body?.transformToByteArray()) ?? Buffer.of())).toBe(true)
})

test('a stream, which the AWS SDK sends in chunks with its checksum behind them, is stored', async () => {
  const chunks = Array.from({ length: 40 }, (_, n) => Buffer.alloc(50_000 + n, `${n},`))
  const Body = Readable.from(chunks, { objectMode: false })
  const ContentLength = chunks.reduce((sum, { length }) => sum + length, 0)
  const { ChecksumCRC32 } = await put(bucket, 'stream', '', { Body, ContentLength })
  expect(ChecksumCRC32).toHaveLength(8)
  expect(await readText(bucket, 'stream')).toBe(Buffer.concat(chunks).toString())
})

describe('a body that does not have its checksum is refused, and the old object remains', () => {
  test.each([
    ['CRC-32', { ChecksumCRC32: 'AAAAAA==' }, 'BadDigest', 400],
    ['SHA-256', { ChecksumSHA256: createHash('sha256').update('other').digest('base64') }, 'BadDigest', 400],
    ['MD5', { ContentMD5: createHash('md5').update('other').digest('base64') }, 'BadDigest', 400],
    ['CRC-32C, which this server cannot verify', { ChecksumCRC32C: 'AAAAAA==' }, 'NotImplemented', 501],
  ])('%s', async (_name, checksum, code, status) => {
    await put(bucket, 'a', 'old')
    await expect(put(bucket, 'a', 'new', checksum)).rejects.toEqual(refusedWith(code, status))
    expect(await readText(bucket, 'a')).toBe('old')
  })

  test('the hash that the request was signed with', async () => {
    await put(bucket, 'a', 'old')
    const signedFor = async (hash: string) =>
      sendRaw(bucket.endpoint, {
        method: 'PUT',
        path: `/${bucket.bucket}/a`,
        headers: { 'content-length': '3', 'x-amz-content-sha256': hash },
        body: 'new',
      })
    const refused = { status: 400, body: expect.stringContaining('XAmzContentSHA256Mismatch') }
    expect(await signedFor('0'.repeat(64))).toEqual(refused)
    expect(await readText(bucket, 'a')).toBe('old')
    expect(await signedFor('UNSIGNED-PAYLOAD')).toMatchObject({ status: 200 })
  })

  test('the right checksums are accepted', async () => {
    const ContentMD5 = createHash('md5').update('new').digest('base64')
    const ChecksumSHA256 = createHash('sha256').update('new').digest('base64')
    await put(bucket, 'a', 'new', { ContentMD5, ChecksumSHA256 })
    expect(await readText(bucket, 'a')).toBe('new')
  })
})

const CRC32_OF_NEW = 'a+NERQ=='

test.each([
  ['right', `3\r\nnew\r\n0\r\nx-amz-checksum-crc32:${CRC32_OF_NEW}\r\n\r\n`, 200, ''],
  ['signed', `3;chunk-signature=00\r\nnew\r\n0\r\nx-amz-checksum-crc32:${CRC32_OF_NEW}\r\n\r\n`, 200, ''],
  ['a wrong checksum', '3\r\nnew\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n', 400, 'BadDigest'],
  ['no checksum', '3\r\nnew\r\n0\r\n\r\n', 400, 'BadDigest'],
  ['too few bytes', '2\r\nne\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n', 400, 'IncompleteBody'],
  ['no last chunk', '3\r\nnew\r\n', 400, 'IncompleteBody'],
  ['a broken size', 'x\r\nnew\r\n0\r\n\r\n', 400, 'InvalidChunkSizeError'],
])('a body in chunks: %s', async (_name, body, status, code) => {
  const answer = await sendRaw(bucket.endpoint, {
    method: 'PUT',
    path: `/${bucket.bucket}/a`,
    headers: {
      'content-length': String(body.length),
      'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      'x-amz-decoded-content-length': '3',
      'x-amz-trailer': 'x-amz-checksum-crc32',
    },
    body,
  })
  expect(answer).toEqual({ status, body: expect.stringContaining(code) })
  const stored = await Promise.all((await keys(bucket)).map((key) => readText(bucket, key)))
  expect(stored).toEqual(status === 200 ? ['new'] : [])
})

test('a body without a length is refused', async () => {
  const outgoing = request(bucket.endpoint, { method: 'PUT', path: `/${bucket.bucket}/a` })
  outgoing.write('one')
  outgoing.end('two')
  const [{ statusCode }] = await once(outgoing, 'response')
  expect(statusCode).toBe(411)
  expect(await keys(bucket)).toEqual([])
})

test('a body that ends before its Content-Length is not stored', async () => {
  const { hostname, port } = new URL(bucket.endpoint)
  const socket = connect(Number(port), hostname)
  socket.end(`PUT /${bucket.bucket}/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nonly`)
  // Ends when the server has ended the connection.
  for await (const _ of socket);
  expect(await keys(bucket)).toEqual([])
})

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
} from '@aws-sdk/client-s3'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startS3 } from '../../bin/sandbox/s3.ts'
import type { S3Server } from '../../bin/sandbox/s3.ts'
import { clientFor, freshBucket, keys, readText } from '../support/bucket.ts'
import type { TestBucket } from '../support/bucket.ts'
import { runAndKill } from './killed.ts'
import { ABSENT, put, type RawRequest, refusedWith, sendRaw } from './s3-requests.ts'

describe('conditional writes', () => {
  let bucket: TestBucket
  beforeAll(async () => {
    bucket = await freshBucket()
  })

  test('If-None-Match: * creates an absent object, and does not replace an existing one', async () => {
    await put(bucket, 'new', 'first', ABSENT)
    await expect(put(bucket, 'new', 'second', ABSENT)).rejects.toEqual(refusedWith('PreconditionFailed', 412))
    expect(await readText(bucket, 'new')).toBe('first')
  })

  test('If-None-Match with anything but * is not supported, as in S3', async () => {
    await expect(put(bucket, 'etag', 'x', { IfNoneMatch: '"abc"' })).rejects.toEqual(
      refusedWith('NotImplemented', 501),
    )
  })

  test('If-Match replaces only the object with that ETag, and is answered with 404 without an object', async () => {
    const { ETag } = await put(bucket, 'cursor', 'one')
    const { ETag: next } = await put(bucket, 'cursor', 'two', { IfMatch: ETag })
    expect(next).not.toBe(ETag)
    await expect(put(bucket, 'cursor', 'three', { IfMatch: ETag })).rejects.toEqual(
      refusedWith('PreconditionFailed', 412),
    )
    await expect(put(bucket, 'absent', 'x', { IfMatch: ETag })).rejects.toEqual(refusedWith('NoSuchKey', 404))
    expect(await readText(bucket, 'cursor')).toBe('two')
  })

  test.each(['If-None-Match', 'If-Match'])(
    'of 60 racing PUTs with %s exactly one succeeds',
    async (header) => {
      const key = `raced with ${header}`
      const condition = header === 'If-Match' ? { IfMatch: (await put(bucket, key, 'before')).ETag } : ABSENT
      const bodies = Array.from({ length: 60 }, (_, index) => `writer ${index}`)
      const answers = await Promise.allSettled(bodies.map((body) => put(bucket, key, body, condition)))
      const won = bodies.filter((_, index) => answers[index]?.status === 'fulfilled')
      expect(won).toEqual([await readText(bucket, key)])
      const lost = answers.flatMap((answer) =>
        answer.status === 'rejected' ? [answer.reason as unknown] : [],
      )
      expect(lost).toEqual(Array.from({ length: 59 }, () => refusedWith('PreconditionFailed', 412)))
    },
  )
})

describe('requests', () => {
  let bucket: TestBucket
  beforeAll(async () => {
    bucket = await freshBucket()
  })

  test('GET and HEAD give what PUT stored: body, ETag, content type, checksum, time', async () => {
    const { ETag } = await put(bucket, 'a', 'content', { ContentType: 'text/plain; charset=utf-8' })
    expect(ETag).toBe(`"${createHash('md5').update('content').digest('hex')}"`)
    const target = { Bucket: bucket.bucket, Key: 'a', ChecksumMode: 'ENABLED' } as const
    const stored = {
      ETag,
      ContentType: 'text/plain; charset=utf-8',
      ContentLength: 7,
      ChecksumCRC32: '/sUwqQ==',
    }
    const head = await bucket.client.send(new HeadObjectCommand(target))
    expect(head).toMatchObject(stored)
    expect(Math.abs(Date.now() - Number(head.LastModified))).toBeLessThan(3_600_000)
    const { Body, ...got } = await bucket.client.send(new GetObjectCommand(target))
    expect(got).toMatchObject(stored)
    expect(await Body?.transformToString()).toBe('content')
  })

  test('GET gives a byte range, an empty object, and 404 for an absent one', async () => {
    await put(bucket, 'digits', '0123456789')
    await put(bucket, 'empty', '')
    const get = (Key: string, Range?: string) =>
      bucket.client.send(new GetObjectCommand({ Bucket: bucket.bucket, Key, Range }))
    for (const [range, contentRange, text] of [
      ['bytes=2-4', 'bytes 2-4/10', '234'],
      ['bytes=8-', 'bytes 8-9/10', '89'],
      ['bytes=-3', 'bytes 7-9/10', '789'],
    ]) {
      const part = await get('digits', range)
      expect(part.ContentRange).toBe(contentRange)
      expect(await part.Body?.transformToString()).toBe(text)
    }
    await expect(get('digits', 'bytes=10-')).rejects.toEqual(refusedWith('InvalidRange', 416))
    expect(await readText(bucket, 'empty')).toBe('')
    await expect(get('absent')).rejects.toEqual(refusedWith('NoSuchKey', 404))
  })

  test('DELETE removes an object, and succeeds without one', async () => {
    await put(bucket, 'to delete', 'x')
    const remove = new DeleteObjectCommand({ Bucket: bucket.bucket, Key: 'to delete' })
    await bucket.client.send(remove)
    await bucket.client.send(remove)
    await expect(readText(bucket, 'to delete')).rejects.toEqual(refusedWith('NoSuchKey', 404))
    await put(bucket, 'to delete', 'new', ABSENT)
  })

  test('requests to an absent bucket are answered with NoSuchBucket', async () => {
    const absent = { ...bucket, bucket: 'no-such-bucket' }
    const refused = refusedWith('NoSuchBucket', 404)
    await expect(put(absent, 'a', 'x')).rejects.toEqual(refused)
    await expect(readText(absent, 'a')).rejects.toEqual(refused)
    await expect(keys(absent)).rejects.toEqual(refused)
    const head = (Bucket: string) => bucket.client.send(new HeadBucketCommand({ Bucket }))
    await expect(head(absent.bucket)).rejects.toEqual(refusedWith('NotFound', 404))
    await expect(head(bucket.bucket)).resolves.toBeDefined()
  })

  test('a request that the server does not support is answered with NotImplemented, never ignored', async () => {
    const path = `/${bucket.bucket}/a`
    const multipart = new CreateMultipartUploadCommand({ Bucket: bucket.bucket, Key: 'a' })
    await expect(bucket.client.send(multipart)).rejects.toEqual(refusedWith('NotImplemented', 501))
    const unsupported: RawRequest[] = [
      { path: `${path}?versionId=1` },
      { path, headers: { 'if-none-match': '*' } },
      { path, method: 'DELETE', headers: { 'if-match': '"a"' } },
      { path, method: 'PUT', headers: { 'x-amz-copy-source': '/b/c', 'content-length': '0' } },
      { path: `/${bucket.bucket}` },
    ]
    for (const raw of unsupported) {
      const answer = await sendRaw(bucket.endpoint, raw)
      expect(answer).toEqual({ status: 501, body: expect.stringContaining('<Code>NotImplemented</Code>') })
    }
  })
})

describe('files', () => {
  let dir: string
  let started: S3Server[]
  beforeEach(async () => {
    started = []
    dir = await mkdtemp(join(tmpdir(), 'credit-expiry-s3-'))
  })
  afterEach(async () => {
    for (const server of started) await server.stop()
    await rm(dir, { recursive: true })
  })

  async function start(): Promise<TestBucket & { s3: S3Server }> {
    const s3 = await startS3({ dir, buckets: ['kept'] })
    started.push(s3)
    return { s3, client: clientFor(s3.endpoint), endpoint: s3.endpoint, bucket: 'kept' }
  }

  test('objects are plain files under their keys, and remain when the server stops', async () => {
    const before = await start()
    const { ETag } = await put(before, 'logs/users/run 1.jsonl', '{"a":1}\n', {
      ContentType: 'application/x-ndjson',
    })
    const file = join(before.s3.filesOf('kept'), 'logs/users/run 1.jsonl')
    expect(file).toBe(join(dir, 'kept/logs/users/run 1.jsonl'))
    expect(await readFile(file, 'utf8')).toBe('{"a":1}\n')
    await before.s3.stop()

    const after = await start()
    const head = new HeadObjectCommand({ Bucket: 'kept', Key: 'logs/users/run 1.jsonl' })
    expect(await after.client.send(head)).toMatchObject({
      ETag,
      ContentType: 'application/x-ndjson',
      ContentLength: 8,
    })
    await put(after, 'logs/users/run 1.jsonl', 'replaced', { IfMatch: ETag })
    expect(await readFile(file, 'utf8')).toBe('replaced')
  })

  test('a file that is changed by hand is a new version of its object', async () => {
    const bucket = await start()
    const { ETag } = await put(bucket, 'cursor.json', '{"state":"open"}')
    await writeFile(join(bucket.s3.filesOf('kept'), 'cursor.json'), '{"state":"edited"}')
    const swap = put(bucket, 'cursor.json', 'swapped', { IfMatch: ETag })
    await expect(swap).rejects.toEqual(refusedWith('PreconditionFailed', 412))
    // The AWS SDK verifies the checksum that it gets.
    expect(await readText(bucket, 'cursor.json')).toBe('{"state":"edited"}')
    const edited = `"${createHash('md5').update('{"state":"edited"}').digest('hex')}"`
    await put(bucket, 'cursor.json', 'swapped', { IfMatch: edited })
  })

  test('every key stays inside the folder of its bucket, and comes back unchanged', async () => {
    const bucket = await start()
    const names = [
      '..',
      'a/../../b',
      '/',
      'c//d/',
      './e',
      'f%2e%2E',
      'g\\..\\h',
      'i?*:|"<>',
      'j\u0001\u0000',
      'é 𐀀+%',
    ]
    for (const name of names) await put(bucket, name, name)
    expect((await readdir(dir)).toSorted()).toEqual(['.new', 'kept'])
    expect((await keys(bucket)).toSorted()).toEqual(names.toSorted())
    for (const name of names) expect(await readText(bucket, name)).toBe(name)
  })

  test.each(['/../kept/a', '/%2e%2e/a', '/.new/a', '/..%2f..%2fetc/passwd'])(
    'the path %s names no bucket',
    async (path) => {
      const { endpoint } = await start()
      for (const method of ['GET', 'PUT']) {
        const answer = await sendRaw(endpoint, { method, path, headers: { 'content-length': '0' } })
        expect(answer).toEqual({ status: 400, body: expect.stringContaining('InvalidBucketName') })
      }
    },
  )

  const S3_MODULE = JSON.stringify(new URL('../../bin/sandbox/s3.ts', import.meta.url).href)
  const imports = `
    const { startS3 } = await import(${S3_MODULE})
    const { readdirSync, statSync } = await import('node:fs')
    const { request } = await import('node:http')`

  test('a server killed in the middle of a PUT leaves the old object, and nothing of the new one', async () => {
    const before = await start()
    await put(before, 'cursor', 'old')
    await before.s3.stop()
    await runAndKill(`${imports}
      const dir = ${JSON.stringify(dir)}
      const { port } = await startS3({ dir })
      const headers = { 'content-length': 2_000_000 }
      request({ port, method: 'PUT', path: '/kept/cursor', headers }).write(Buffer.alloc(1_000_000))
      const isHalf = () => readdirSync(dir + '/.new').some((name) => statSync(dir + '/.new/' + name).size === 1_000_000)
      while (!isHalf()) await new Promise((resolve) => setTimeout(resolve, 5))
      console.log('half')`)
    expect(await readdir(join(dir, '.new'))).toHaveLength(1)
    const after = await start()
    expect(await readText(after, 'cursor')).toBe('old')
    expect(await keys(after)).toEqual(['cursor'])
    expect(await readdir(join(dir, '.new'))).toEqual([])
  })

  test('a server killed before it answers a PUT leaves the new object', async () => {
    const before = await start()
    await put(before, 'cursor', 'old')
    await before.s3.stop()
    await runAndKill(`${imports}
      const { port, setHooks } = await startS3({ dir: ${JSON.stringify(dir)} })
      setHooks('kept', { after: () => { console.log('stored'); return 'silent' } })
      request({ port, method: 'PUT', path: '/kept/cursor', headers: { 'content-length': 3 } }).end('new')`)
    expect(await readText(await start(), 'cursor')).toBe('new')
  })

  test('without a folder, the objects are gone when the server has stopped', async () => {
    const s3 = await startS3({ buckets: ['temporary'] })
    await put({ client: clientFor(s3.endpoint), endpoint: s3.endpoint, bucket: 'temporary' }, 'a', 'x')
    const folder = join(s3.filesOf('temporary'), '..')
    expect(existsSync(join(folder, 'temporary', 'a'))).toBe(true)
    await s3.stop()
    expect(existsSync(folder)).toBe(false)
  })
})

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { beforeAll, describe, expect, test } from 'vitest'
import { startS3 } from '../../bin/sandbox/s3.ts'
import { clientFor, freshBucket, keys, readText } from '../support/bucket.ts'
import type { TestBucket } from '../support/bucket.ts'
import { ABSENT, put, refusedWith } from './s3-requests.ts'

describe('conditional writes', () => {
  let bucket: TestBucket
  beforeAll(async () => {
    bucket = await freshBucket()
  })

  test('If-None-Match: * creates an absent object, and refuses to replace one', async () => {
    await put(bucket, 'new', 'first', ABSENT)
    await expect(put(bucket, 'new', 'second', ABSENT)).rejects.toEqual(refusedWith('PreconditionFailed', 412))
    expect(await readText(bucket, 'new')).toBe('first')
  })

  test('If-None-Match with anything but * is not offered, as in S3', async () => {
    await expect(put(bucket, 'etag', 'x', { IfNoneMatch: '"abc"' })).rejects.toEqual(
      refusedWith('NotImplemented', 501),
    )
  })

  test('If-Match replaces the object with that ETag only, and answers 404 where there is none', async () => {
    const { ETag } = await put(bucket, 'cursor', 'one')
    const { ETag: next } = await put(bucket, 'cursor', 'two', { IfMatch: ETag })
    expect(next).not.toBe(ETag)
    await expect(put(bucket, 'cursor', 'three', { IfMatch: ETag })).rejects.toEqual(
      refusedWith('PreconditionFailed', 412),
    )
    await expect(put(bucket, 'gone', 'x', { IfMatch: ETag })).rejects.toEqual(refusedWith('NoSuchKey', 404))
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

  test('a multipart upload is refused at its completion, which may then be tried again', async () => {
    const { client, bucket: Bucket } = bucket
    const target = { Bucket, Key: 'parts' }
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(target))
    const part = { ...target, UploadId, PartNumber: 1 }
    const { ETag } = await client.send(new UploadPartCommand({ ...part, Body: 'from the parts' }))
    const { ETag: inTheWay } = await put(bucket, 'parts', 'came in between')
    const complete = (condition: object) =>
      client.send(
        new CompleteMultipartUploadCommand({
          ...target,
          UploadId,
          MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] },
          ...condition,
        }),
      )
    await expect(complete(ABSENT)).rejects.toEqual(refusedWith('PreconditionFailed', 412))
    await expect(complete({ IfMatch: '"other"' })).rejects.toEqual(refusedWith('PreconditionFailed', 412))
    expect(await readText(bucket, 'parts')).toBe('came in between')
    await complete({ IfMatch: inTheWay })
    expect(await readText(bucket, 'parts')).toBe('from the parts')
  })

  test('lib-storage uploads in parts once, and not over what is there', async () => {
    const Body = Buffer.alloc(6 * 1024 * 1024, 'x')
    const upload = () =>
      new Upload({
        client: bucket.client,
        params: { Bucket: bucket.bucket, Key: 'large', Body, ContentType: 'application/x-ndjson', ...ABSENT },
      }).done()
    await upload()
    await expect(upload()).rejects.toEqual(refusedWith('PreconditionFailed', 412))
    const head = await bucket.client.send(new HeadObjectCommand({ Bucket: bucket.bucket, Key: 'large' }))
    expect(head).toMatchObject({ ContentLength: Body.length, ContentType: 'application/x-ndjson' })
  })
})

describe('reading', () => {
  test('a listing in pages gives every key once, in byte order', async () => {
    const bucket = await freshBucket()
    const names = [
      'a-1',
      'a1',
      'a_1',
      'A1',
      'Z',
      'a/1',
      'a.1',
      'b',
      'é',
      'a%1',
      'a 1',
      'a+1',
      `long-${'x'.repeat(200)}`,
    ]
    for (const name of names) await put(bucket, `p/${name}`, name)
    await put(bucket, 'q/other', 'x')
    const found: string[] = []
    let token: string | undefined
    do {
      const page = await bucket.client.send(
        new ListObjectsV2Command({
          Bucket: bucket.bucket,
          Prefix: 'p/',
          MaxKeys: 2,
          ContinuationToken: token,
        }),
      )
      found.push(...(page.Contents ?? []).map(({ Key = '' }) => Key))
      token = page.NextContinuationToken
    } while (token !== undefined)
    expect(found).toEqual(names.map((name) => `p/${name}`).toSorted())
    expect(await keys(bucket, 'p/')).toEqual(found)
    for (const name of names) expect(await readText(bucket, `p/${name}`)).toBe(name)
  })

  test('a byte range, an empty object, an absent one', async () => {
    const bucket = await freshBucket()
    await put(bucket, 'digits', '0123456789')
    await put(bucket, 'empty', '')
    const get = (Key: string, Range?: string) =>
      bucket.client.send(new GetObjectCommand({ Bucket: bucket.bucket, Key, Range }))
    const range = await get('digits', 'bytes=2-4')
    expect(range.ContentRange).toBe('bytes 2-4/10')
    expect(await range.Body?.transformToString()).toBe('234')
    expect(await readText(bucket, 'empty')).toBe('')
    await expect(get('absent')).rejects.toEqual(refusedWith('NoSuchKey', 404))
  })

  test('a request of more than 11 MiB is refused, without harm to the server', async () => {
    const bucket = await freshBucket()
    await expect(put(bucket, 'huge', 'x'.repeat(12 * 1024 * 1024))).rejects.toThrow(Error)
    expect(await keys(bucket)).toEqual([])
  })
})

describe('files', () => {
  test('objects lie there as plain files under their keys, and outlive the server', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'credit-expiry-s3-'))
    const first = await startS3({ dir, buckets: ['kept'] })
    const before = { client: clientFor(first.endpoint), endpoint: first.endpoint, bucket: 'kept' }
    const { ETag } = await put(before, 'logs/users/run 1.jsonl', '{"a":1}\n', {
      ContentType: 'application/x-ndjson',
    })
    await put(before, 'a/../b%?*:/', 'odd')
    expect(await readFile(join(first.filesOf('kept'), 'logs/users/run 1.jsonl'), 'utf8')).toBe('{"a":1}\n')
    await first.stop()

    const second = await startS3({ dir, buckets: ['kept'] })
    const after = { client: clientFor(second.endpoint), endpoint: second.endpoint, bucket: 'kept' }
    const head = await after.client.send(
      new HeadObjectCommand({ Bucket: 'kept', Key: 'logs/users/run 1.jsonl' }),
    )
    expect(head).toMatchObject({ ETag, ContentType: 'application/x-ndjson', ContentLength: 8 })
    expect(await keys(after)).toEqual(['a/../b%?*:/', 'logs/users/run 1.jsonl'])
    expect(await readText(after, 'a/../b%?*:/')).toBe('odd')
    await put(after, 'logs/users/run 1.jsonl', 'replaced', { IfMatch: ETag })
    await second.stop()

    const third = await startS3({ dir })
    const last = { client: clientFor(third.endpoint), endpoint: third.endpoint, bucket: 'kept' }
    expect(await readText(last, 'logs/users/run 1.jsonl')).toBe('replaced')
    await third.stop()
    await rm(dir, { recursive: true })
  })

  test('an object whose description a killed server did not get to write has the ETag of its content', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'credit-expiry-s3-'))
    const first = await startS3({ dir, buckets: ['kept'] })
    const { ETag } = await put(
      { client: clientFor(first.endpoint), endpoint: '', bucket: 'kept' },
      'cursor',
      'new',
    )
    await put({ client: clientFor(first.endpoint), endpoint: '', bucket: 'kept' }, 'cursor', 'old')
    await writeFile(join(first.filesOf('kept'), 'cursor'), 'new')
    await first.stop()
    const second = await startS3({ dir })
    const head = await clientFor(second.endpoint).send(
      new HeadObjectCommand({ Bucket: 'kept', Key: 'cursor' }),
    )
    expect(head).toMatchObject({ ETag, ContentLength: 3 })
    await second.stop()
    await rm(dir, { recursive: true })
  })
})

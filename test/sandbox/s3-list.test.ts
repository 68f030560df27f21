import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ListObjectsV2CommandOutput, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { expect, test } from 'vitest'
import { startS3 } from '../../bin/sandbox/s3.ts'
import { clientFor, freshBucket, keys, readText } from '../support/bucket.ts'
import type { TestBucket } from '../support/bucket.ts'
import { put, refusedWith, sendRaw } from './s3-requests.ts'

type ListParameters = Partial<ConstructorParameters<typeof ListObjectsV2Command>[0]>

function list(
  { client, bucket }: TestBucket,
  parameters: ListParameters,
): Promise<ListObjectsV2CommandOutput> {
  return client.send(new ListObjectsV2Command({ Bucket: bucket, ...parameters }))
}

/** The keys and groups of each page of a listing. */
async function pages(bucket: TestBucket, parameters: ListParameters): Promise<string[][]> {
  const found: string[][] = []
  let token: string | undefined
  do {
    const page = await list(bucket, { ...parameters, ContinuationToken: token })
    const groups = (page.CommonPrefixes ?? []).map(({ Prefix = '' }) => Prefix)
    found.push([...(page.Contents ?? []).map(({ Key = '' }) => Key), ...groups])
    expect(page.KeyCount).toBe(found.at(-1)?.length)
    expect(page.IsTruncated).toBe(page.NextContinuationToken !== undefined)
    token = page.NextContinuationToken
  } while (token !== undefined)
  return found
}

function byUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

test('1,500 keys are listed once each, in the order of their UTF-8 bytes, across pages', async () => {
  const s3 = await startS3({ buckets: ['many'] })
  const bucket = { client: clientFor(s3.endpoint), endpoint: s3.endpoint, bucket: 'many' }
  const odd = [
    'a-1',
    'a1',
    'a_1',
    'A1',
    'a/1',
    'a.1',
    'é',
    '\uffee',
    '\u{10000}',
    'a 1',
    'a+1',
    'x'.repeat(200),
  ]
  const plain = Array.from({ length: 1500 - odd.length }, (_, n) => `${(n * 7919) % 1500}-${n}`)
  for (const name of odd) await put(bucket, `p/${name}`, '')
  // Objects are plain files, and are written faster as such.
  for (const name of plain) writeFileSync(join(s3.filesOf('many'), 'p', name), '')
  await put(bucket, 'o', '')
  await put(bucket, 'q', '')
  const sorted = [...odd, ...plain].map((name) => `p/${name}`).toSorted(byUtf8)
  expect(sorted.indexOf('p/\uffee')).toBeLessThan(sorted.indexOf('p/\u{10000}'))
  expect(await pages(bucket, { Prefix: 'p/' })).toEqual([sorted.slice(0, 1000), sorted.slice(1000)])
  expect((await pages(bucket, { Prefix: 'p/', MaxKeys: 400 })).flat()).toEqual(sorted)
  expect(await keys(bucket, 'p/14')).toEqual(sorted.filter((key) => key.startsWith('p/14')))
  await s3.stop()
})

test('keys with characters of XML and of URLs are listed as they are, and found by a prefix of them', async () => {
  const bucket = await freshBucket()
  const names = ['<&>"\'', 'a+b', 'a%2Fb', 'a b', 'line\nbreak\r', 'ü/ö', '../x', 'tab\t', '&amp;']
  for (const name of names) await put(bucket, name, name)
  expect(await keys(bucket)).toEqual(names.toSorted(byUtf8))
  for (const name of names) {
    expect(await keys(bucket, name)).toEqual([name])
    expect(await readText(bucket, name)).toBe(name)
  }
})

test('encoding-type=url gives the keys as in a URL', async () => {
  const bucket = await freshBucket()
  await put(bucket, 'x/test file (3)+é.png', '')
  const { Contents, Prefix } = await list(bucket, { Prefix: 'x/test ', EncodingType: 'url' })
  expect(Contents?.map(({ Key }) => Key)).toEqual(['x/test+file+%283%29%2B%C3%A9.png'])
  expect(Prefix).toBe('x/test+')
})

test('a delimiter groups keys, each group once, also where a page ends in the middle of a group', async () => {
  const bucket = await freshBucket()
  for (const key of ['r/a/1', 'r/a/2', 'r/a/3', 'r/b', 'r/c/1', 'r/c/2']) await put(bucket, key, '')
  const grouped = { Prefix: 'r/', Delimiter: '/' }
  expect(await pages(bucket, grouped)).toEqual([['r/b', 'r/a/', 'r/c/']])
  expect(await pages(bucket, { ...grouped, MaxKeys: 1 })).toEqual([['r/a/'], ['r/b'], ['r/c/']])
})

test('start-after and max-keys', async () => {
  const bucket = await freshBucket()
  for (const key of ['a', 'b', 'c', 'd']) await put(bucket, key, key)
  expect(await pages(bucket, { StartAfter: 'b' })).toEqual([['c', 'd']])
  expect(await pages(bucket, { StartAfter: 'a', MaxKeys: 2 })).toEqual([['b', 'c'], ['d']])
  expect(await pages(bucket, { MaxKeys: 0 })).toEqual([[]])
  await expect(list(bucket, { MaxKeys: -1 })).rejects.toEqual(refusedWith('InvalidArgument', 400))
})

test('a listing describes each object', async () => {
  const bucket = await freshBucket()
  const { ETag } = await put(bucket, 'a', 'four')
  const { Contents } = await list(bucket, {})
  expect(Contents).toEqual([
    { Key: 'a', ETag, Size: 4, StorageClass: 'STANDARD', LastModified: expect.any(Date) },
  ])
  const raw = await sendRaw(bucket.endpoint, { path: `/${bucket.bucket}?list-type=2` })
  expect(raw.body).toMatch(/^<\?xml version="1.0" encoding="UTF-8"\?>\n<ListBucketResult xmlns=/)
})

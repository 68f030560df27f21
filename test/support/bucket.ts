import { randomBytes } from 'node:crypto'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  paginateListObjectsV2,
} from '@aws-sdk/client-s3'
import { inject } from 'vitest'
import * as sdk from '../../lambda/archive/s3/sdk.ts'
import type { Store } from '../../lambda/archive/s3/store.ts'

/** A bucket on an S3 server of the tests, with a client for it. */
export type TestBucket = { client: S3Client; endpoint: string; bucket: string }

/** A client for a sandbox or test S3 server, which checks no credentials. */
export function clientFor(endpoint: string, options: { maxAttempts?: number } = {}): S3Client {
  return new S3Client({
    ...options,
    endpoint,
    forcePathStyle: true,
    region: 'us-east-1',
    credentials: { accessKeyId: 'sandbox', secretAccessKey: 'sandbox' },
  })
}

/** A bucket as the job sees it, by the bucket's own client or another one. */
export function storeOf({ client, bucket }: Omit<TestBucket, 'endpoint'>): Store {
  return { s3: async () => ({ client, sdk }), bucket }
}

/** A new, empty bucket on the test run's S3 server, or on the one at `endpoint`. */
export async function freshBucket(endpoint: string = inject('s3Endpoint')): Promise<TestBucket> {
  const client = clientFor(endpoint)
  const bucket = `test-${randomBytes(6).toString('hex')}`
  await client.send(new CreateBucketCommand({ Bucket: bucket }))
  return { client, endpoint, bucket }
}

/** An object's bytes. Throws NoSuchKey where there is none. */
export async function readBytes({ client, bucket }: TestBucket, key: string): Promise<Uint8Array> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
  return (await Body?.transformToByteArray()) ?? new Uint8Array()
}

/** An object's text. Throws NoSuchKey where there is none. */
export async function readText(bucket: TestBucket, key: string): Promise<string> {
  return Buffer.from(await readBytes(bucket, key)).toString()
}

/** Stores an object, or overwrites one, as a person could. */
export async function putText(
  { client, bucket }: TestBucket,
  key: string,
  body: string | Uint8Array,
): Promise<void> {
  await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: Buffer.from(body) }))
}

/** Deletes an object. */
export async function remove({ client, bucket }: TestBucket, key: string): Promise<void> {
  await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))
}

/** An object's JSON, for the test to inspect. */
export async function readJson(bucket: TestBucket, key: string): Promise<unknown> {
  return JSON.parse(await readText(bucket, key))
}

/** The values of a JSONL object, one a line. */
export async function readLines(bucket: TestBucket, key: string): Promise<unknown[]> {
  const text = await readText(bucket, key)
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line))
}

/** All keys of a bucket that start with `prefix`, in the bucket's order. */
export async function keys({ client, bucket }: TestBucket, prefix = ''): Promise<string[]> {
  const found: string[] = []
  for await (const page of paginateListObjectsV2({ client }, { Bucket: bucket, Prefix: prefix })) {
    found.push(...(page.Contents ?? []).map(({ Key = '' }) => Key))
  }
  return found
}

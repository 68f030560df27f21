import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { keys, readText, type TestBucket } from '../support/bucket.ts'

/** Puts a text in place of an object, as a hand would; returns what was there ('' where nothing was). */
export async function putText(bucket: TestBucket, key: string, text: string): Promise<string> {
  const before = (await keys(bucket, key)).includes(key) ? await readText(bucket, key) : ''
  await bucket.client.send(new PutObjectCommand({ Bucket: bucket.bucket, Key: key, Body: Buffer.from(text) }))
  return before
}

export async function removeObject({ client, bucket }: TestBucket, key: string): Promise<void> {
  await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))
}

import { PutObjectCommand } from '@aws-sdk/client-s3'
import type { PutObjectCommandOutput } from '@aws-sdk/client-s3'
import { expect } from 'vitest'
import type { TestBucket } from '../support/bucket.ts'

/** The condition that an object is not there yet. */
export const ABSENT = { IfNoneMatch: '*' }

/** Puts one object; `extra` holds conditions and other fields of the command. */
export function put(
  { client, bucket }: TestBucket,
  key: string,
  body: string,
  extra: { IfNoneMatch?: string; IfMatch?: string | undefined; ContentType?: string } = {},
): Promise<PutObjectCommandOutput> {
  const length = Buffer.byteLength(body)
  return client.send(
    new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ContentLength: length, ...extra }),
  )
}

/** Matches the AWS SDK's error of this name and HTTP status. */
export function refusedWith(name: string, status: number): unknown {
  return expect.objectContaining({ name, $metadata: expect.objectContaining({ httpStatusCode: status }) })
}

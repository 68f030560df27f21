import { once } from 'node:events'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import type { PutObjectCommandInput, PutObjectCommandOutput } from '@aws-sdk/client-s3'
import { expect } from 'vitest'
import type { TestBucket } from '../support/bucket.ts'

/** The condition that an object does not exist yet. */
export const ABSENT = { IfNoneMatch: '*' }

/** Puts one object; `extra` holds conditions and other fields of the command. */
export function put(
  { client, bucket }: TestBucket,
  key: string,
  body: string | Uint8Array,
  extra: Partial<PutObjectCommandInput> = {},
): Promise<PutObjectCommandOutput> {
  const length = Buffer.byteLength(body)
  return client.send(
    new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ContentLength: length, ...extra }),
  )
}

export type RawRequest = { method?: string; path: string; headers?: Record<string, string>; body?: string }

/**
 * Sends a request as it is, for what the AWS SDK does not send, and gives the status and the body of its
 * answer.
 */
export async function sendRaw(
  endpoint: string,
  { method = 'GET', path, headers = {}, body = '' }: RawRequest,
): Promise<{ status: number | undefined; body: string }> {
  const outgoing = request(endpoint, { method, path, headers })
  outgoing.end(body)
  const [answer] = await once(outgoing, 'response')
  return { status: answer.statusCode, body: await text(answer) }
}

/** Matches the AWS SDK's error of this name and HTTP status. */
export function refusedWith(name: string, status: number): unknown {
  return expect.objectContaining({ name, $metadata: expect.objectContaining({ httpStatusCode: status }) })
}

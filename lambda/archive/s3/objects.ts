import type { PutObjectCommand } from '@aws-sdk/client-s3'
import { hash } from 'node:crypto'
import { ArchiveCorrupt, ArchiveUnavailable } from '../errors.ts'
import { statusOf } from './attempts.ts'
import { isAbsent, missing, request, type Store, unavailable } from './store.ts'

/** An object's bytes, and their text. */
export type Stored = { readonly bytes: Uint8Array; readonly body: string; readonly etag: string }

/** What is written in one PUT; chunks are put together. */
export type Body = string | Uint8Array | readonly Uint8Array[]

/** What was written, by its writer. */
export type WrittenObject = { readonly etag: string; readonly bytes: number; readonly sha256: string }

/**
 * Reads a whole object, or null when it is absent. Only 404 means absent: without the right to list, S3
 * answers 403 for an absent key, and that must never pass for "not there".
 * @throws ArchiveUnavailable
 */
export async function get(store: Store, key: string, signal?: AbortSignal): Promise<Stored | null> {
  try {
    return await request(store, signal, async ({ client, sdk }, deadline) => {
      const command = new sdk.GetObjectCommand({ Bucket: store.bucket, Key: key })
      const reply = await client.send(command, { abortSignal: deadline.signal })
      deadline.allowFor(reply.ContentLength ?? 0)
      const bytes = (await reply.Body?.transformToByteArray()) ?? new Uint8Array()
      return {
        bytes,
        etag: reply.ETag ?? '',
        get body() {
          return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()
        },
      }
    })
  } catch (error) {
    if (isAbsent(error)) return null
    throw unavailable(store, `read ${key}`, error)
  }
}

/**
 * Reads an object that a document names with its size and SHA-256, and compares them.
 * @throws ArchiveCorrupt naming the object when it is missing or differs, ArchiveUnavailable
 */
export async function getVerified(
  store: Store,
  key: string,
  expected: { readonly bytes: number; readonly sha256: string },
): Promise<Stored> {
  const stored = await get(store, key)
  if (!stored) throw missing(key)
  const found = { bytes: stored.bytes.length, sha256: sha256Of(stored.bytes) }
  if (found.bytes === expected.bytes && found.sha256 === expected.sha256) return stored
  throw new ArchiveCorrupt(
    `${key} is not as the job wrote it: ${found.bytes} bytes with SHA-256 ${found.sha256} instead of ` +
      `${expected.bytes} bytes with ${expected.sha256}. Nothing was done. ` +
      'Restore the version that has the expected hash.',
  )
}

/**
 * Writes an object that must not be there yet. Null when another one is there: S3's 412 alone does not tell,
 * since the first reply may have been lost and the request sent again, so what is there is read back and
 * compared.
 * @throws ArchiveUnavailable, after which the object may be there or not
 */
export async function create(
  store: Store,
  key: string,
  body: Body,
  contentType: string,
  signal?: AbortSignal,
): Promise<WrittenObject | null> {
  return putIf(store, key, body, contentType, { IfNoneMatch: '*' }, signal)
}

/**
 * Replaces an object if it is still the one that was read; null when it is not, and does not hold these
 * bytes.
 * @throws ArchiveCorrupt when the object has gone, ArchiveUnavailable, after which it may be replaced or not
 */
export async function replaceIfMatch(
  store: Store,
  key: string,
  body: Body,
  contentType: string,
  etag: string,
): Promise<WrittenObject | null> {
  return putIf(store, key, body, contentType, { IfMatch: etag })
}

/**
 * Replaces a JSON document if it is still the one that was read (`etag`), or creates it (`etag` null).
 * Returns the new ETag, or null when another writer was faster. `body` must hold a nonce: an equal body there
 * was written by this.
 * @throws as replaceIfMatch
 */
export async function swap(
  store: Store,
  key: string,
  body: string,
  etag: string | null,
): Promise<string | null> {
  const condition = etag === null ? { IfNoneMatch: '*' } : { IfMatch: etag }
  return (await putIf(store, key, body, 'application/json', condition))?.etag ?? null
}

/** No object has this ETag. */
const NO_ETAG = '"00000000000000000000000000000000"'

/**
 * Tests the right to write an object, without writing: by a PUT whose condition cannot hold. 412 and 404 mean
 * that S3 would have written.
 * @throws ArchiveUnavailable that says why not
 */
export async function testPut(store: Store, key: string): Promise<void> {
  const input = { Bucket: store.bucket, Key: key, Body: toBytes(''), IfMatch: NO_ETAG }
  try {
    await request(store, undefined, async ({ client, sdk }, { signal }) =>
      client.send(new sdk.PutObjectCommand(input), { abortSignal: signal }),
    )
  } catch (error) {
    const status = statusOf(error)
    const isBucketGone = error instanceof Error && error.name === 'NoSuchBucket'
    if (status === 412 || (status === 404 && !isBucketGone)) return
    throw unavailable(store, `write ${key}`, error)
  }
  throw new ArchiveUnavailable(
    `The bucket ${store.bucket} wrote ${key} although its condition could not hold: it does not ` +
      'support conditional writes, without which two runs could overwrite each other. Delete that ' +
      'object, and use a bucket of Amazon S3.',
  )
}

type Condition = { IfNoneMatch: string } | { IfMatch: string }

async function putIf(
  store: Store,
  key: string,
  body: Body,
  contentType: string,
  condition: Condition,
  signal?: AbortSignal,
): Promise<WrittenObject | null> {
  const bytes = toBytes(body)
  const written = { bytes: bytes.length, sha256: sha256Of(bytes) }
  const input = {
    Bucket: store.bucket,
    Key: key,
    ContentType: contentType,
    Body: bytes,
    ChecksumSHA256: Buffer.from(written.sha256, 'hex').toString('base64'),
    ...condition,
  }
  try {
    const etag = await request(store, signal, async ({ client, sdk }, deadline) => {
      deadline.allowFor(bytes.length)
      const command = signedAs(written.sha256, new sdk.PutObjectCommand(input))
      return (await client.send(command, { abortSignal: deadline.signal })).ETag ?? ''
    })
    return { etag, ...written }
  } catch (error) {
    const status = statusOf(error)
    if (status === 412) {
      const there = await get(store, key, signal)
      return there && bytes.equals(there.bytes) ? { etag: there.etag, ...written } : null
    }
    if (status === 404 && 'IfMatch' in condition) {
      throw new ArchiveCorrupt(
        `${key} is gone from the bucket. Nothing was written. Restore it from its versions in S3.`,
        { cause: error },
      )
    }
    throw unavailable(store, `write ${key}`, error)
  }
}

/** A request is signed with the hash that is known already; the SDK would make it again. */
function signedAs(sha256: string, command: PutObjectCommand): PutObjectCommand {
  command.middlewareStack.add(
    (next) => async (args) => {
      if (hasHeaders(args.request)) args.request.headers['x-amz-content-sha256'] = sha256
      return next(args)
    },
    { step: 'build', name: 'knownHash' },
  )
  return command
}

function hasHeaders(sent: unknown): sent is { headers: Record<string, string> } {
  return typeof sent === 'object' && sent !== null && 'headers' in sent
}

/** As bytes: the SDK takes an empty text for a stream of unknown length. */
function toBytes(body: Body): Buffer {
  if (typeof body === 'string') return Buffer.from(body)
  return body instanceof Uint8Array
    ? Buffer.from(body.buffer, body.byteOffset, body.length)
    : Buffer.concat(body)
}

export function sha256Of(bytes: Uint8Array | string): string {
  return hash('sha256', bytes)
}

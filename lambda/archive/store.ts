import { hash } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  GetObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { attempt, type Deadline, silence, statusOf, WAITS, type Waits } from './attempts.ts'
import { ArchiveCorrupt, ArchiveUnavailable } from './errors.ts'
import { reasonFor } from './reasons.ts'

/** A bucket, a client that reaches it, and how long to wait for it. */
export type Store = {
  readonly client: S3Client
  readonly bucket: string
  /** Milliseconds until the invocation ends; absent: no end. */
  readonly timeLeft?: () => number
  /** Overrides WAITS. */
  readonly waits?: Partial<Waits>
}

/** An object's bytes, and their text. */
export type Stored = { readonly bytes: Uint8Array; readonly body: string; readonly etag: string }

/** What is written in one PUT; chunks are put together. */
export type Body = string | Uint8Array | readonly Uint8Array[]

/** What was written, by its writer. */
export type Written = { readonly etag: string; readonly bytes: number; readonly sha256: string }

/**
 * Reads a whole object, or null when it is absent. Only 404 means absent: without the right to list, S3
 * answers 403 for an absent key, and that must never pass for "not there".
 * @throws ArchiveUnavailable
 */
export async function get(store: Store, key: string, signal?: AbortSignal): Promise<Stored | null> {
  try {
    return await request(store, signal, async (deadline) => {
      const command = new GetObjectCommand({ Bucket: store.bucket, Key: key })
      const reply = await store.client.send(command, { abortSignal: deadline.signal })
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
 * Streams an object's bytes, or those of [from, to), for those that may be too large to hold. A stream that
 * is cut or falls silent is opened again where it stopped, in the same version of the object.
 * @throws ArchiveCorrupt when it is absent or was replaced meanwhile, ArchiveUnavailable
 */
export async function* readBytes(
  store: Store,
  key: string,
  range: { from: number; to: number } = { from: 0, to: Infinity },
): AsyncGenerator<Uint8Array> {
  const { silenceMs, tries } = { ...WAITS, ...store.waits }
  let { from } = range
  let etag: string | undefined
  for (let failures = 0; from < range.to;) {
    const opened = await open(store, key, { from, to: range.to }, etag)
    if (!opened) return
    etag = opened.etag
    const end = from + opened.length
    const chunks = opened.body[Symbol.asyncIterator]()
    try {
      while (from < end) {
        const chunk = await nextWithin(opened.body, chunks, silenceMs).catch((error: unknown) => {
          if (++failures === tries) throw unavailable(store, `read ${key}`, error)
          return null
        })
        if (!chunk) break
        from += chunk.length
        yield chunk
      }
      if (from >= end) return
    } finally {
      opened.body.destroy()
    }
  }
}

type Opened = { readonly body: Readable; readonly length: number; readonly etag: string }

/** Null where the object holds nothing from there on. */
async function open(
  store: Store,
  key: string,
  { from, to }: { from: number; to: number },
  etag: string | undefined,
): Promise<Opened | null> {
  const Range = from === 0 && to === Infinity ? undefined : `bytes=${from}-${to === Infinity ? '' : to - 1}`
  const command = new GetObjectCommand({ Bucket: store.bucket, Key: key, Range, IfMatch: etag })
  try {
    return await request(store, undefined, async ({ signal }) => {
      const { Body, ContentLength, ETag } = await store.client.send(command, { abortSignal: signal })
      if (!(Body instanceof Readable)) throw new Error('The answer has no body.')
      // Its errors are thrown to whoever reads it; one that comes in between must not end the process (seen).
      return { body: Body.on('error', () => {}), length: ContentLength ?? 0, etag: ETag ?? '' }
    })
  } catch (error) {
    if (isAbsent(error)) throw missing(key, error)
    const status = statusOf(error)
    if (status === 416) return null
    if (status === 412)
      throw new ArchiveCorrupt(`${key} was replaced while it was read. Read it again.`, { cause: error })
    throw unavailable(store, `read ${key}`, error)
  }
}

/** The clock runs only while something is waited for: a reader that takes its time is no stall. */
async function nextWithin(
  body: Readable,
  chunks: AsyncIterator<Uint8Array>,
  milliseconds: number,
): Promise<Uint8Array> {
  const timer = setTimeout(() => body.destroy(silence(milliseconds)), milliseconds)
  try {
    const next = await chunks.next()
    if (next.done) throw Object.assign(new Error('the answer was cut off'), { code: 'ECONNRESET' })
    return next.value
  } finally {
    clearTimeout(timer)
  }
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
): Promise<Written | null> {
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
): Promise<Written | null> {
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
  const condition = { Body: toBytes(''), IfMatch: NO_ETAG }
  const command = new PutObjectCommand({ Bucket: store.bucket, Key: key, ...condition })
  try {
    await request(store, undefined, async ({ signal }) => store.client.send(command, { abortSignal: signal }))
  } catch (error) {
    const status = statusOf(error)
    const isBucketGone = error instanceof Error && error.name === 'NoSuchBucket'
    if (status === 412 || (status === 404 && !isBucketGone)) return
    throw unavailable(store, `write ${key}`, error)
  }
  throw new ArchiveUnavailable(
    `The bucket ${store.bucket} wrote ${key} although its condition could not hold: it does not support conditional ` +
      'writes, without which two runs could overwrite each other. Delete that object, and use a bucket of Amazon S3.',
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
): Promise<Written | null> {
  const bytes = toBytes(body)
  const written = { bytes: bytes.length, sha256: sha256Of(bytes) }
  const command = new PutObjectCommand({
    Bucket: store.bucket,
    Key: key,
    ContentType: contentType,
    Body: bytes,
    ChecksumSHA256: Buffer.from(written.sha256, 'hex').toString('base64'),
    ...condition,
  })
  try {
    const etag = await request(store, signal, async (deadline) => {
      deadline.allowFor(bytes.length)
      return (await store.client.send(command, { abortSignal: deadline.signal })).ETag ?? ''
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

/** A key, and its object's size. */
export type Listed = { readonly key: string; readonly bytes: number }

/** All keys under a prefix with their sizes, in S3's order, 1,000 a request. @throws ArchiveUnavailable */
export async function* list(store: Store, prefix: string): AsyncGenerator<Listed> {
  for await (const page of listPages(store, { Prefix: prefix })) {
    for (const { Key, Size } of page.Contents ?? [])
      if (Key !== undefined) yield { key: Key, bytes: Size ?? 0 }
  }
}

/** The folders directly under a prefix that ends in `/`, in S3's order. @throws ArchiveUnavailable */
export async function* listFolders(store: Store, prefix: string): AsyncGenerator<string> {
  for await (const page of listPages(store, { Prefix: prefix, Delimiter: '/' })) {
    for (const { Prefix } of page.CommonPrefixes ?? []) if (Prefix !== undefined) yield Prefix
  }
}

async function* listPages(
  store: Store,
  what: { readonly Prefix: string; readonly Delimiter?: string },
): AsyncGenerator<ListObjectsV2CommandOutput> {
  let token: string | undefined
  do {
    const command = new ListObjectsV2Command({
      Bucket: store.bucket,
      ...what,
      ContinuationToken: token,
    })
    const page = await request(store, undefined, async ({ signal }) =>
      store.client.send(command, { abortSignal: signal }),
    ).catch((error: unknown) => {
      throw unavailable(store, `list ${what.Prefix}`, error)
    })
    yield page
    token = page.NextContinuationToken
  } while (token !== undefined)
}

async function request<T>(
  { waits, timeLeft = () => Infinity }: Store,
  signal: AbortSignal | undefined,
  send: (deadline: Deadline) => Promise<T>,
): Promise<T> {
  return attempt(send, { waits: { ...WAITS, ...waits }, timeLeft, signal })
}

/** NoSuchBucket is a 404 too. */
function isAbsent(error: unknown): boolean {
  return error instanceof Error && error.name === 'NoSuchKey'
}

function missing(key: string, cause?: unknown): ArchiveCorrupt {
  return new ArchiveCorrupt(
    `${key} is missing from the bucket, although the run names it. Restore it from its versions in S3.`,
    { cause },
  )
}

function unavailable({ bucket }: Store, doing: string, cause: unknown): ArchiveUnavailable {
  const { what, todo } = reasonFor(cause, statusOf(cause))
  return new ArchiveUnavailable(
    `Could not ${doing} in the bucket ${bucket}: ${what}. ${todo} Then try again.`,
    { cause },
  )
}

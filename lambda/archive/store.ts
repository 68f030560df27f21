import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { Readable } from 'node:stream'
import { ArchiveCorrupt, ArchiveUnavailable } from './errors.ts'
import { reasonFor } from './reasons.ts'

/** A bucket, and a client that reaches it. */
export type Store = { readonly client: S3Client; readonly bucket: string }

export type Stored = { readonly body: string; readonly etag: string }

/** Bodies up to this size go up in one request. */
const ONE_REQUEST_BYTES = 8 * 1024 * 1024
/** Larger ones, and streams, go up in parts of the least size that S3 takes: two of them on their way, which hides how far S3 is, and one that fills. */
const PART_BYTES = 5 * 1024 * 1024
const CONFLICT_TRIES = 5

/**
 * Reads a whole object, or null when it is absent. Only 404 means absent: without the right to list, S3 answers
 * 403 for an absent key, and that must never pass for "not there".
 * @throws ArchiveUnavailable
 */
export async function get(store: Store, key: string, signal?: AbortSignal): Promise<Stored | null> {
  try {
    const reply = await store.client.send(new GetObjectCommand({ Bucket: store.bucket, Key: key }), {
      abortSignal: signal,
    })
    return { body: (await reply.Body?.transformToString('utf-8')) ?? '', etag: reply.ETag ?? '' }
  } catch (error) {
    if (errorName(error) === 'NoSuchKey') return null
    throw unavailable(store, `read ${key}`, error)
  }
}

/**
 * Streams an object's bytes, or those of [from, to), for those that may be too large to hold.
 * @throws ArchiveCorrupt when it is absent, ArchiveUnavailable
 */
export async function* readBytes(
  store: Store,
  key: string,
  range?: { from: number; to: number },
): AsyncGenerator<Uint8Array> {
  yield* chunksOf(store, key, await openObject(store, key, range))
}

/** Objects whose requests are under way while one is read: what S3 takes to answer is not waited for each time. */
const AHEAD = 4

/**
 * Streams many objects, one after the other.
 * @throws as readBytes
 */
export async function* readInTurn(
  store: Store,
  keys: Iterable<string>,
): AsyncGenerator<{ key: string; bytes: AsyncIterable<Uint8Array> }> {
  const opened: { key: string; body: Promise<Readable> }[] = []
  try {
    for (const key of keys) {
      const body = openObject(store, key)
      // Its error is thrown when its turn comes; until then it must not end the process.
      body.catch(() => {})
      opened.push({ key, body })
      if (opened.length > AHEAD) yield* firstOf(store, opened)
    }
    while (opened.length > 0) yield* firstOf(store, opened)
  } finally {
    for (const { body } of opened)
      body.then(
        (unread) => unread.destroy(),
        () => {},
      )
  }
}

async function* firstOf(store: Store, opened: { key: string; body: Promise<Readable> }[]) {
  const first = opened.shift()
  if (first) yield { key: first.key, bytes: chunksOf(store, first.key, await first.body) }
}

async function openObject(
  store: Store,
  key: string,
  range?: { from: number; to: number },
): Promise<Readable> {
  const Range = range && `bytes=${range.from}-${range.to - 1}`
  try {
    const { Body } = await store.client.send(new GetObjectCommand({ Bucket: store.bucket, Key: key, Range }))
    // In Node it is one, and much faster than the web stream that it can be turned into. Its errors are thrown to whoever
    // reads it; without a listener, one that comes while it waits for its turn would end the process (seen).
    if (Body instanceof Readable) return Body.on('error', () => {})
    throw new Error('The answer has no body.')
  } catch (error) {
    if (errorName(error) === 'NoSuchKey') {
      throw new ArchiveCorrupt(
        `${key} is missing from the bucket although the run names it. Restore it from its versions.`,
        { cause: error },
      )
    }
    throw unavailable(store, `read ${key}`, error)
  }
}

async function* chunksOf(
  store: Store,
  key: string,
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (error) {
    throw unavailable(store, `read ${key}`, error)
  }
}

/**
 * Writes an object that must not be there yet. Returns false when another one is there. S3's 412 alone does not
 * tell: the first reply may have been lost and the request sent again, so what is there is read back and compared.
 * @throws ArchiveUnavailable
 */
export async function create(
  store: Store,
  key: string,
  body: string | Uint8Array,
  contentType: string,
  signal?: AbortSignal,
): Promise<boolean> {
  const won = await putIf(store, key, body, contentType, { IfNoneMatch: '*' }, signal)
  return won !== null
}

/**
 * Replaces an object if it is still the one that was read (`etag`), or creates it (`etag` null). Returns the new
 * ETag, or null when somebody else was faster. `body` must hold a nonce: an equal body there means that we won.
 * @throws ArchiveCorrupt when the object has gone, ArchiveUnavailable
 */
export async function swap(
  store: Store,
  key: string,
  body: string,
  etag: string | null,
): Promise<string | null> {
  return putIf(store, key, body, 'application/json', etag === null ? { IfNoneMatch: '*' } : { IfMatch: etag })
}

type Condition = { IfNoneMatch: string } | { IfMatch: string }

async function putIf(
  store: Store,
  key: string,
  body: string | Uint8Array,
  contentType: string,
  condition: Condition,
  signal?: AbortSignal,
): Promise<string | null> {
  // As bytes: the SDK takes an empty text for a stream of unknown length, and says so on standard error.
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  for (let tries = 1; ; tries++) {
    try {
      const target = { Bucket: store.bucket, Key: key, ContentType: contentType, ...condition }
      if (bytes.length <= ONE_REQUEST_BYTES) {
        const command = new PutObjectCommand({ ...target, Body: bytes })
        return (await store.client.send(command, { abortSignal: signal })).ETag ?? ''
      }
      return (
        (await inParts(store, { ...target, Body: Readable.from([bytes], { objectMode: false }) }, signal))
          .ETag ?? ''
      )
    } catch (error) {
      const status = statusOf(error)
      if (status === 412) {
        const there = await get(store, key, signal)
        return there && Buffer.from(there.body).equals(bytes) ? there.etag : null
      }
      if (status === 404 && 'IfMatch' in condition) {
        throw new ArchiveCorrupt(
          `${key} has gone from the bucket. Restore it from its versions; nothing was written.`,
          { cause: error },
        )
      }
      if (status !== 409 || tries === CONFLICT_TRIES) throw unavailable(store, `write ${key}`, error)
    }
  }
}

/**
 * Writes a stream of any length under a key that must not be there yet; false when something is there already.
 * @throws ArchiveUnavailable, and whatever the stream throws
 */
export async function createFromStream(
  store: Store,
  key: string,
  chunks: AsyncIterable<Uint8Array>,
  contentType: string,
): Promise<boolean> {
  let sourceError: unknown
  const watched = async function* () {
    try {
      yield* chunks
    } catch (error) {
      // Not that with which Node ends a stream that nobody reads any further: the upload's own error says why.
      if (errorName(error) !== 'AbortError') sourceError = error
      throw error
    }
  }
  const source = watched()
  const first = await source.next()
  // The SDK takes a stream without a byte for one of unknown length, and says so.
  if (first.done) return create(store, key, '', contentType)
  const all = async function* () {
    yield first.value
    yield* source
  }
  try {
    const body = Readable.from(all(), { objectMode: false })
    await inParts(store, {
      Bucket: store.bucket,
      Key: key,
      ContentType: contentType,
      IfNoneMatch: '*',
      Body: body,
    })
    return true
  } catch (error) {
    if (sourceError !== undefined) throw sourceError
    if (statusOf(error) === 412) return false
    throw unavailable(store, `write ${key}`, error)
  }
}

async function inParts(
  store: Store,
  params: ConstructorParameters<typeof Upload>[0]['params'],
  signal?: AbortSignal,
) {
  const upload = new Upload({ client: store.client, params, partSize: PART_BYTES, queueSize: 2 })
  const giveUp = (): void => void upload.abort()
  signal?.addEventListener('abort', giveUp)
  try {
    return await upload.done()
  } finally {
    signal?.removeEventListener('abort', giveUp)
  }
}

/** All keys under a prefix, in S3's order. @throws ArchiveUnavailable */
export async function* list(store: Store, prefix: string): AsyncGenerator<string> {
  let token: string | undefined
  do {
    try {
      const page = await store.client.send(
        new ListObjectsV2Command({ Bucket: store.bucket, Prefix: prefix, ContinuationToken: token }),
      )
      yield* (page.Contents ?? []).flatMap((object) => object.Key ?? [])
      token = page.NextContinuationToken
    } catch (error) {
      throw unavailable(store, `list ${prefix}`, error)
    }
  } while (token !== undefined)
}

function errorName(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown error'
}

function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
}

function unavailable({ bucket }: Store, doing: string, cause: unknown): ArchiveUnavailable {
  const { what, todo } = reasonFor(cause, statusOf(cause))
  return new ArchiveUnavailable(
    `Could not ${doing} in the bucket ${bucket}: ${what}. ${todo} Then try again.`,
    { cause },
  )
}

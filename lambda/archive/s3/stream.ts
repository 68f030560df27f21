import { Readable } from 'node:stream'
import { ArchiveCorrupt } from '../errors.ts'
import { unanswered, statusOf, ARCHIVE_WAITS } from './attempts.ts'
import { isAbsent, missing, request, type Store, unavailable } from './store.ts'

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
  const { silenceMs, tries } = { ...ARCHIVE_WAITS, ...store.waits }
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
  const input = { Bucket: store.bucket, Key: key, Range, IfMatch: etag }
  try {
    return await request(store, undefined, async ({ client, sdk }, { signal }) => {
      const command = new sdk.GetObjectCommand(input)
      const { Body, ContentLength, ETag } = await client.send(command, { abortSignal: signal })
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
  const timer = setTimeout(() => body.destroy(unanswered(milliseconds)), milliseconds)
  try {
    const next = await chunks.next()
    if (next.done) throw Object.assign(new Error('the answer was cut off'), { code: 'ECONNRESET' })
    return next.value
  } finally {
    clearTimeout(timer)
  }
}

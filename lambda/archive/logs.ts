import type * as z from 'zod'
import type { NamedPage, Part } from './cursor.ts'
import { JSONL_TYPE, parseDocument } from './documents.ts'
import { ArchiveCorrupt, ifLost, LeaseLost } from './errors.ts'
import { LOG_KINDS, logFolder, type LogKind, partKey } from './keys.ts'
import { list } from './s3/list.ts'
import { create, get, getVerified, replaceIfMatch } from './s3/objects.ts'
import type { Store } from './s3/store.ts'

/** The bytes of a page's parts; no errors part is written where `errors` is empty. */
export type PartBytes = Readonly<Record<LogKind, Uint8Array>>

/**
 * Stores the parts of a page's outcome under the holder's own epoch. They count once the cursor names the
 * page with this epoch. Returns what the cursor has to say of them.
 * @throws LeaseLost when a later holder has emptied one of them, ArchiveUnavailable
 */
export async function createParts(
  store: Store,
  runId: string,
  page: number,
  epoch: number,
  bytes: PartBytes,
): Promise<NamedPage> {
  const createPart = async (kind: LogKind): Promise<Part> => {
    const key = partKey(runId, kind, page, epoch)
    const written = await create(store, key, bytes[kind], JSONL_TYPE)
    if (!written) throw new LeaseLost(`Another invocation has taken over run ${runId} and emptied ${key}.`)
    return { bytes: written.bytes, sha256: written.sha256 }
  }
  const [users, mutations, errors] = await Promise.all([
    createPart('users'),
    createPart('mutations'),
    bytes.errors.length === 0 ? null : createPart('errors'),
  ])
  return { page, epoch, users, mutations, errors }
}

const NOTHING = new Uint8Array()

/**
 * Empties the parts that holders of earlier epochs may have left on a page that is not named, or may still
 * write: a late create then finds an object and fails, and a reader of the folder sees every line once.
 * @throws ArchiveUnavailable
 */
export async function emptyParts(
  store: Store,
  runId: string,
  page: number,
  epochs: Iterable<number>,
): Promise<void> {
  const keys = [...epochs].flatMap((epoch) => LOG_KINDS.map((kind) => partKey(runId, kind, page, epoch)))
  await Promise.all(keys.map(async (key) => emptyPart(store, key)))
}

async function emptyPart(store: Store, key: string): Promise<void> {
  if (await create(store, key, NOTHING, JSONL_TYPE)) return
  // A create that was on its way may take effect between the read and the write, hence the loop.
  for (;;) {
    const there = await get(store, key)
    if (!there) throw new ArchiveCorrupt(`${key} was deleted while it was being emptied. Resume the run.`)
    if (there.bytes.length === 0) return
    if (await replaceIfMatch(store, key, NOTHING, JSONL_TYPE, there.etag)) return
  }
}

/**
 * Reads the lines of a page's part, compared with what its writer recorded.
 * @throws ArchiveCorrupt when it is missing, was edited, or a line is not of the expected shape;
 * ArchiveUnavailable
 */
export async function readPart<T>(
  store: Store,
  runId: string,
  kind: LogKind,
  { page, epoch, ...part }: Part & { readonly page: number; readonly epoch: number },
  schema: z.ZodType<T>,
): Promise<T[]> {
  const key = partKey(runId, kind, page, epoch)
  const { body } = await getVerified(store, key, part)
  return body
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => parseDocument(schema, key, line))
}

/**
 * The lines of a run's log in the order of its named pages, with one page in memory. `beforePage` may throw,
 * to end it.
 * @throws as readPart
 */
export async function* readLog<T>(
  store: Store,
  runId: string,
  kind: LogKind,
  pages: readonly NamedPage[],
  schema: z.ZodType<T>,
  beforePage: () => void = () => {},
): AsyncGenerator<T> {
  for (const named of pages) {
    const part = named[kind]
    if (part === null || part.bytes === 0) continue
    beforePage()
    yield* await readPart(store, runId, kind, { page: named.page, epoch: named.epoch, ...part }, schema)
  }
}

/**
 * Compares the sizes of a run's parts in S3 with what the cursor says of them.
 * @throws ArchiveCorrupt naming the first part that is missing or differs, ArchiveUnavailable
 */
export async function checkPartSizes(
  store: Store,
  runId: string,
  pages: readonly NamedPage[],
): Promise<void> {
  for (const kind of LOG_KINDS) {
    const sizes = new Map<string, number>()
    for await (const { key, bytes } of list(store, logFolder(runId, kind))) sizes.set(key, bytes)
    for (const named of pages) {
      const part = named[kind]
      const key = partKey(runId, kind, named.page, named.epoch)
      const found = sizes.get(key)
      if (part === null || found === part.bytes) continue
      throw new ArchiveCorrupt(
        `${key} has ${found === undefined ? 'disappeared' : `${found} bytes`}, and ${part.bytes} bytes were written. ` +
          `The run stays open. Restore that version of it in S3, then resume the run.${ifLost(key)}`,
      )
    }
  }
}

import { createHash } from 'node:crypto'
import type * as z from 'zod'
import { type Fingerprint, parseDocument } from './documents.ts'
import { ArchiveCorrupt } from './errors.ts'
import { logKey, type LogKind } from './keys.ts'
import { JSONL_TYPE } from './segments.ts'
import { create, readBytes, type Store } from './store.ts'

type OnLine = (line: string, segmentKey: string) => void

/**
 * Streams segments together into a run's whole log of one kind, in the order given, holding only a few parts in
 * memory, and shows each line to `onLine`, if there is one, with the segment that it stands in. `onEnd` hears the
 * number of lines, before there is a log: what either throws leaves none, so that a damaged segment can be restored.
 * Doing it again is harmless: a log that is there already must be the same one, byte for byte.
 * @throws ArchiveCorrupt when a segment is missing or another log is there, ArchiveUnavailable
 */
export async function assembleLog(
  store: Store,
  runId: string,
  kind: LogKind,
  segmentKeys: Iterable<string>,
  onLine: OnLine | null,
  onEnd: (lines: number) => void = () => {},
): Promise<Fingerprint> {
  const key = logKey(runId, kind)
  const written = fingerprinter(key)
  const all = async function* () {
    yield* written.watch(concatenate(store, segmentKeys, onLine))
    onEnd(written.lines())
  }
  const chunks: Uint8Array[] = []
  for await (const chunk of all()) chunks.push(chunk)
  const created = await create(store, key, chunks, JSONL_TYPE)
  if (!created) {
    const there = fingerprinter(key)
    for await (const chunk of there.watch(readBytes(store, key))) void chunk
    if (there.result().sha256 !== written.result().sha256) {
      throw new ArchiveCorrupt(
        `${key} exists with other content than the run's segments. Nothing was overwritten.`,
      )
    }
  }
  return written.result()
}

async function* concatenate(
  store: Store,
  keys: Iterable<string>,
  onLine: OnLine | null,
): AsyncGenerator<Uint8Array> {
  for (const key of keys) {
    const bytes = readBytes(store, key)
    yield* onLine ? tapLines(bytes, (line) => onLine(line, key)) : bytes
  }
}

type Fingerprinter = {
  watch(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>
  lines(): number
  result(): Fingerprint
}

/** Counts and hashes bytes as they pass. */
function fingerprinter(key: string): Fingerprinter {
  const hash = createHash('sha256')
  let bytes = 0
  let lines = 0
  let sha256: string | undefined
  return {
    async *watch(chunks) {
      for await (const chunk of chunks) {
        hash.update(chunk)
        bytes += chunk.length
        for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++
        yield chunk
      }
    },
    lines: () => lines,
    result: () => ({ key, bytes, lines, sha256: (sha256 ??= hash.digest('hex')) }),
  }
}

/** The fingerprint of a text that is stored under a key. */
export function fingerprint(key: string, body: string): Fingerprint {
  const bytes = Buffer.from(body)
  return {
    key,
    bytes: bytes.length,
    lines: body.split('\n').length - 1,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  }
}

/**
 * The lines of a JSONL object, or of a range of whole lines in it, each checked against a schema, and held all at once: for pages, not for whole logs.
 * @throws ArchiveCorrupt when it is missing or a line is not of the expected shape, ArchiveUnavailable
 */
export async function* readJsonLines<T>(
  store: Store,
  key: string,
  schema: z.ZodType<T>,
  range?: { from: number; to: number },
): AsyncGenerator<T> {
  const lines: string[] = []
  for await (const chunk of tapLines(readBytes(store, key, range), (line) => lines.push(line))) void chunk
  for (const line of lines) yield parseDocument(schema, key, line)
}

/**
 * Cuts bytes into lines, each given to `onLine`, and passes them on. Not node:readline, which also cuts at
 * U+2028 and U+2029, and these may stand unescaped in a JSON text.
 */
export async function* tapLines(
  chunks: AsyncIterable<Uint8Array>,
  onLine: (line: string) => void,
): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    lines.forEach(onLine)
    yield chunk
  }
  if (rest !== '') onLine(rest)
}

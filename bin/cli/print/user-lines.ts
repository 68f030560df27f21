import { list } from '../../../lambda/archive/s3/list.ts'
import type { Store } from '../../../lambda/archive/s3/store.ts'
import { readBytes } from '../../../lambda/archive/s3/stream.ts'

/**
 * The lines of one of a run's logs, in the order of its parts. `url` is what the card names: a folder of
 * parts, or one file. A part that a later holder of the lease emptied has no lines.
 * @throws ArchiveUnavailable
 */
export async function* logLines(store: Store, url: string): AsyncGenerator<string> {
  const key = url.replace(`s3://${store.bucket}/`, '')
  if (key.endsWith('.jsonl')) yield* linesOf(readBytes(store, key))
  else
    for await (const part of list(store, key.replace(/\/?$/, '/'))) yield* linesOf(readBytes(store, part.key))
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (rest !== '') yield rest
}

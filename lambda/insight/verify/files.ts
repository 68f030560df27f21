import { list, type Listed } from '../../archive/s3/list.ts'
import { get } from '../../archive/s3/objects.ts'
import type { Store } from '../../archive/s3/store.ts'

/** Where the objects of runs are read from: a bucket, or a folder that was downloaded from one. */
export type RunFiles = {
  /** An object's bytes, or null where there is none. */
  readonly read: (key: string) => Promise<Uint8Array | null>
  readonly list: (prefix: string) => AsyncIterable<Listed>
}

/** The objects of a bucket. */
export function filesOfStore(store: Store): RunFiles {
  return {
    read: async (key) => (await get(store, key))?.bytes ?? null,
    list: (prefix) => list(store, prefix),
  }
}

/** The lines of a part, without their line breaks. */
export function linesOfBytes(bytes: Uint8Array | null): string[] {
  if (bytes === null) return []
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()
  return text.split('\n').filter((line) => line !== '')
}

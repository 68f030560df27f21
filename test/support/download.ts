import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { keys, readBytes, type TestBucket } from './bucket.ts'

/** Downloads the objects below some prefixes into a folder, byte for byte, each at the path of its key. */
export async function download(
  bucket: TestBucket,
  folder: string,
  prefixes: readonly string[],
): Promise<void> {
  for (const prefix of prefixes) {
    for (const key of await keys(bucket, prefix)) {
      const file = join(folder, key)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, await readBytes(bucket, key))
    }
  }
}

import { readFile } from 'node:fs/promises'
import type { KeyObject } from 'node:crypto'
import { resolve } from 'node:path'
import { PUBLIC_KEY_FORMS, readPublicKeys } from '../lambda/signing/public-key.ts'
import { UsageError } from './cli/line/options.ts'

/** Reads the keys in the file that --public-key names, from the folder in which npm was called. @throws UsageError */
export async function publicKeysOfFile(file: string): Promise<readonly KeyObject[]> {
  const keys = readPublicKeys(await textOf(file))
  if (keys) return keys
  throw new UsageError(`${file} ${PUBLIC_KEY_FORMS}. Nothing was compared.`)
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(resolve(process.env.INIT_CWD ?? '.', file), 'utf8')
  } catch (error) {
    const why = error instanceof Error ? error.message : 'unreadable'
    throw new UsageError(`The public key cannot be read (${why}). Nothing was compared.`, { cause: error })
  }
}

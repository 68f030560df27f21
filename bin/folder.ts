import { readdir, readFile, stat } from 'node:fs/promises'
import { join, relative, resolve, sep } from 'node:path'
import type { RunFiles } from '../lambda/insight/verify/files.ts'

/** A downloaded bucket on this machine: a folder with logs/ and runs/ in it, as the bucket has them. */
export function filesOfFolder(folder: string): RunFiles {
  return {
    async read(key) {
      try {
        return await readFile(join(folder, key))
      } catch (error) {
        if (isAbsent(error)) return null
        throw error
      }
    },
    async *list(prefix) {
      for (const file of await filesBelow(join(folder, prefix)))
        yield { key: relative(folder, file).split(sep).join('/'), bytes: (await stat(file)).size }
    },
  }
}

/** The run ids that a folder has under runs/, oldest first. */
export async function runsOfFolder(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(join(folder, 'runs'), { withFileTypes: true })
    return entries
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .toSorted()
  } catch (error) {
    if (isAbsent(error)) return []
    throw error
  }
}

/** The folder that holds logs/ and runs/: the one given, or the one above where logs/ itself was given. */
export async function rootOf(folder: string): Promise<string> {
  if ((await runsOfFolder(folder)).length > 0) return folder
  const above = resolve(folder, '..')
  return (await runsOfFolder(above)).length > 0 ? above : folder
}

async function filesBelow(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true, recursive: true })
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  } catch (error) {
    if (isAbsent(error)) return []
    throw error
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}

import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { keepFolder } from './kept-folder.ts'

/** Removes the sandbox in `root`, and says what was done. @throws SandboxInUse while a command uses it */
export async function resetSandbox(root = '.sandbox'): Promise<string> {
  const dir = resolve(root)
  if (!existsSync(dir)) return `There is no sandbox in ${root}. The next npm start creates one.`
  const { release } = await keepFolder({ folder: dir, server: null })
  try {
    for (const part of ['postgres', 's3', 'addresses.json', 'holder'])
      await rm(join(dir, part), { recursive: true, force: true })
  } finally {
    await release()
  }
  await rm(dir, { recursive: true, force: true })
  return `Removed the sandbox in ${root}. The next npm start creates a new one.`
}

if (import.meta.main) {
  try {
    process.stdout.write(`${await resetSandbox()}\n`)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}

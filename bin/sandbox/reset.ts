import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { lockSandbox } from './lock.ts'
import { stopLeftBehind } from './postgres-stop.ts'

/**
 * Removes the sandbox in `root`, a server that a killed command left behind in it included, and says what was done.
 * Throws SandboxInUse while a command works on it.
 */
export async function resetSandbox(root = '.sandbox'): Promise<string> {
  const dir = resolve(root)
  if (!existsSync(dir)) return `There is no sandbox in ${root}: the next npm start makes a new one.`
  const unlock = await lockSandbox(dir)
  try {
    await stopLeftBehind(join(dir, 'postgres'))
    for (const part of ['postgres', 's3']) await rm(join(dir, part), { recursive: true, force: true })
  } finally {
    await unlock()
  }
  await rm(dir, { recursive: true, force: true })
  return `The sandbox in ${root} is removed: the next npm start makes a new one.`
}

if (import.meta.main) {
  try {
    process.stdout.write(`${await resetSandbox()}\n`)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}

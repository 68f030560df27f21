import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rm, rmdir, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isAlive } from './processes.ts'

/** Another live command works on the sandbox. */
export class SandboxInUse extends Error {
  override name = 'SandboxInUse'
}

/** Folders that this process holds: after a restart of a container its number may be that of the dead holder. */
const heldHere = new Set<string>()

/**
 * Takes the lock of the sandbox in `root`, also from a holder who has died, and gives the function that frees it.
 * Throws SandboxInUse, which names the holder's process, when that one lives.
 */
export async function lockSandbox(root: string): Promise<() => Promise<void>> {
  const path = join(root, 'lock')
  await mkdir(root, { recursive: true })
  if (!(await tryToCreate(path))) {
    await refuseIfHeld(path)
    await takeOver(path)
  }
  heldHere.add(path)
  return async () => {
    heldHere.delete(path)
    await rm(path, { force: true })
  }
}

/** The file appears with its content, so that no reader finds it empty. */
async function tryToCreate(path: string): Promise<boolean> {
  const unfinished = `${path}.${randomUUID()}`
  await writeFile(unfinished, String(process.pid))
  try {
    await link(unfinished, path)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  } finally {
    await unlink(unfinished)
  }
}

/** One at a time: who removed a dead holder's file unguarded could remove the file of somebody who was faster. */
async function takeOver(path: string): Promise<void> {
  const guard = `${path}.takeover`
  try {
    await mkdir(guard)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    throw new SandboxInUse(
      `Another command is just taking over this sandbox. If none is, delete ${guard}, and try again.`,
    )
  }
  try {
    await refuseIfHeld(path)
    await rm(path, { force: true })
    if (!(await tryToCreate(path))) await refuseIfHeld(path)
  } finally {
    await rmdir(guard)
  }
}

async function refuseIfHeld(path: string): Promise<void> {
  const pid = Number(await readIfThere(path))
  const held = pid === process.pid ? heldHere.has(path) : pid > 0 && isAlive(pid)
  if (!held) return
  throw new SandboxInUse(
    `The sandbox is in use by process ${pid}: wait for that command to end, or end it (kill ${pid}), ` +
      `and try again. If ${pid} is something else, delete ${path}.`,
  )
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return ''
    throw error
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Asked, AskedBy, FromKeeper } from './keeper.ts'
import type { Address } from './postgres-server.ts'

/** Another command uses this folder. */
export class SandboxInUse extends Error {
  override readonly name = 'SandboxInUse'
}

/** A folder that this process has for itself, with a PostgreSQL server where one was asked for. */
export type KeptFolder = {
  readonly server: Address | null
  /** Stops the server and releases the folder. The same happens when this process ends in any way. */
  readonly release: () => Promise<void>
}

/**
 * Locks a folder, and starts PostgreSQL. Another process does both, and is started before this function
 * returns: what this one does meanwhile delays neither.
 * @throws SandboxInUse when another command has the folder, and an Error that says why the server did not
 * start
 */
export async function keepFolder(asked: Asked): Promise<KeptFolder> {
  mkdirSync(asked.folder, { recursive: true })
  const askedBy: AskedBy = { ...asked, by: process.pid }
  const keeper = fork(fileURLToPath(new URL('keeper.ts', import.meta.url)), [JSON.stringify(askedBy)], {
    detached: true,
    execArgv: [],
    // Where enableCompileCache of bin/start.js keeps it: types need not be stripped again here either.
    env: { NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache'), ...process.env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const gone = once(keeper, 'exit')
  const release = async (): Promise<void> => {
    if (keeper.connected) keeper.disconnect()
    await gone
  }
  const answered = new Promise<FromKeeper>((resolve) => keeper.once('message', resolve))
  const answer = await Promise.race([answered, gone])
  if ('is' in answer && answer.is === 'ready') return { server: answer.server, release }
  await release()
  if ('is' in answer && answer.is === 'in use')
    throw new SandboxInUse(
      `Another command (process ${answer.by}) is using ${asked.folder}. Nothing was done. Wait for ` +
        'it to end, then retry.',
    )
  throw new Error('is' in answer ? answer.message : `The process that keeps ${asked.folder} ended.`)
}

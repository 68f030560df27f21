import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FromKeeper, Program } from './keeper.ts'

/** Another command uses this folder. */
export class SandboxInUse extends Error {
  override readonly name = 'SandboxInUse'
}

/** A folder that this process has for itself, and the one program that may run in it. */
export type LockedFolder = {
  /** Starts the program; gives its process id, and a promise of its end. */
  readonly run: (program: Program) => Promise<{ readonly pid: number; readonly ended: Promise<void> }>
  /** Stops the program and releases the folder. The same happens when this process ends in any way. */
  readonly release: () => Promise<void>
}

/** @throws SandboxInUse when another command has the folder */
export async function lockFolder(folder: string): Promise<LockedFolder> {
  await mkdir(folder, { recursive: true })
  const keeper = fork(fileURLToPath(new URL('keeper.ts', import.meta.url)), [folder], {
    detached: true,
    execArgv: [],
    // Where enableCompileCache of bin/start.ts keeps it: its own types need not be stripped again either.
    env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'node-compile-cache') },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const gone = once(keeper, 'exit')
  const next: Next = async (wanted) =>
    new Promise((resolve, reject) => {
      const settle = (message: FromKeeper): void => {
        if (message.is !== wanted && message.is !== 'in use') return
        keeper.off('message', settle)
        resolve(message)
      }
      keeper.on('message', settle)
      void gone.then(() => reject(new Error(`The process that holds the lock of ${folder} ended.`)))
    })
  const release = async (): Promise<void> => {
    if (keeper.connected) keeper.disconnect()
    await gone
  }
  const answer = await next('locked')
  if (answer.is === 'in use') {
    await release()
    throw new SandboxInUse(
      `Another command (process ${answer.by}) is using ${folder}. Nothing was done. Wait for it to end, then retry.`,
    )
  }
  return {
    release,
    run: async (program) => {
      const ended = endOf(next, gone)
      const started = next('started')
      keeper.send(program)
      const message = await started
      return { pid: message.is === 'started' ? (message.pid ?? 0) : 0, ended }
    },
  }
}

type Next = (wanted: FromKeeper['is']) => Promise<FromKeeper>

/** The end of the program, or of the process that runs it. */
async function endOf(next: Next, gone: Promise<unknown>): Promise<void> {
  await Promise.race([next('ended').catch(() => null), gone])
}

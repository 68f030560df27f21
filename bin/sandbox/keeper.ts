import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { join } from 'node:path'
import lockfile from 'proper-lockfile'

/** A program that the parent asks this process to run. Its output goes to the file `log`. */
export type Program = {
  readonly command: readonly string[]
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
  readonly log: string
  readonly stopSignal: NodeJS.Signals
}

/** What this process tells its parent. */
export type FromKeeper =
  | { readonly is: 'locked' }
  | { readonly is: 'in use' }
  | { readonly is: 'started'; readonly pid: number | undefined }
  | { readonly is: 'ended' }

/** An ended command's process needs a moment to stop its server and to release the lock. */
const LOCK_TRIES = 50
const LOCK_PAUSE_MS = 100
/** A lock whose process died with the machine is taken over after this time. */
const STALE_MS = 10_000

/**
 * Holds the lock of a folder, and runs one program, until the parent disconnects or ends: however the parent ends, its
 * end of the channel closes. The process is detached, so that a terminal's Ctrl-C reaches the parent alone.
 */
async function keep(folder: string): Promise<void> {
  let program: ChildProcess | undefined
  let stopSignal: NodeJS.Signals = 'SIGTERM'
  const parentGone = once(process, 'disconnect')
  const release = await lock(folder)
  if (release === undefined) {
    tell({ is: 'in use' })
    return
  }
  process.on('message', (given: Program) => {
    stopSignal = given.stopSignal
    const [command = '', ...args] = given.command
    const log = openSync(given.log, 'w', 0o600)
    const { cwd, env, owner } = given
    program = spawn(command, args, { cwd, env, ...owner, stdio: ['ignore', log, log] })
    program.once('exit', () => tell({ is: 'ended' }))
    program.once('error', () => tell({ is: 'ended' }))
    tell({ is: 'started', pid: program.pid })
  })
  tell({ is: 'locked' })
  await parentGone
  if (program?.pid !== undefined && program.exitCode === null && program.signalCode === null) {
    const ended = once(program, 'exit')
    program.kill(stopSignal)
    await ended
  }
  await release()
}

async function lock(folder: string): Promise<(() => Promise<void>) | undefined> {
  for (let tries = 1; process.connected; tries += 1) {
    try {
      return await lockfile.lock(folder, {
        lockfilePath: join(folder, 'lock'),
        stale: STALE_MS,
        // Only a folder that someone removes while it is in use loses its lock.
        onCompromised: () => process.disconnect(),
      })
    } catch (error) {
      const held = error instanceof Error && 'code' in error && error.code === 'ELOCKED'
      if (!held) throw error
      if (tries === LOCK_TRIES) return undefined
      await pause(LOCK_PAUSE_MS)
    }
  }
  return undefined
}

function tell(message: FromKeeper): void {
  if (process.connected) process.send?.(message)
}

if (import.meta.main) {
  await keep(process.argv[2] ?? '.')
  if (process.connected) process.disconnect()
}

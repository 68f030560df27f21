import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
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

/** What this process sends to its parent. */
export type FromKeeper =
  | { readonly is: 'locked' }
  | { readonly is: 'in use'; readonly by: number }
  | { readonly is: 'started'; readonly pid: number | undefined }
  | { readonly is: 'ended' }

const LOCK_PAUSE_MS = 100
/**
 * A lock whose keeper died with the machine is taken over after this time; a busy machine may delay its
 * renewal.
 */
const STALE_MS = 30_000

/**
 * Holds the lock of a folder, and runs one program, until the parent disconnects or ends: however the parent
 * ends, its end of the channel closes. The process is detached, so that a terminal's Ctrl-C reaches the
 * parent alone.
 */
async function keep(folder: string): Promise<void> {
  let program: ChildProcess | undefined
  let stopSignal: NodeJS.Signals = 'SIGTERM'
  const parentGone = once(process, 'disconnect')
  const release = await lock(folder)
  if (typeof release === 'number') {
    tell({ is: 'in use', by: release })
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

/**
 * The function that releases the lock, or the process that has it. Waits while the keeper of an ended process
 * stops.
 */
async function lock(folder: string): Promise<(() => Promise<void>) | number> {
  const holder = join(folder, 'holder')
  for (;;) {
    try {
      const release = await lockfile.lock(folder, {
        lockfilePath: join(folder, 'lock'),
        stale: STALE_MS,
        // A folder loses its lock only when it is removed while it is in use.
        onCompromised: () => process.disconnect(),
      })
      await writeFile(holder, String(process.ppid))
      return release
    } catch (error) {
      const held = error instanceof Error && 'code' in error && error.code === 'ELOCKED'
      if (!held) throw error
      const pid = Number(await readFile(holder, 'utf8').catch(() => ''))
      if (pid > 0 && isAlive(pid)) return pid
      await pause(LOCK_PAUSE_MS)
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

function tell(message: FromKeeper): void {
  if (process.connected) process.send?.(message)
}

if (import.meta.main) {
  await keep(process.argv[2] ?? '.')
  if (process.connected) process.disconnect()
}

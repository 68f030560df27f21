import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { join } from 'node:path'
import lockfile from 'proper-lockfile'
import { type Address, type ServerOptions, startServer } from './postgres-server.ts'

/** What the parent asks for: a folder for itself, and a server. */
export type Asked = { readonly folder: string; readonly server: ServerOptions | null }

/** With the parent's process id: asked for here, it would be another's when the parent has ended by then. */
export type AskedBy = Asked & { readonly by: number }

/** What this process sends to its parent, once. */
export type FromKeeper =
  | { readonly is: 'in use'; readonly by: number }
  | { readonly is: 'ready'; readonly server: Address | null }
  | { readonly is: 'failed'; readonly message: string }

const LOCK_PAUSE_MS = 100
/** Looks at the lock before the person is told why nothing happens. */
const LOOKS_IN_SILENCE = 20
/**
 * A lock whose keeper was killed is taken over after this time; a busy machine may delay its renewal.
 */
const STALE_MS = 30_000

/**
 * Holds the lock of a folder, and runs a server, until the parent disconnects or ends: however the parent
 * ends, its end of the channel closes. The process is detached, so that a terminal's Ctrl-C reaches the
 * parent alone.
 */
async function keep({ folder, server, by }: AskedBy): Promise<void> {
  const parentGone = once(process, 'disconnect')
  const lock = await lockOf(folder, by)
  if ('heldBy' in lock) return tell({ is: 'in use', by: lock.heldBy })
  try {
    const running = server && (await startServer(server))
    tell({ is: 'ready', server: running && running.address })
    await parentGone
    await running?.stop()
  } catch (error) {
    tell({ is: 'failed', message: error instanceof Error ? error.message : String(error) })
  } finally {
    await lock.release()
  }
}

type Lock = { readonly heldBy: number } | { readonly release: () => Promise<void> }

/** The lock, or the process that has it. Waits while the keeper of an ended process stops. */
async function lockOf(folder: string, by: number): Promise<Lock> {
  const holder = join(folder, 'holder')
  let lost = false
  for (let look = 1; ; look += 1) {
    try {
      const release = await lockfile.lock(folder, {
        lockfilePath: join(folder, 'lock'),
        stale: STALE_MS,
        // A folder loses its lock only when it is removed while it is in use.
        onCompromised: () => {
          lost = true
          process.disconnect()
        },
      })
      await writeFile(holder, String(by))
      return { release: async () => (lost ? undefined : release()) }
    } catch (error) {
      const held = error instanceof Error && 'code' in error && error.code === 'ELOCKED'
      if (!held) throw error
      const pid = Number(await readFile(holder, 'utf8').catch(() => ''))
      if (pid > 0 && isAlive(pid)) return { heldBy: pid }
      if (look === LOOKS_IN_SILENCE)
        process.stderr.write(
          `Sandbox: waiting until the last command has stopped, or its lock expires (${STALE_MS / 1000} s)\n`,
        )
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
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- keepFolder writes it
  await keep(JSON.parse(process.argv[2] ?? '') as AskedBy)
  if (process.connected) process.disconnect()
}

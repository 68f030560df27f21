import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { isAlive } from './processes.ts'
import { findPostgresPrograms, postgresPaths } from './postgres-programs.ts'
import type { PostgresPrograms } from './postgres-programs.ts'

const exec = promisify(execFile)

/**
 * Stops the PostgreSQL server of `dir`, whoever started it; does nothing when none runs.
 * Throws an Error when it cannot be stopped.
 */
export async function stopServerOf(
  dir: string,
  programs: PostgresPrograms,
  mode: 'fast' | 'immediate' = 'fast',
): Promise<void> {
  const { data, pid: pidFile } = postgresPaths(dir)
  const found = await readPidFile(pidFile)
  if (found === undefined || !isAlive(found.pid)) return
  // After a restart of the machine the number may belong to a process that must not be signalled.
  if (!(await commandLine(found.pid)).includes(found.data)) {
    await rm(pidFile)
    return
  }
  const stop = (how: string) =>
    programs.run('pg_ctl', ['stop', '--wait', '--silent', `--pgdata=${data}`, `--mode=${how}`])
  try {
    await stop(mode)
  } catch (error) {
    if (!existsSync(pidFile)) return
    if (mode === 'immediate') throw error
    await stop('immediate')
  }
}

/** Stops a server that a killed command left behind in `dir`; for those who start none themselves. */
export async function stopLeftBehind(dir: string): Promise<void> {
  if (existsSync(postgresPaths(dir).pid)) await stopServerOf(dir, await findPostgresPrograms(dir))
}

async function readPidFile(path: string): Promise<{ pid: number; data: string } | undefined> {
  if (!existsSync(path)) return undefined
  const [pid = '', data = ''] = (await readFile(path, 'utf8')).split('\n')
  return Number(pid) > 0 && data !== '' ? { pid: Number(pid), data } : undefined
}

async function commandLine(pid: number): Promise<string> {
  if (existsSync(`/proc/${pid}/cmdline`)) return readFile(`/proc/${pid}/cmdline`, 'utf8')
  return (await exec('ps', ['-o', 'command=', '-p', String(pid)])).stdout
}

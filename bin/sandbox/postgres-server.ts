import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { chown, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { findPostgresPrograms, type PostgresPrograms } from './postgres-programs.ts'

const exec = promisify(execFile)

export type ServerOptions = {
  readonly dir: string
  readonly port?: number
  /** Gives up durability for speed. */
  readonly ephemeral?: boolean
  /** Further settings, as `name=value`. */
  readonly settings?: readonly string[]
}

/** How a server is reached, on the loopback interface. */
export type Address = {
  readonly port: number
  readonly formerPorts: readonly number[]
  readonly password: string
}

const SETTINGS = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_connections=200']
const EPHEMERAL_SETTINGS = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off']

const LOOK_EVERY_MS = 20
const PORT_TRIES = 5

/**
 * Starts PostgreSQL as a child of this process; the data folder is created at the first start.
 * @throws Error with the end of the server's log when it does not start
 */
export async function startServer(
  options: ServerOptions,
): Promise<{ readonly address: Address; readonly stop: () => Promise<void> }> {
  const { dir } = options
  await mkdir(dir, { recursive: true })
  const data = join(dir, 'data')
  const programs = await findPostgresPrograms(dir, data)
  if (programs.owner) await chown(dir, programs.owner.uid, programs.owner.gid)
  const password = existsSync(data) ? await keptPassword(dir) : await initialise(dir, programs)
  const ports = await keptPorts(dir)
  const { port, stop } = await run(options, programs, ports.at(-1))
  if (ports.at(-1) !== port) await writeFile(join(dir, 'ports'), JSON.stringify([...ports, port]))
  return { address: { port, formerPorts: ports.filter((former) => former !== port), password }, stop }
}

type Running = { readonly port: number; readonly stop: () => Promise<void> }

/**
 * Creates the data folder under another name first: an interrupted initdb leaves nothing that looks complete.
 */
async function initialise(dir: string, { initdb, owner, asOwner }: PostgresPrograms): Promise<string> {
  for (const name of await readdir(dir)) {
    if (name.startsWith('initdb-')) await rm(join(dir, name), { recursive: true, force: true })
  }
  const password = randomBytes(18).toString('base64url')
  const passwordFile = join(dir, 'password')
  await writeFile(passwordFile, password, { mode: 0o600 })
  if (owner) await chown(passwordFile, owner.uid, owner.gid)
  const unfinished = join(dir, `initdb-${randomBytes(4).toString('hex')}`)
  const [program = '', ...through] = initdb
  const args = [
    ...through,
    `--pgdata=${unfinished}`,
    `--pwfile=${passwordFile}`,
    '--username=postgres',
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // The same order and case rules on every machine, whatever its locales.
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--set=timezone=UTC',
    '--set=log_timezone=UTC',
    '--no-sync',
  ]
  await exec(program, args, { cwd: dir, env: environment(), ...asOwner })
  await rename(unfinished, join(dir, 'data'))
  return password
}

async function keptPassword(dir: string): Promise<string> {
  try {
    return await readFile(join(dir, 'password'), 'utf8')
  } catch (error) {
    throw new Error(`The password of the PostgreSQL in ${dir} is lost. Delete that folder to start over.`, {
      cause: error,
    })
  }
}

async function keptPorts(dir: string): Promise<number[]> {
  const path = join(dir, 'ports')
  const kept: unknown = existsSync(path) ? JSON.parse(await readFile(path, 'utf8')) : []
  return Array.isArray(kept) ? kept.map(Number) : []
}

async function run(
  { dir, port: wanted, ephemeral = false, settings = [] }: ServerOptions,
  { postgres, asOwner }: PostgresPrograms,
  keptPort: number | undefined,
): Promise<Running> {
  const data = join(dir, 'data')
  const log = join(dir, 'postgres.log')
  const set = [...SETTINGS, ...(ephemeral ? EPHEMERAL_SETTINGS : []), ...settings]
  const [program = '', ...through] = postgres
  await clearPidFile(data)
  for (let tries = 1; ; tries += 1) {
    const port = wanted ?? (tries === 1 ? keptPort : undefined) ?? (await freePort())
    const output = openSync(log, 'w', 0o600)
    const server = spawn(
      program,
      [...through, '-D', data, '-p', String(port), ...set.flatMap((one) => ['-c', one])],
      {
        ...asOwner,
        cwd: dir,
        env: environment(),
        stdio: ['ignore', output, output],
      },
    )
    closeSync(output)
    const ended = once(server, 'exit')
    const stop = async (): Promise<void> => {
      // Fast shutdown, or immediate where nothing has to be kept.
      server.kill(ephemeral ? 'SIGQUIT' : 'SIGINT')
      await ended
    }
    if (await isReady(data, server.pid, ended)) return { port, stop }
    const written = (await readFile(log, 'utf8')).trimEnd()
    if (
      tries === PORT_TRIES ||
      wanted !== undefined ||
      !/could not bind|Address already in use/.test(written)
    )
      throw new Error(
        `PostgreSQL did not start. The end of its log, ${log}:\n${written.split('\n').slice(-15).join('\n')}`,
      )
  }
}

/** Waits until the server says in its pid file that it is ready; false when it ended instead. */
async function isReady(data: string, pid: number | undefined, ended: Promise<unknown>): Promise<boolean> {
  for (;;) {
    const lines = await pidFile(data)
    if (lines[0] === String(pid) && lines[7]?.trim() === 'ready') return true
    if (await Promise.race([ended.then(() => true), pause(LOOK_EVERY_MS, false)])) return false
  }
}

async function pidFile(data: string): Promise<string[]> {
  try {
    return (await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}

/**
 * PostgreSQL refuses to start while a process has the number in its pid file. After a crash that may be any
 * process; a server of this folder has lost its keeper, since the folder is locked, and is stopped.
 */
async function clearPidFile(data: string): Promise<void> {
  const [pid] = await pidFile(data)
  if (pid === undefined || process.platform === 'win32') return
  // `ps` exits with 1 where there is no such process.
  const { stdout } = await exec('ps', ['-o', 'command=', '-p', pid]).catch(() => ({ stdout: '' }))
  if (!stdout.includes(data)) return rm(join(data, 'postmaster.pid'))
  process.kill(Number(pid), 'SIGINT')
  while ((await pidFile(data))[0] === pid) await pause(LOOK_EVERY_MS)
}

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: 'C' }
}

async function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer()
    server.once('error', failed)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = address !== null && typeof address === 'object' ? address.port : 0
      server.close(() => found(port))
    })
  })
}

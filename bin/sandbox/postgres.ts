import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chown, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import * as z from 'zod'
import { type LockedFolder, lockFolder } from './locked-folder.ts'
import { findPostgresPrograms, type PostgresPrograms } from './postgres-programs.ts'

const exec = promisify(execFile)

/** A running PostgreSQL server. */
export type PostgresServer = {
  readonly port: number
  /** Ports that it had before: what ran then knows the ledger by them. */
  readonly formerPorts: readonly number[]
  /** A postgres:// URL, password included, of the superuser for one database. */
  readonly urlFor: (database: string) => string
  readonly stop: () => Promise<void>
}

const SETTINGS = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_connections=200']
const EPHEMERAL_SETTINGS = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off']

const LOOK_EVERY_MS = 20
const PORT_TRIES = 5

/**
 * Starts PostgreSQL on the loopback interface, on `port`, or on the port that it had before, or where that is
 * in use on another one, with everything it keeps in `dir` (data, log, password, ports); the data folder is
 * created at the first start. The server stops when this process ends, whatever ends it. `ephemeral` gives up
 * durability for speed.
 * @throws SandboxInUse, and an Error with the end of the server's log when it does not start
 */
export async function startPostgres(options: {
  readonly dir: string
  readonly port?: number
  readonly ephemeral?: boolean
  /** A folder that is locked already; without one, `dir` is locked. */
  readonly lockedFolder?: LockedFolder
}): Promise<PostgresServer> {
  const dir = resolve(options.dir)
  await mkdir(dir, { recursive: true })
  const folder = options.lockedFolder ?? (await lockFolder(dir))
  try {
    const programs = await findPostgresPrograms(dir)
    if (programs.owner) await chown(dir, programs.owner.uid, programs.owner.gid)
    const password = existsSync(join(dir, 'data')) ? await keptPassword(dir) : await initialise(dir, programs)
    const ports = await keptPorts(dir)
    const port = await startServer(dir, folder, programs, { keptPort: ports.at(-1), ...options })
    if (ports.at(-1) !== port) await writeFile(join(dir, 'ports'), JSON.stringify([...ports, port]))
    return {
      port,
      formerPorts: ports.filter((former) => former !== port),
      urlFor: (database) =>
        `postgres://postgres:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`,
      stop: folder.release,
    }
  } catch (error) {
    await folder.release()
    throw error
  }
}

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
  return existsSync(path) ? z.array(z.int()).parse(JSON.parse(await readFile(path, 'utf8'))) : []
}

async function startServer(
  dir: string,
  folder: LockedFolder,
  { postgres, asOwner }: PostgresPrograms,
  {
    port: wanted,
    keptPort,
    ephemeral = false,
  }: { readonly port?: number; readonly keptPort: number | undefined; readonly ephemeral?: boolean },
): Promise<number> {
  const data = join(dir, 'data')
  const log = join(dir, 'postgres.log')
  const settings = [...SETTINGS, ...(ephemeral ? EPHEMERAL_SETTINGS : [])].flatMap((set) => ['-c', set])
  await removePidFileOfAnother(data)
  for (let tries = 1; ; tries += 1) {
    const port = wanted ?? (tries === 1 ? keptPort : undefined) ?? (await freePort())
    const { pid, ended } = await folder.run({
      command: [...postgres, '-D', data, '-p', String(port), ...settings],
      cwd: dir,
      env: environment(),
      owner: asOwner,
      log,
      // Fast shutdown, or immediate where nothing has to be kept.
      stopSignal: ephemeral ? 'SIGQUIT' : 'SIGINT',
    })
    if (await isReady(data, pid, ended)) return port
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
async function isReady(data: string, pid: number, ended: Promise<void>): Promise<boolean> {
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
 * After a crash, another process may have the number in the pid file, and PostgreSQL would then refuse to
 * start.
 */
async function removePidFileOfAnother(data: string): Promise<void> {
  const [pid] = await pidFile(data)
  if (pid === undefined || process.platform === 'win32') return
  // `ps` exits with 1 where there is no such process.
  const { stdout } = await exec('ps', ['-o', 'command=', '-p', pid]).catch(() => ({ stdout: '' }))
  if (!stdout.includes(data)) await rm(join(data, 'postmaster.pid'))
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

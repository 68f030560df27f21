import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chown, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { findPostgresPrograms, postgresPaths } from './postgres-programs.ts'
import type { PostgresPrograms } from './postgres-programs.ts'
import { stopServerOf } from './postgres-stop.ts'

/** A running PostgreSQL server. */
export type PostgresServer = {
  port: number
  /** A postgres:// URL, password included, of the superuser for one database. */
  urlFor: (database: string) => string
  stop: () => Promise<void>
}

const SETTINGS = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_connections=200']
const EPHEMERAL_SETTINGS = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off']

/** Reasons of a failed start that another port, or stopping what a killed command had just started, mends. */
const PASSING =
  /could not bind|Address already in use|pre-existing shared memory|lock file ".*" already exists/

/**
 * Starts PostgreSQL on the loopback interface, on a free port unless `port` is given, with everything it keeps in `dir`
 * (data, log, password); the data folder is made at the first start. A server that a killed command left behind in
 * `dir` is stopped first. `ephemeral` gives up durability for speed.
 * The server does not end with this process: call `stop`.
 * Throws an Error with the end of the server's log when it does not start.
 */
export async function startPostgres(options: {
  dir: string
  port?: number
  ephemeral?: boolean
}): Promise<PostgresServer> {
  const dir = resolve(options.dir)
  const { port: wantedPort, ephemeral = false } = options
  await mkdir(dir, { recursive: true })
  const programs = await findPostgresPrograms(dir)
  if (programs.owner) await chown(dir, programs.owner.uid, programs.owner.gid)
  const password = existsSync(postgresPaths(dir).data)
    ? await keptPassword(dir)
    : await initialise(dir, programs)
  const settings = [...SETTINGS, ...(ephemeral ? EPHEMERAL_SETTINGS : [])]
  const port = await startServer(dir, programs, settings, wantedPort)
  return {
    port,
    urlFor: (database) => `postgres://postgres:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`,
    stop: () => stopServerOf(dir, programs, ephemeral ? 'immediate' : 'fast'),
  }
}

/** Makes the data folder under another name first: an interrupted initdb leaves nothing that looks finished. */
async function initialise(dir: string, programs: PostgresPrograms): Promise<string> {
  const paths = postgresPaths(dir)
  for (const name of await readdir(dir)) {
    if (name.startsWith('initdb-')) await rm(join(dir, name), { recursive: true, force: true })
  }
  const password = randomBytes(18).toString('base64url')
  await writeOwned(paths.password, password, programs)
  const unfinished = join(dir, `initdb-${randomBytes(4).toString('hex')}`)
  await programs.run('initdb', [
    `--pgdata=${unfinished}`,
    `--pwfile=${paths.password}`,
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
  ])
  await rename(unfinished, paths.data)
  return password
}

async function keptPassword(dir: string): Promise<string> {
  try {
    return await readFile(postgresPaths(dir).password, 'utf8')
  } catch (error) {
    throw new Error(`The password of the PostgreSQL in ${dir} is lost: delete that folder to start over.`, {
      cause: error,
    })
  }
}

async function startServer(
  dir: string,
  programs: PostgresPrograms,
  settings: string[],
  wantedPort: number | undefined,
): Promise<number> {
  const { data, log } = postgresPaths(dir)
  for (let attempt = 1; ; attempt += 1) {
    await stopServerOf(dir, programs)
    const port = wantedPort ?? (await freePort())
    await writeOwned(log, '', programs)
    const flags = [`-p ${port}`, ...settings.map((setting) => `-c ${setting}`)].join(' ')
    const files = [`--pgdata=${data}`, `--log=${log}`]
    try {
      await programs.run('pg_ctl', ['start', '--wait', '--silent', ...files, `--options=${flags}`])
      return port
    } catch (error) {
      const written = await readFile(log, 'utf8')
      if (attempt === 5 || !PASSING.test(written)) {
        const end = written.trimEnd().split('\n').slice(-15).join('\n')
        throw new Error(`PostgreSQL did not start. The end of its log, ${log}:\n${end}`, { cause: error })
      }
      await setTimeout(200 * attempt)
    }
  }
}

async function writeOwned(path: string, content: string, { owner }: PostgresPrograms): Promise<void> {
  await writeFile(path, content, { mode: 0o600 })
  if (owner) await chown(path, owner.uid, owner.gid)
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer()
    server.once('error', failed)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        if (address !== null && typeof address === 'object') found(address.port)
        else failed(new Error('No free port was found.'))
      })
    })
  })
}

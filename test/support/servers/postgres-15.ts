import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import postgres, { type Sql } from 'postgres'

const exec = promisify(execFile)

/** Where Debian installs PostgreSQL 15: the package postgresql-15. */
const PROGRAMS = '/usr/lib/postgresql/15/bin'

/** Whether a PostgreSQL 15 server is installed on this machine. */
export const hasPostgres15 = existsSync(join(PROGRAMS, 'initdb'))

export type Ledger15 = { readonly url: string; readonly sql: Sql; stop(): Promise<void> }

/** Starts the oldest PostgreSQL that the job supports, with the ledger's empty tables. */
export async function startLedger15(): Promise<Ledger15> {
  const dir = await mkdtemp(join(tmpdir(), `credit-expiry-test-${process.pid}-`))
  const owner = process.getuid?.() === 0 ? await postgresUser() : null
  if (owner) await chown(dir, owner.uid, owner.gid)
  await chmod(dir, 0o700)
  const data = join(dir, 'data')
  const run = async (program: string, ...args: string[]) =>
    exec(join(PROGRAMS, program), args, { cwd: dir, ...owner, env: { ...process.env, LC_ALL: 'C' } })
  await run('initdb', '-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--no-sync')
  const port = await freePort()
  const settings = `-c listen_addresses=127.0.0.1 -c port=${port} -c unix_socket_directories= -c fsync=off`
  await run('pg_ctl', '-D', data, '-l', join(dir, 'log'), '-o', settings, '-w', 'start')
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const sql = postgres(url, { max: 5, onnotice: () => undefined })
  await sql.unsafe(await readFile(new URL('../../../bin/sandbox/schema.sql', import.meta.url), 'utf8'))
  return {
    url,
    sql,
    async stop() {
      await sql.end()
      await run('pg_ctl', '-D', data, '-m', 'immediate', '-w', 'stop')
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** PostgreSQL refuses to run as root. */
async function postgresUser(): Promise<{ uid: number; gid: number }> {
  const [uid, gid] = await Promise.all(['-u', '-g'].map(async (what) => exec('id', [what, 'postgres'])))
  return { uid: Number(uid?.stdout), gid: Number(gid?.stdout) }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

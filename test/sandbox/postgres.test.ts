import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startPostgres } from '../../bin/sandbox/postgres.ts'
import type { PostgresServer } from '../../bin/sandbox/postgres.ts'
import { isAlive } from '../support/servers/alive.ts'
import { runAndKill } from './killed.ts'

const POSTGRES_MODULE = new URL('../../bin/sandbox/postgres.ts', import.meta.url).href

let root: string
let dir: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'credit-expiry-postgres-'))
  await chmod(root, 0o755)
  dir = join(root, 'server')
})
afterEach(async () => {
  await rm(root, { recursive: true })
})

async function query(server: PostgresServer, text: string): Promise<Record<string, unknown>[]> {
  const sql = postgres(server.urlFor('postgres'), { max: 1 })
  try {
    return await sql.unsafe<Record<string, unknown>[]>(text)
  } finally {
    await sql.end()
  }
}

test('data outlives the server, and the server listens on the loopback interface only', async () => {
  const first = await startPostgres({ dir })
  await query(first, 'CREATE TABLE kept AS SELECT 42 AS answer')
  expect(await query(first, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }])
  expect(await query(first, 'SHOW unix_socket_directories')).toEqual([{ unix_socket_directories: '' }])
  expect(await query(first, 'SHOW fsync')).toEqual([{ fsync: 'on' }])
  await first.stop()
  await first.stop()
  const second = await startPostgres({ dir, ephemeral: true })
  expect(await query(second, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
  expect(await query(second, 'SHOW fsync')).toEqual([{ fsync: 'off' }])
  await second.stop()
  expect((await stat(join(dir, 'password'))).mode & 0o777).toBe(0o600)
})

test('order and case of text do not depend on the machine', async () => {
  const server = await startPostgres({ dir, ephemeral: true })
  const [row] = await query(
    server,
    `SELECT lower('ÄÉX@Kilo.AI') AS lowered, 'a' > 'B' AS bytewise, current_setting('TimeZone') AS zone`,
  )
  expect(row).toEqual({ lowered: 'äéx@kilo.ai', bytewise: true, zone: 'UTC' })
  await server.stop()
})

test('a server ends when its command is killed, and what it had committed is there', async () => {
  const pid = await runAndKill(`
    const { readFile } = await import('node:fs/promises')
    const { startPostgres } = await import(${JSON.stringify(POSTGRES_MODULE)})
    await startPostgres({ dir: ${JSON.stringify(dir)} })
    console.log(parseInt(await readFile(${JSON.stringify(join(dir, 'data', 'postmaster.pid'))}, 'utf8')))`)
  const server = await startPostgres({ dir })
  expect(Number(pid)).toBeGreaterThan(0)
  expect(isAlive(Number(pid))).toBe(false)
  expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  await server.stop()
})

test('a server whose keeper was killed is stopped by the next start, and what it had committed is there', async () => {
  const first = await startPostgres({ dir })
  await query(first, 'CREATE TABLE kept AS SELECT 42 AS answer')
  const [pid = ''] = (await readFile(join(dir, 'data', 'postmaster.pid'), 'utf8')).split('\n')
  const keeper = execFileSync('ps', ['-o', 'ppid=', '-p', pid], { encoding: 'utf8' })
  process.kill(Number(keeper), 'SIGKILL')
  // The lock expires by itself, after half a minute.
  await rm(join(dir, 'lock'), { recursive: true })
  const second = await startPostgres({ dir })
  // PostgreSQL lets no two servers have one folder.
  expect(await query(second, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }])
  await second.stop()
})

test('one command at a time uses a folder', async () => {
  const server = await startPostgres({ dir, ephemeral: true })
  await expect(startPostgres({ dir })).rejects.toThrow(
    `Another command (process ${process.pid}) is using ${dir}. Nothing was done.`,
  )
  expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  await server.stop()
})

test('a stale pid file does no harm, not even to a process that got its number since', async () => {
  const first = await startPostgres({ dir, ephemeral: true })
  const pidFile = await readFile(join(dir, 'data', 'postmaster.pid'), 'utf8')
  await first.stop()
  for (const pid of [process.pid, 2 ** 22 + 1]) {
    await writeFile(join(dir, 'data', 'postmaster.pid'), pidFile.replace(/^\d+/, String(pid)))
    const server = await startPostgres({ dir, ephemeral: true })
    expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    await server.stop()
  }
})

test('a half-created data folder is created again', async () => {
  await mkdir(join(dir, 'initdb-1234', 'base'), { recursive: true })
  await writeFile(join(dir, 'initdb-1234', 'PG_VERSION'), '18\n')
  const server = await startPostgres({ dir, ephemeral: true })
  expect(existsSync(join(dir, 'initdb-1234'))).toBe(false)
  await server.stop()
})

test('a folder that other users cannot enter works', async () => {
  await chmod(root, 0o700)
  const server = await startPostgres({ dir, ephemeral: true })
  expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  await server.stop()
})

test('a failing start shows the end of the log', async () => {
  const first = await startPostgres({ dir, ephemeral: true })
  await first.stop()
  await writeFile(join(dir, 'data', 'postgresql.auto.conf'), "no_such_setting = 'x'\n")
  await expect(startPostgres({ dir, ephemeral: true })).rejects.toThrow(/did not start[\s\S]*no_such_setting/)
})

test('a data folder whose password is lost is refused with the folder to delete', async () => {
  const first = await startPostgres({ dir, ephemeral: true })
  await first.stop()
  await rm(join(dir, 'password'))
  await expect(startPostgres({ dir })).rejects.toThrow('Delete that folder')
})

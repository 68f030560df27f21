import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { resetSandbox } from '../../bin/sandbox/reset.ts'
import { openSandbox } from '../../bin/sandbox/sandbox.ts'
import type { Sandbox } from '../../bin/sandbox/sandbox.ts'
import { clientFor, readText } from '../support/bucket.ts'
import { isAlive } from '../support/servers/alive.ts'
import { runAndKill } from './killed.ts'
import { put } from './s3-requests.ts'

const SANDBOX_MODULE = new URL('../../bin/sandbox/sandbox.ts', import.meta.url).href
const UP = fileURLToPath(new URL('../../bin/sandbox/up.ts', import.meta.url))

let root: string
let opened: Sandbox[]
beforeEach(async () => {
  opened = []
  root = join(await mkdtemp(join(tmpdir(), 'credit-expiry-sandbox-')), '.sandbox')
})
afterEach(async () => {
  for (const sandbox of opened) await sandbox.stop()
  await resetSandbox(root)
  await rm(join(root, '..'), { recursive: true })
})

async function open(): Promise<Sandbox> {
  const sandbox = await openSandbox(root)
  opened.push(sandbox)
  return sandbox
}

async function count(sandbox: Sandbox, table: string): Promise<number> {
  const sql = postgres(sandbox.databaseUrl, { max: 1 })
  const [row] = await sql<{ count: number }[]>`SELECT count(*)::int AS count FROM ${sql(table)}`
  await sql.end()
  return row?.count ?? 0
}

test('the first start creates the sample ledger, later ones keep its state', async () => {
  const first = await open()
  expect(first.firstStart).toBe(true)
  expect(first.env).toMatchObject({ DATABASE_URL: first.databaseUrl, LOG_BUCKET: first.bucket })
  expect(await count(first, 'kilocode_users')).toBe(600)
  const sql = postgres(first.databaseUrl, { max: 1, onnotice: () => undefined })
  await sql`TRUNCATE credit_transactions CASCADE`
  await sql.end()
  await put({ ...first, client: clientFor(first.endpoint) }, 'logs/a.jsonl', 'a log')
  expect(await readFile(join(first.files, 'logs/a.jsonl'), 'utf8')).toBe('a log')
  await first.stop()
  await first.stop()

  const second = await open()
  expect(second.firstStart).toBe(false)
  expect(await count(second, 'credit_transactions')).toBe(0)
  expect(await readText({ ...second, client: clientFor(second.endpoint) }, 'logs/a.jsonl')).toBe('a log')
})

test('a database without a ledger, as a first start killed while seeding leaves it, is seeded', async () => {
  const first = await open()
  const sql = postgres(first.databaseUrl, { max: 1 })
  await sql.unsafe('SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public')
  await sql.end()
  await first.stop()
  const second = await open()
  expect(second.firstStart).toBe(true)
  expect(await count(second, 'kilocode_users')).toBe(600)
})

const OPEN = (then: string) => `
  const { readFile } = await import('node:fs/promises')
  const { openSandbox } = await import(${JSON.stringify(SANDBOX_MODULE)})
  const root = ${JSON.stringify(root)}
  ${then}`
const PID = `console.log(parseInt(await readFile(root + '/postgres/data/postmaster.pid', 'utf8')))`

test('while one command uses the sandbox, another one is refused', async () => {
  const sandbox = await open()
  await expect(openSandbox(root)).rejects.toThrow(`(process ${process.pid}) is using`)
  await expect(resetSandbox(root)).rejects.toThrow('Nothing was done. Wait for it to end, then retry.')
  expect(await count(sandbox, 'kilocode_users')).toBe(600)
})

/** `npm test` has fewer, as each takes seconds. */
const KILLS = process.env.SOAK === 'full' ? 10 : 4

test('starts and kills in a row, half of them during the start, leave no process and a sandbox that works', async () => {
  const pids: number[] = []
  for (let kill = 0; kill < KILLS; kill += 1) {
    const code =
      kill % 2 === 0 ? `await openSandbox(root); ${PID}` : `console.log(0); await openSandbox(root)`
    pids.push(Number(await runAndKill(OPEN(code))))
  }
  const sandbox = await open()
  expect(await count(sandbox, 'kilocode_users')).toBe(600)
  expect(pids.filter((pid) => pid > 0)).toHaveLength(KILLS / 2)
  expect(pids.filter((pid) => pid > 0 && isAlive(pid))).toEqual([])
})

test('a command that ended before its keeper had the lock is not the one that the next command waits for', async () => {
  await expect(runAndKill(OPEN(`openSandbox(root); process.kill(process.pid, 'SIGKILL')`))).rejects.toThrow(
    'The process ended before it printed anything.',
  )
  while (!existsSync(join(root, 'holder'))) await pause(5)
  expect(await count(await open(), 'kilocode_users')).toBe(600)
})

test('reset after a kill removes everything', async () => {
  const pid = await runAndKill(OPEN(`await openSandbox(root); ${PID}`))
  expect(await resetSandbox(root)).toContain('Removed the sandbox')
  expect(existsSync(root)).toBe(false)
  expect(isAlive(Number(pid))).toBe(false)
  expect(await resetSandbox(root)).toContain('There is no sandbox')
})

test('npm run sandbox keeps it up for psql and for other commands, until Ctrl-C', async () => {
  const up = spawn(process.execPath, [UP], { cwd: join(root, '..'), stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(up, 'exit')
  let said = ''
  for await (const chunk of up.stdout.setEncoding('utf8')) {
    said += String(chunk)
    if (said.includes('uses this sandbox.')) break
  }
  const [, databaseUrl] = /psql '(\S+)'/.exec(said) ?? []
  const [, endpoint] = /--endpoint-url (\S+) s3 ls/.exec(said) ?? []
  const sandbox = await open()
  expect(sandbox).toMatchObject({ databaseUrl, endpoint, firstStart: false })
  expect(await count(sandbox, 'kilocode_users')).toBe(600)
  await sandbox.stop()
  expect(await count(sandbox, 'kilocode_users')).toBe(600)
  up.kill('SIGINT')
  expect(await ended).toEqual([0, null])
  await expect(count(sandbox, 'kilocode_users')).rejects.toThrow('ECONNREFUSED')
  // A run is continued only on the ledger that it was opened on, and its address is a part of that.
  expect((await open()).databaseUrl).toBe(databaseUrl)
})

test('a ledger whose port is in use gets another one, and is known by the former one too', async () => {
  const before = await open()
  await before.stop()
  const { port } = new URL(before.databaseUrl)
  const blocker = createServer().listen(Number(port), '127.0.0.1')
  await once(blocker, 'listening')
  const after = await open()
  blocker.close()
  expect(after.databaseUrl).not.toBe(before.databaseUrl)
  expect(after.env.LEDGER_FORMERLY).toBe(`127.0.0.1:${port}`)
})

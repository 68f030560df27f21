import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres from 'postgres'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lockSandbox } from '../../bin/sandbox/lock.ts'
import { resetSandbox } from '../../bin/sandbox/reset.ts'
import { openSandbox } from '../../bin/sandbox/sandbox.ts'
import type { Sandbox } from '../../bin/sandbox/sandbox.ts'
import { clientFor, readText } from '../support/bucket.ts'
import { runAndKill } from './killed.ts'
import { put } from './s3-requests.ts'

const SANDBOX_MODULE = new URL('../../bin/sandbox/sandbox.ts', import.meta.url).href

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

test('the first start makes the sample ledger, later ones keep what has become of it', async () => {
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
  await sql`DROP TABLE credit_transactions, kilocode_users CASCADE`
  await sql.end()
  await first.stop()
  const second = await open()
  expect(second.firstStart).toBe(true)
  expect(await count(second, 'kilocode_users')).toBe(600)
})

test('a second command is refused with the number of the first, a killed one is taken over', async () => {
  const code = `
    const { openSandbox } = await import(${JSON.stringify(SANDBOX_MODULE)})
    const sandbox = await openSandbox(${JSON.stringify(root)})
    console.log(sandbox.firstStart)`
  expect(await runAndKill(code)).toBe('true')
  const sandbox = await open()
  expect(sandbox.firstStart).toBe(false)
  await expect(openSandbox(root)).rejects.toThrow(`in use by process ${process.pid}`)
  await expect(resetSandbox(root)).rejects.toThrow(`in use by process ${process.pid}`)
  expect(await count(sandbox, 'kilocode_users')).toBe(600)
})

test('reset stops what a killed command left behind, and removes everything', async () => {
  const url = await runAndKill(`
    const { openSandbox } = await import(${JSON.stringify(SANDBOX_MODULE)})
    console.log((await openSandbox(${JSON.stringify(root)})).databaseUrl)`)
  expect(await resetSandbox(root)).toContain('is removed')
  expect(existsSync(root)).toBe(false)
  const sql = postgres(url, { max: 1 })
  await expect(sql`SELECT 1`).rejects.toThrow('ECONNREFUSED')
  expect(await resetSandbox(root)).toContain('There is no sandbox')
})

test('of many who take over from a dead holder one gets the lock', async () => {
  const child = spawn(process.execPath, ['--version'])
  await once(child, 'exit')
  await (
    await lockSandbox(root)
  )()
  await writeFile(join(root, 'lock'), String(child.pid))
  const answers = await Promise.allSettled(Array.from({ length: 20 }, () => lockSandbox(root)))
  const locks = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
  expect(locks).toHaveLength(1)
  await locks[0]?.()
})

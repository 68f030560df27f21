import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import postgres, { type Sql } from 'postgres'
import { startPostgres } from '../sandbox/postgres.ts'
import { seedBenchLedger, type Size } from './ledger.ts'

/** PostgreSQL with one seeded ledger, of which contenders get fresh copies. */
export type BenchDatabase = {
  /** Runs `work` on a copy of its own, which is dropped afterwards. */
  onCopy<T>(work: (copy: { sql: Sql; url: string }) => Promise<T>): Promise<T>
  stop(): Promise<void>
}

/** Starts a PostgreSQL of its own in a temporary folder, durable as by default, and seeds the ledger. */
export async function startBenchDatabase(size: Size): Promise<BenchDatabase> {
  const dir = await mkdtemp(join(tmpdir(), 'credit-expiry-bench-'))
  await chmod(dir, 0o711)
  const server = await startPostgres({ dir: join(dir, 'postgres') })
  const admin = postgres(server.urlFor('postgres'), { max: 1, onnotice: () => {} })
  await admin`create database template_ledger`
  const template = postgres(server.urlFor('template_ledger'), { max: 1, onnotice: () => {} })
  await template.unsafe(await readFile(new URL('../sandbox/schema.sql', import.meta.url), 'utf8'))
  await seedBenchLedger(template, size)
  await template.end()

  let copies = 0
  return {
    async onCopy(work) {
      const name = `copy_${++copies}`
      await admin`create database ${admin(name)} template template_ledger`
      await admin`checkpoint`
      const url = server.urlFor(name)
      const sql = postgres(url, { max: 50, onnotice: () => {} })
      try {
        return await work({ sql, url })
      } finally {
        await sql.end()
        await admin`drop database ${admin(name)} with (force)`
      }
    },
    async stop() {
      await admin.end()
      await server.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** An S3 server in a process of its own, with one empty bucket. */
export type BenchS3 = { readonly port: number; requests(): Promise<number>; stop(): Promise<void> }

export async function startBenchS3(): Promise<BenchS3> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 's3-server.ts'), 'bench'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const nextNumber = async () => Number((await lines.next()).value)
  return {
    port: await nextNumber(),
    async requests() {
      child.stdin.write('count\n')
      return nextNumber()
    },
    async stop() {
      child.stdin.end()
      await once(child, 'exit')
    },
  }
}

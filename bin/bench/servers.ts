import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres, { type Sql } from 'postgres'
import { startPostgres } from '../sandbox/postgres.ts'
import { seedBenchLedger, type Size } from './ledger.ts'
import { bundleJob, jobEnv, type JobResult, runJob, type Way } from './run-job.ts'
import { startBenchS3 } from './s3.ts'

/** A fresh copy of the bench ledger: connections to it, and the job, run once on it with an empty bucket. */
export type Copy = {
  readonly sql: Sql
  /** A folder for the files of the script. */
  readonly dir: string
  readonly job: (event: object, way?: Way) => Promise<JobResult>
  /** The environment of the job, to call it in this process: then the bucket keeps what runs leave. */
  readonly env: Readonly<Record<string, string>>
  /** The CPU time that PostgreSQL spends on `work`, in seconds; its processes end with their connections. */
  readonly postgresCpu: (work: () => Promise<unknown>) => Promise<number>
}

/** PostgreSQL with one seeded ledger, S3, and the job's bundle. */
export type Bench = {
  /** Runs `work` on a copy of its own, which is dropped afterwards. */
  onCopy<T>(work: (copy: Copy) => Promise<T>): Promise<T>
  stop(): Promise<void>
}

/**
 * Starts servers of its own, PostgreSQL in a temporary folder and durable as by default, and seeds the
 * ledger.
 */
export async function startBench(size: Size): Promise<Bench> {
  const dir = await mkdtemp(join(tmpdir(), 'credit-expiry-bench-'))
  await chmod(dir, 0o711)
  const bundle = await bundleJob(dir)
  const s3 = await startBenchS3()
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
      const databaseUrl = server.urlFor(name)
      // As the job connects: behind a transaction pooler, say, nothing may be prepared.
      const sql = postgres(databaseUrl, { max: 50, prepare: false, onnotice: () => {} })
      try {
        const job = (event: object, way?: Way) => runJob({ bundle, databaseUrl, s3 }, event, way)
        const env = jobEnv(databaseUrl, s3.port)
        return await work({ sql, dir, job, env, postgresCpu: async (measured) => cpuOf(admin, measured) })
      } finally {
        await sql.end()
        await admin`drop database ${admin(name)} with (force)`
      }
    },
    async stop() {
      await admin.end()
      await server.stop()
      await s3.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** What the server's processes used, living and ended ones; what runs beside `work` counts too. */
async function cpuOf(admin: Sql, work: () => Promise<unknown>): Promise<number> {
  const [row] = await admin<{ pid: number }[]>`select pg_backend_pid() as pid`
  const server = await parentOf(row?.pid ?? 0)
  const before = await cpuSeconds(server)
  await work()
  return (await cpuSeconds(server)) - before
}

const TICKS_A_SECOND = 100

/**
 * Of /proc/<pid>/stat: parent, and user and system time of the process and of its children that have ended.
 */
async function statOf(pid: number): Promise<{ parent: number; own: number; ended: number }> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const [parent = 0, own1 = 0, own2 = 0, ended1 = 0, ended2 = 0] = [1, 11, 12, 13, 14].map((at) => fields[at])
  return { parent, own: own1 + own2, ended: ended1 + ended2 }
}

async function parentOf(pid: number): Promise<number> {
  return (await statOf(pid)).parent
}

async function cpuSeconds(server: number): Promise<number> {
  const { own, ended } = await statOf(server)
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger)
  const children = await Promise.all(pids.map(async (pid) => statOf(pid).catch(() => null)))
  const living = children.reduce(
    (sum, stat) => sum + (stat?.parent === server ? stat.own + stat.ended : 0),
    0,
  )
  return (own + ended + living) / TICKS_A_SECOND
}

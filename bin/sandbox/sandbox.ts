import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import postgres from 'postgres'
import * as z from 'zod'
import { lockFolder } from './locked-folder.ts'
import { startPostgres } from './postgres.ts'
import { startS3 } from './s3.ts'
import { seedSampleLedger } from './sample/ledger.ts'

const DATABASE = 'ledger'
export const BUCKET = 'credit-expiry-logs'

/** The sandbox's bucket, for this machine only. */
export type LogServer = {
  readonly endpoint: string
  readonly bucket: string
  /** The folder that holds the bucket's objects as plain files. */
  readonly files: string
  /** What the job needs in its environment to use this bucket. */
  readonly env: Readonly<Record<string, string>>
  readonly stop: () => Promise<void>
}

/** A running sandbox: a ledger in PostgreSQL and a bucket in S3, both for this machine only. */
export type Sandbox = LogServer & {
  readonly databaseUrl: string
  readonly formerPorts: readonly number[]
  /** Whether the sample ledger was created just now. */
  readonly firstStart: boolean
}

/**
 * Starts the sandbox in `root`, or uses the one that `npm run sandbox` keeps up; at the first start it gets
 * the sample ledger. The servers end with this process.
 * @throws SandboxInUse while another command uses it, and an Error that says why when a server does not start
 */
export async function openSandbox(root = '.sandbox'): Promise<Sandbox> {
  const dir = resolve(root)
  const kept = await keptUp(dir)
  if (kept) return { ...bucketAt(kept.endpoint, dir), ...kept, firstStart: false, stop: async () => {} }
  const folder = await lockFolder(dir)
  try {
    const files = join(dir, 's3')
    const [server, s3] = await Promise.all([
      startPostgres({ dir: join(dir, 'postgres'), lockedFolder: folder }),
      startS3({ dir: files, buckets: [BUCKET] }),
    ])
    const stop = async (): Promise<void> => {
      await s3.stop()
      await server.stop()
    }
    const databaseUrl = server.urlFor(DATABASE)
    const firstStart = await createLedger(server.urlFor('postgres'), databaseUrl)
    const bucket = bucketAt(s3.endpoint, dir)
    const env = { ...bucket.env, ...ledgerEnv(databaseUrl, server.formerPorts) }
    return { ...bucket, databaseUrl, formerPorts: server.formerPorts, firstStart, env, stop }
  } catch (error) {
    await folder.release()
    throw error
  }
}

/** Only the bucket of the sandbox in `root`. @throws as openSandbox */
export async function openLogServer(root = '.sandbox'): Promise<LogServer> {
  const dir = resolve(root)
  const kept = await keptUp(dir)
  if (kept) return { ...bucketAt(kept.endpoint, dir), stop: async () => {} }
  const folder = await lockFolder(dir)
  try {
    const s3 = await startS3({ dir: join(dir, 's3'), buckets: [BUCKET] })
    const stop = async (): Promise<void> => {
      await s3.stop()
      await folder.release()
    }
    return { ...bucketAt(s3.endpoint, dir), stop }
  } catch (error) {
    await folder.release()
    throw error
  }
}

function bucketAt(endpoint: string, dir: string): Omit<LogServer, 'stop'> {
  const env = {
    LOG_BUCKET: BUCKET,
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'sandbox',
    AWS_SECRET_ACCESS_KEY: 'sandbox',
  }
  return { endpoint, bucket: BUCKET, files: join(dir, 's3', BUCKET), env }
}

/** The ledger is the same one, whatever port it had when a run was opened. */
function ledgerEnv(databaseUrl: string, formerPorts: readonly number[]): Record<string, string> {
  const formerly = formerPorts.map((port) => `127.0.0.1:${port}`).join(',')
  return { DATABASE_URL: databaseUrl, ...(formerly !== '' && { LEDGER_FORMERLY: formerly }) }
}

const addresses = z.object({
  databaseUrl: z.string(),
  formerPorts: z.array(z.int()),
  endpoint: z.string(),
})

/** Lets other commands use this sandbox while it is up. Gives the function that ends that. */
export async function publish(
  { databaseUrl, formerPorts, endpoint }: Sandbox,
  root = '.sandbox',
): Promise<() => Promise<void>> {
  const path = join(resolve(root), 'addresses.json')
  await writeFile(path, JSON.stringify({ databaseUrl, formerPorts, endpoint }), { mode: 0o600 })
  return async () => rm(path, { force: true })
}

/**
 * The addresses of a sandbox that another process keeps up; after a crash they are there, and nothing
 * answers.
 */
async function keptUp(dir: string) {
  const path = join(dir, 'addresses.json')
  if (!existsSync(path)) return null
  const { databaseUrl, formerPorts, endpoint } = addresses.parse(JSON.parse(await readFile(path, 'utf8')))
  try {
    await fetch(endpoint)
  } catch {
    await rm(path, { force: true })
    return null
  }
  const { env } = bucketAt(endpoint, dir)
  return { databaseUrl, formerPorts, endpoint, env: { ...env, ...ledgerEnv(databaseUrl, formerPorts) } }
}

/** Creates the database and its sample ledger where they are missing; says whether the ledger was. */
async function createLedger(adminUrl: string, databaseUrl: string): Promise<boolean> {
  try {
    return await seedWhereEmpty(databaseUrl)
  } catch (error) {
    const missing = error instanceof postgres.PostgresError && error.code === '3D000'
    if (!missing) throw error
  }
  const admin = postgres(adminUrl, { max: 1 })
  try {
    await admin`create database ${admin(DATABASE)}`
  } finally {
    await admin.end()
  }
  return seedWhereEmpty(databaseUrl)
}

async function seedWhereEmpty(databaseUrl: string): Promise<boolean> {
  const ledger = postgres(databaseUrl, { max: 1, fetch_types: false })
  try {
    return await ledger.begin(async (tx) => {
      const [found] = await tx<{ seeded: boolean }[]>`
        select to_regclass('kilocode_users') is not null as seeded
      `
      if (found?.seeded === true) return false
      await tx.unsafe(await readFile(new URL('schema.sql', import.meta.url), 'utf8'))
      await seedSampleLedger(tx, { now: new Date() })
      return true
    })
  } finally {
    await ledger.end()
  }
}

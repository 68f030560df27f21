import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import postgres from 'postgres'
import { lockSandbox } from './lock.ts'
import { startPostgres } from './postgres.ts'
import { startS3 } from './s3.ts'
import { seedSampleLedger } from './sample-ledger.ts'

const DATABASE = 'ledger'
const BUCKET = 'credit-expiry-logs'

/** A running sandbox: a ledger in PostgreSQL and a bucket in S3, both for this machine only. */
export type Sandbox = {
  databaseUrl: string
  endpoint: string
  bucket: string
  /** The folder where the bucket's objects lie as plain files. */
  files: string
  /** Whether the sample ledger was made just now. */
  firstStart: boolean
  /** What the job needs in its environment to work on this sandbox. */
  env: Record<string, string>
  stop: () => Promise<void>
}

/**
 * Starts the sandbox kept in `root`, and at the first start fills it with the sample ledger.
 * Throws SandboxInUse when another command works on it, and an Error that says why when a server does not start.
 */
export async function openSandbox(root = '.sandbox'): Promise<Sandbox> {
  const dir = resolve(root)
  const stops = [await lockSandbox(dir)]
  const stop = async () => {
    for (const next of stops.splice(0).toReversed()) await next()
  }
  try {
    const server = await startPostgres({ dir: join(dir, 'postgres') })
    stops.push(server.stop)
    const databaseUrl = server.urlFor(DATABASE)
    const firstStart = await makeLedger(server.urlFor('postgres'), databaseUrl)
    const s3 = await startS3({ dir: join(dir, 's3'), buckets: [BUCKET] })
    stops.push(s3.stop)
    const env = {
      DATABASE_URL: databaseUrl,
      LOG_BUCKET: BUCKET,
      AWS_ENDPOINT_URL_S3: s3.endpoint,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'sandbox',
      AWS_SECRET_ACCESS_KEY: 'sandbox',
    }
    return {
      databaseUrl,
      endpoint: s3.endpoint,
      bucket: BUCKET,
      files: s3.filesOf(BUCKET),
      firstStart,
      env,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Makes the database and its sample ledger where they are missing; says whether the ledger was. */
async function makeLedger(adminUrl: string, databaseUrl: string): Promise<boolean> {
  const admin = postgres(adminUrl, { max: 1 })
  try {
    const found = await admin`SELECT FROM pg_database WHERE datname = ${DATABASE}`
    if (found.length === 0) await admin`CREATE DATABASE ${admin(DATABASE)}`
  } finally {
    await admin.end()
  }
  const ledger = postgres(databaseUrl, { max: 1 })
  try {
    return await ledger.begin(async (tx) => {
      const [found] = await tx<
        { seeded: boolean }[]
      >`SELECT to_regclass('kilocode_users') IS NOT NULL AS seeded`
      if (found?.seeded === true) return false
      await tx.unsafe(await readFile(new URL('schema.sql', import.meta.url), 'utf8'))
      await seedSampleLedger(tx, { now: new Date() })
      return true
    })
  } finally {
    await ledger.end()
  }
}

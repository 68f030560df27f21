import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import * as z from 'zod'
import { keepFolder } from './kept-folder.ts'
import { startPostgres } from './postgres.ts'

export const BUCKET = 'credit-expiry-logs'
const LEDGER = 'ledger'
const ADDRESSES = 'addresses.json'
/** A small ledger needs no more, and the server starts in two thirds of the time. */
const SETTINGS = ['shared_buffers=16MB', 'io_method=sync']

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
 * the sample ledger. The servers end with this process. PostgreSQL is being started when this function
 * returns its promise.
 * @throws SandboxInUse while another command uses it, and an Error that says why when a server does not start
 */
export async function openSandbox(root = '.sandbox'): Promise<Sandbox> {
  const dir = resolve(root)
  const kept = isPublished(dir) ? await keptUp(dir) : null
  if (kept) return { ...bucketAt(kept.endpoint, dir), ...kept, firstStart: false, stop: async () => {} }
  const [server, { createLedger }] = await Promise.all([
    startPostgres({ folder: dir, dir: join(dir, 'postgres'), settings: SETTINGS }),
    // Loaded while PostgreSQL starts.
    import('./sample/create.ts'),
  ])
  const starting = startLogServer(dir, server.stop)
  try {
    const firstStart = await createLedger(server, LEDGER)
    const logs = await starting
    const databaseUrl = server.urlFor(LEDGER)
    const { formerPorts } = server
    const env = { ...logs.env, ...ledgerEnv(databaseUrl, formerPorts) }
    return { ...logs, databaseUrl, formerPorts, firstStart, env }
  } catch (error) {
    await starting.then(async (logs) => logs.stop(), server.stop)
    throw error
  }
}

/** Only a bucket in the sandbox's folder `root`, for another ledger's logs. @throws as openSandbox */
export async function openLogServer(bucket: string, root = '.sandbox'): Promise<LogServer> {
  const dir = resolve(root)
  const kept = isPublished(dir) ? await keptUp(dir) : null
  if (kept) {
    await fetch(`${kept.endpoint}/${bucket}`, { method: 'PUT' })
    return { ...bucketAt(kept.endpoint, dir, bucket), stop: async () => {} }
  }
  const { release } = await keepFolder({ folder: dir, server: null })
  return startLogServer(dir, release, bucket)
}

/** The folder that holds a bucket's objects as plain files. */
export function localFilesOf(bucket: string, root = '.sandbox'): string {
  return join(resolve(root), 's3', bucket)
}

/** Needs the lock of `dir`: `release` is called once it has stopped. */
async function startLogServer(
  dir: string,
  release: () => Promise<void>,
  bucket = BUCKET,
): Promise<LogServer> {
  const { startS3 } = await import('./s3.ts')
  const s3 = await startS3({ dir: join(dir, 's3'), buckets: [bucket] })
  const stop = async (): Promise<void> => {
    await s3.stop()
    await release()
  }
  return { ...bucketAt(s3.endpoint, dir, bucket), stop }
}

function bucketAt(endpoint: string, dir: string, bucket = BUCKET): Omit<LogServer, 'stop'> {
  const env = {
    LOG_BUCKET: bucket,
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'sandbox',
    AWS_SECRET_ACCESS_KEY: 'sandbox',
  }
  return { endpoint, bucket, files: localFilesOf(bucket, dir), env }
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
  const path = join(resolve(root), ADDRESSES)
  await writeFile(path, JSON.stringify({ databaseUrl, formerPorts, endpoint }), { mode: 0o600 })
  return async () => rm(path, { force: true })
}

function isPublished(dir: string): boolean {
  return existsSync(join(dir, ADDRESSES))
}

/**
 * The addresses of a sandbox that another process keeps up; after a crash they are there, and nothing
 * answers.
 */
async function keptUp(dir: string) {
  const path = join(dir, ADDRESSES)
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

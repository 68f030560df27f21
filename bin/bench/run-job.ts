import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { build } from 'esbuild'
import * as z from 'zod'
import { NODE_ENVIRONMENT } from '../../lambda/constants.ts'
import { type ExitCard, exitCardSchema } from '../../lambda/exit-card.ts'
import { type Seen, startProxy } from './proxy.ts'
import type { BenchS3 } from './s3.ts'

/**
 * `pageEnds` and `closedAfter`: when each page was done and the run closed (null where none was), in seconds since
 * the invocation began.
 */
const measuredSchema = z.object({
  answer: z.unknown(),
  seconds: z.number(),
  cpuSeconds: z.number(),
  pageEnds: z.array(z.number()),
  closedAfter: z.number().nullable(),
  peakBytes: z.number(),
})
type Measured = z.infer<typeof measuredSchema>

export type JobResult = Omit<Measured, 'answer'> & {
  readonly card: ExitCard
  /** The verification of the run, and of its logs alone, by processes of their own, where it was asked for. */
  readonly verify: { readonly whole: Measured; readonly logs: Measured } | null
  readonly s3: Awaited<ReturnType<BenchS3['tally']>>
}

/** What the job works on. */
export type Place = { readonly bundle: string; readonly databaseUrl: string; readonly s3: BenchS3 }

/** The added delay of each server, what counts the statements, and whether the run is verified afterwards. */
export type Way = {
  readonly databaseMs?: number
  readonly s3Ms?: number
  readonly seen?: Seen
  readonly verify?: true
}

/** No limit may stop a benchmark. */
const LIMITS = {
  LIMIT_USERS: '10000000',
  LIMIT_GRANTS: '100000000',
  LIMIT_USD: '1000000000',
  LIMIT_CORRECTIONS_USD: '10000000',
}

/** What the job needs in its environment to work on a database and on the bucket of a bench. */
export function jobEnv(databaseUrl: string, s3Port: number): Record<string, string> {
  return {
    ...LIMITS,
    DATABASE_URL: databaseUrl,
    LOG_BUCKET: 'bench',
    AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${s3Port}`,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'bench',
    AWS_SECRET_ACCESS_KEY: 'bench',
    POWERTOOLS_METRICS_DISABLED: 'true',
  }
}

/** Bundles the job into one file of a folder, minified as for Lambda. */
export async function bundleJob(dir: string): Promise<string> {
  const outfile = join(dir, 'job.mjs')
  const entryPoints = [join(import.meta.dirname, 'job.ts')]
  await build({
    entryPoints,
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    mainFields: ['module', 'main'],
    minify: true,
  })
  return outfile
}

/**
 * Runs the job once, in a process of its own and run by Node as in Lambda, through its handler.
 * @throws Error when it does not complete, or is not verified: its figures would mean nothing
 */
export async function runJob(
  { bundle, databaseUrl, s3 }: Place,
  event: object,
  way: Way = {},
): Promise<JobResult> {
  const url = new URL(databaseUrl)
  const far = way.databaseMs !== undefined || way.s3Ms !== undefined || way.seen !== undefined
  const database = far ? await startProxy(Number(url.port), way.databaseMs ?? 0, way.seen) : null
  const archive = far ? await startProxy(s3.port, way.s3Ms ?? 0) : null
  if (database) url.port = String(database.port)
  const env = jobEnv(url.href, archive?.port ?? s3.port)
  const { answer, ...measured } = await invokeBundle(bundle, event, env)
  const card = exitCardSchema.parse(answer)
  if (card.status !== 'complete') throw new Error(`The job ended as ${card.status}: ${card.why}`)
  const verify = way.verify
    ? {
        whole: await verifiedBy(bundle, { verify: card.runId }, env),
        logs: await verifiedBy(bundle, { logsOf: card.runId }, env),
      }
    : null
  await Promise.all([database?.stop(), archive?.stop()])
  return { ...measured, card, verify, s3: await s3.tally() }
}

async function verifiedBy(bundle: string, event: object, env: Record<string, string>): Promise<Measured> {
  const measured = await invokeBundle(bundle, event, env)
  z.object({ result: z.literal('verified') }).parse(measured.answer)
  return measured
}

async function invokeBundle(bundle: string, event: object, env: Record<string, string>): Promise<Measured> {
  const child = spawn(process.execPath, [bundle, JSON.stringify(event)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...NODE_ENVIRONMENT, ...env },
  })
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')])
  return measuredSchema.parse(JSON.parse(output))
}

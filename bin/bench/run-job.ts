import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import * as z from 'zod'
import { exitCardSchema } from '../../lambda/exit-card.ts'
import { type Seen, startProxy } from './proxy.ts'
import { startBenchS3 } from './servers.ts'

const resultSchema = z.object({ card: exitCardSchema, seconds: z.number(), pages: z.number(), peakBytes: z.number() })
export type JobResult = z.infer<typeof resultSchema> & { readonly requests: number }

/** How far away the servers are, and whether somebody looks at the statements. */
export type Way = { readonly databaseMs?: number; readonly s3Ms?: number; readonly seen?: Seen }

/** No brake may stop a benchmark. */
const LIMITS = { LIMIT_USERS: '10000000', LIMIT_GRANTS: '100000000', LIMIT_USD: '1000000000', LIMIT_CORRECTIONS_USD: '10000000' }

/** Runs the job once, in a process of its own, through its handler, with an S3 server of its own. */
export async function runJob(databaseUrl: string, event: object, way: Way = {}): Promise<JobResult> {
  const s3 = await startBenchS3()
  const url = new URL(databaseUrl)
  const far = way.databaseMs !== undefined || way.s3Ms !== undefined || way.seen !== undefined
  const database = far ? await startProxy(Number(url.port), way.databaseMs ?? 0, way.seen) : null
  const archive = far ? await startProxy(s3.port, way.s3Ms ?? 0) : null
  if (database) url.port = String(database.port)
  const child = spawn(process.execPath, [join(import.meta.dirname, 'job.ts'), JSON.stringify(event)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      ...LIMITS,
      DATABASE_URL: url.href,
      LOG_BUCKET: 'bench',
      AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${archive?.port ?? s3.port}`,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'bench',
      AWS_SECRET_ACCESS_KEY: 'bench',
      POWERTOOLS_METRICS_DISABLED: 'true',
    },
  })
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')])
  const requests = await s3.requests()
  await Promise.all([database?.stop(), archive?.stop()])
  await s3.stop()
  return { ...resultSchema.parse(JSON.parse(output)), requests }
}

import { performance } from 'node:perf_hooks'
import { runJob } from './run-job.ts'
import { type BenchDatabase, startBenchDatabase } from './servers.ts'

/** The middle one of some numbers; the upper one of the middle two. */
export const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN

/** The job with 1 ms added to every database round trip and 15 ms to every S3 request, against the job without. */
export async function distance(database: BenchDatabase, rounds: number, event: object): Promise<object> {
  const near: number[] = []
  const far: number[] = []
  for (let round = 0; round < rounds; round++) {
    const execute = { ...event, execute: true }
    near.push((await database.onCopy(async ({ url }) => runJob(url, execute, { databaseMs: 0, s3Ms: 0 }))).seconds)
    far.push((await database.onCopy(async ({ url }) => runJob(url, execute, { databaseMs: 1, s3Ms: 15 }))).seconds)
  }
  return { 'near, s': median(near), 'far, s': median(far), 'growth, % (under 25)': (median(far.map((s, i) => s / (near[i] ?? s))) - 1) * 100 }
}

/** Time per user and peak memory at 10,000 and at 100,000 internal users. */
export async function scale(event: object): Promise<object> {
  const results = new Map<number, { microsecondsPerUser: number; peak: number }>()
  for (const internal of [10_000, 100_000]) {
    const database = await startBenchDatabase({ users: internal * 2, internal, transactionsEach: 8, othersEach: 1 })
    const result = await database.onCopy(async ({ url }) => runJob(url, { ...event, execute: true }))
    results.set(internal, { microsecondsPerUser: (result.seconds / internal) * 1e6, peak: result.peakBytes / 1e6 })
    await database.stop()
  }
  const [small, large] = [results.get(10_000), results.get(100_000)]
  return {
    'µs per user at 10,000': small?.microsecondsPerUser,
    'µs per user at 100,000': large?.microsecondsPerUser,
    'time per user grows, % (under 10)': ((large?.microsecondsPerUser ?? 0) / (small?.microsecondsPerUser ?? 1) - 1) * 100,
    'peak MB at 10,000': small?.peak,
    'peak MB at 100,000 (under 256)': large?.peak,
    'peak memory grows, % (under 10)': ((large?.peak ?? 0) / (small?.peak ?? 1) - 1) * 100,
  }
}

/** 1,000,000 users, 200 of them internal: how often the users table is scanned, and a dry run against a bare count. */
export async function sparse(): Promise<object> {
  const database = await startBenchDatabase({ users: 1_000_000, internal: 200, transactionsEach: 8, othersEach: 0 })
  try {
    return await database.onCopy(async ({ sql, url }) => {
      const scans = async () => Number((await sql`select seq_scan from pg_stat_user_tables where relname = 'kilocode_users'`)[0]?.seq_scan)
      const counts: number[] = []
      for (let i = 0; i < 3; i++) {
        const begun = performance.now()
        await sql`select count(*) from kilocode_users where lower(google_user_email) like any (array['%@kilocode.ai', '%@kilo.ai'])`
        counts.push((performance.now() - begun) / 1000)
      }
      const before = await scans()
      const job = await runJob(url, { batchSize: 10 })
      await new Promise((resolve) => setTimeout(resolve, 1_500))
      return {
        'sparse: bare count, s': median(counts),
        'sparse: dry run, s (at most 1.5 times the count, plus 1)': job.seconds,
        'sparse: pages': job.pages,
        'sparse: scans of the users table (1)': (await scans()) - before,
      }
    })
  } finally {
    await database.stop()
  }
}

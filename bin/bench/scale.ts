import { setTimeout } from 'node:timers/promises'
import type { Sql } from 'postgres'
import type { Options } from './compare.ts'
import { type Figure, median, timed } from './figures.ts'
import type { JobResult } from './run-job.ts'
import { startBench } from './servers.ts'

const SMALL = 10_000
const LARGE = 100_000
const SPARSE = 1_000_000

/**
 * An execute at 10,000 and at 100,000 internal users, and its verification: time per user, peak memory, and
 * whether later pages get slower.
 */
export async function scale({ event, rounds, say }: Options): Promise<Figure[]> {
  const run = async (internal: number): Promise<JobResult[]> => {
    const bench = await startBench({ users: internal * 2, internal, transactionsEach: 8, othersEach: 1 })
    const results: JobResult[] = []
    try {
      for (let round = 1; round <= rounds; round++) {
        const result = await bench.onCopy(async ({ job }) =>
          job({ ...event, execute: true }, { verify: true }),
        )
        say(`${internal} users: ${result.seconds.toFixed(1)} s, ${(result.peakBytes / 1e6).toFixed(0)} MB`)
        results.push(result)
      }
    } finally {
      await bench.stop()
    }
    return results
  }
  const small = await run(SMALL)
  const large = await run(LARGE)
  const microsecondsPerUser = {
    small: (median(small.map(({ seconds }) => seconds)) / SMALL) * 1e6,
    large: (median(large.map(({ seconds }) => seconds)) / LARGE) * 1e6,
  }
  const peak = {
    small: median(small.map(({ peakBytes }) => peakBytes / 1e6)),
    large: median(large.map(({ peakBytes }) => peakBytes / 1e6)),
  }
  return [
    { name: `${SMALL} users: microseconds a user`, value: microsecondsPerUser.small },
    { name: `${LARGE} users: microseconds a user`, value: microsecondsPerUser.large },
    {
      name: 'growth of the time per user, %',
      value: (microsecondsPerUser.large / microsecondsPerUser.small - 1) * 100,
      atMost: 10,
    },
    { name: `${SMALL} users: peak memory, MB`, value: peak.small, atMost: 200 },
    { name: `${LARGE} users: peak memory, MB`, value: peak.large, atMost: 200 },
    { name: 'growth of the peak memory, %', value: (peak.large / peak.small - 1) * 100, atMost: 5 },
    {
      name: `${LARGE} users: last tenth of the pages against the second, time`,
      value: median(large.map(({ pageEnds }) => slowDown(pageEnds))),
    },
    {
      name: `${LARGE} users: rules and logs verified, users/s`,
      value: median(large.map(({ verify }) => LARGE / (verify?.logs.seconds ?? Number.NaN))),
      atLeast: 20_000,
    },
    {
      name: 'the same with the ledger, users/s',
      value: median(large.map(({ verify }) => LARGE / (verify?.whole.seconds ?? Number.NaN))),
    },
    {
      name: 'the same with the ledger: peak memory, MB',
      value: median(large.map(({ verify }) => (verify?.whole.peakBytes ?? Number.NaN) / 1e6)),
      atMost: 200,
    },
  ]
}

/** How much longer the last tenth of the pages took than the second one; the first has the start in it. */
function slowDown(pageEnds: readonly number[]): number {
  const at = (tenths: number): number =>
    pageEnds[Math.floor((pageEnds.length - 1) * (tenths / 10))] ?? Number.NaN
  return (at(10) - at(9)) / (at(2) - at(1))
}

/**
 * A dry run over 1,000,000 users, 200 of them internal: how often the users table is scanned, and a bare
 * count beside it.
 */
export async function sparse({ say }: Options): Promise<Figure[]> {
  const bench = await startBench({ users: SPARSE, internal: 200, transactionsEach: 8, othersEach: 0 })
  try {
    return await bench.onCopy(async ({ sql, job }) => {
      const counts: number[] = []
      for (let round = 0; round < 3; round++) counts.push(await secondsOfCount(sql))
      const result = await job({})
      const before = await scansOfUsers(sql)
      const { pageEnds } = await job({ batchSize: 10 })
      const after = await scansOfUsers(sql)
      say(`sparse: count ${median(counts).toFixed(2)} s, dry run ${result.seconds.toFixed(2)} s`)
      return [
        { name: 'sparse: bare count, s', value: median(counts) },
        {
          name: 'sparse: dry run, s',
          value: result.seconds,
          atMost: Number((1.5 * median(counts) + 1).toFixed(2)),
        },
        { name: 'sparse: pages of 10 users', value: pageEnds.length },
        // The internal users are read once more, by id; a second scan would double the figure.
        {
          name: 'sparse: rows of the users table read, per user',
          value: (after.rows - before.rows) / SPARSE,
          atMost: 1.01,
        },
        {
          name: 'sparse: sequential scans, each process of a parallel one counted',
          value: after.scans - before.scans,
        },
      ]
    })
  } finally {
    await bench.stop()
  }
}

async function secondsOfCount(sql: Sql): Promise<number> {
  return timed(async () =>
    sql.begin(async (tx) => {
      await tx`select count(*) from kilocode_users where lower(google_user_email) like any (array['%@kilocode.ai', '%@kilo.ai'])`
      // Or its scans would be counted some time later, and pass for the job's.
      await tx`select pg_stat_force_next_flush()`
    }),
  )
}

/**
 * The one scan may be sequential, which PostgreSQL counts once for each process that takes part, or go along
 * the primary key, which it does not distinguish from a look-up: the number of rows read shows how often the
 * whole table was.
 */
async function scansOfUsers(sql: Sql): Promise<{ scans: number; rows: number }> {
  // A backend counts its scans at its end, which may come a moment after the job's.
  await setTimeout(1_000)
  const [row] = await sql<{ scans: string; rows: string }[]>`
    select seq_scan as scans, seq_tup_read + idx_tup_fetch as rows from pg_stat_user_tables where relname = 'kilocode_users'
  `
  return { scans: Number(row?.scans), rows: Number(row?.rows) }
}

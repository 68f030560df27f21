import { floor, floorRows, perUser, planAll } from './contenders.ts'
import { type Figure, median, percentile, timed } from './figures.ts'
import { BENCH, stateHash } from './ledger.ts'
import type { Seen } from './proxy.ts'
import type { JobResult } from './run-job.ts'
import { type Bench, startBench } from './servers.ts'

/** What the command line asks for: how often, and with which settings of the job. */
export type Options = {
  readonly rounds: number
  readonly event: object
  readonly say: (text: string) => void
}

type Round = { perUser: number; floor: number; job: JobResult; perUserDry: number; jobDry: JobResult }

/**
 * The three contenders, in turn, each on a fresh copy of the bench ledger. In the first round all three must leave the
 * same state. Ratios are taken within each round, since a machine's speed drifts.
 * @throws Error when the states differ, or the job does not complete
 */
export async function compare(options: Options): Promise<Figure[]> {
  const bench = await startBench(BENCH)
  try {
    const rounds: Round[] = []
    for (let number = 1; number <= options.rounds; number++) {
      const round = await oneRound(bench, options, number === 1)
      rounds.push(round)
      options.say(
        `round ${number}: per-user ${round.perUser.toFixed(2)} s, floor ${round.floor.toFixed(2)} s, job ${round.job.seconds.toFixed(2)} s; dry: per-user ${round.perUserDry.toFixed(2)} s, job ${round.jobDry.seconds.toFixed(2)} s`,
      )
    }
    return [...figuresOf(rounds), ...(await watch(bench, options))]
  } finally {
    await bench.stop()
  }
}

async function oneRound(bench: Bench, { event }: Options, check: boolean): Promise<Round> {
  const instant = new Date().toISOString()
  const hashes: string[] = []
  const perUserSeconds = await bench.onCopy(async ({ sql }) => {
    const seconds = await timed(() => perUser(sql, instant, true))
    if (check) hashes.push(await stateHash(sql, instant))
    return seconds
  })
  const floorSeconds = await bench.onCopy(async ({ sql }) => {
    const rows = floorRows(await planAll(sql, instant))
    const seconds = await timed(() => floor(sql, rows))
    if (check) hashes.push(await stateHash(sql, instant))
    return seconds
  })
  const executed = await bench.onCopy(async ({ sql, job }) => {
    const result = await job({ ...event, execute: true })
    if (check) hashes.push(await stateHash(sql, result.card.instant))
    return result
  })
  if (new Set(hashes).size > 1) throw new Error(`The contenders left different states: ${hashes.join(', ')}`)
  const perUserDry = await bench.onCopy(async ({ sql }) => timed(() => perUser(sql, instant, false)))
  const jobDry = await bench.onCopy(async ({ job }) => job(event))
  return { perUser: perUserSeconds, floor: floorSeconds, job: executed, perUserDry, jobDry }
}

function figuresOf(rounds: readonly Round[]): Figure[] {
  const of = (figure: (round: Round) => number): number => median(rounds.map(figure))
  const users = BENCH.internal
  return [
    { name: 'per-user: users/s', value: of((round) => users / round.perUser) },
    { name: 'floor: users/s', value: of((round) => users / round.floor) },
    { name: 'job: users/s', value: of((round) => users / round.job.seconds) },
    { name: 'floor against per-user, users/s', value: of((round) => round.perUser / round.floor) },
    {
      name: 'job against per-user, users/s',
      value: of((round) => round.perUser / round.job.seconds),
      atLeast: 12,
    },
    { name: 'job against floor, time', value: of((round) => round.job.seconds / round.floor), atMost: 1.25 },
    { name: 'dry run: per-user, s', value: of((round) => round.perUserDry) },
    { name: 'dry run: job, s', value: of((round) => round.jobDry.seconds) },
    {
      name: 'dry run: job against per-user',
      value: of((round) => round.perUserDry / round.jobDry.seconds),
      atLeast: 5,
    },
    {
      name: 'job: until its first page is done, s',
      value: of((round) => round.job.pageEnds[0] ?? Number.NaN),
    },
    {
      name: 'job: from its last page to the end, s',
      value: of(({ job }) => job.seconds - (job.pageEnds.at(-1) ?? Number.NaN)),
    },
    { name: 'job: CPU of its process, s', value: of((round) => round.job.cpuSeconds) },
    { name: 'job: CPU of the S3 server, s', value: of((round) => round.job.s3.cpuSeconds) },
    {
      name: 'job: peak memory of its process, MB',
      value: Math.max(...rounds.map((round) => round.job.peakBytes / 1e6)),
      atMost: 256,
    },
  ]
}

/** One more run of the job, through a proxy that counts statements and times locks. */
async function watch(bench: Bench, { event }: Options): Promise<Figure[]> {
  const seen: Seen = { statements: 0, lockMilliseconds: [] }
  const { s3, pageEnds } = await bench.onCopy(async ({ job }) => job({ ...event, execute: true }, { seen }))
  const pages = pageEnds.length
  return [
    { name: 'pages', value: pages },
    { name: 'statements a page, opening and closing included', value: seen.statements / pages, atMost: 12 },
    { name: 'S3 requests a page', value: s3.pages / pages, atMost: 7 },
    {
      name: 'S3 requests a page, opening and closing included',
      value: (s3.opening + s3.pages + s3.closing) / pages,
    },
    { name: 'locks of user rows held, median, ms', value: median(seen.lockMilliseconds) },
    {
      name: 'locks of user rows held, 99th percentile, ms',
      value: percentile(seen.lockMilliseconds, 0.99),
      atMost: 500,
    },
  ]
}

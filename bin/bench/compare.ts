import { floor, floorRows, planAll, script } from './contenders.ts'
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

type Measured = { readonly seconds: number; readonly postgresCpuSeconds: number }
type MeasuredJob = Measured & { readonly job: JobResult }
type Round = {
  readonly script: Measured
  readonly floor: Measured
  readonly job: MeasuredJob
  readonly scriptDry: Measured
  readonly jobDry: MeasuredJob
}

/**
 * The three contenders, in turn, each on a fresh copy of the bench ledger. In the first round all three must
 * leave the same state. Ratios are taken within each round, since a machine's speed drifts.
 * @throws Error when the states differ, or the job does not complete
 */
export async function compare(options: Options): Promise<Figure[]> {
  const bench = await startBench(BENCH)
  try {
    const rounds: Round[] = []
    for (let number = 1; number <= options.rounds; number++) {
      const round = await oneRound(bench, options, number === 1)
      rounds.push(round)
      const of = ({ seconds, postgresCpuSeconds }: Measured): string =>
        `${seconds.toFixed(2)} s (PostgreSQL ${postgresCpuSeconds.toFixed(2)})`
      options.say(
        `round ${number}: script ${of(round.script)}, floor ${of(round.floor)}, job ${of(round.job)}; ` +
          `dry: script ${of(round.scriptDry)}, job ${of(round.jobDry)}`,
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
  const scripted = async (write: boolean): Promise<Measured> =>
    bench.onCopy(async ({ sql, dir, postgresCpu }) => {
      let seconds = 0
      const postgresCpuSeconds = await postgresCpu(async () => {
        seconds = await timed(async () => script(sql, dir, instant, write))
      })
      if (check && write) hashes.push(await stateHash(sql, instant))
      return { seconds, postgresCpuSeconds }
    })
  const floored = async (): Promise<Measured> =>
    bench.onCopy(async ({ sql, postgresCpu }) => {
      const rows = floorRows(await planAll(sql, instant))
      let seconds = 0
      const postgresCpuSeconds = await postgresCpu(async () => {
        seconds = await timed(async () => floor(sql, rows))
      })
      if (check) hashes.push(await stateHash(sql, instant))
      return { seconds, postgresCpuSeconds }
    })
  const ran = async (payload: object, write: boolean): Promise<MeasuredJob> =>
    bench.onCopy(async ({ sql, job, postgresCpu }) => {
      const results: JobResult[] = []
      const postgresCpuSeconds = await postgresCpu(async () => results.push(await job(payload)))
      const [result] = results
      if (!result) throw new Error('The job gave no result.')
      if (check && write) hashes.push(await stateHash(sql, result.card.instant))
      return { seconds: result.seconds, postgresCpuSeconds, job: result }
    })
  const round = {
    script: await scripted(true),
    floor: await floored(),
    job: await ran({ ...event, execute: true }, true),
    scriptDry: await scripted(false),
    jobDry: await ran(event, false),
  }
  if (new Set(hashes).size > 1) throw new Error(`The contenders left different states: ${hashes.join(', ')}`)
  return round
}

function closedAt({ closedAfter }: JobResult): number {
  return closedAfter ?? Number.NaN
}

/** The share of the whole between the last page and the closed run. */
function closingShare({ job, seconds }: MeasuredJob): number {
  return (closedAt(job) - (job.pageEnds.at(-1) ?? Number.NaN)) / seconds
}

function figuresOf(rounds: readonly Round[]): Figure[] {
  const of = (figure: (round: Round) => number): number => median(rounds.map(figure))
  const users = BENCH.internal
  return [
    { name: 'script: users/s', value: of(({ script: { seconds } }) => users / seconds) },
    { name: 'floor: users/s', value: of((round) => users / round.floor.seconds) },
    { name: 'job: users/s', value: of((round) => users / round.job.seconds) },
    {
      name: 'floor against script, users/s',
      value: of((round) => round.script.seconds / round.floor.seconds),
    },
    {
      name: 'job against script, users/s, of what the floor reaches',
      value: of((round) => round.floor.seconds / round.job.seconds),
      atLeast: 0.77,
    },
    {
      name: 'job against floor, time',
      value: of((round) => round.job.seconds / round.floor.seconds),
      atMost: 1.3,
    },
    {
      name: 'dry run: job against script, users/s',
      value: of((round) => round.scriptDry.seconds / round.jobDry.seconds),
      atLeast: 3,
    },
    {
      name: "PostgreSQL's CPU: job against floor",
      value: of((round) => round.job.postgresCpuSeconds / round.floor.postgresCpuSeconds),
      atMost: 1.25,
    },
    {
      name: "the job's own CPU, ms a user",
      value: of(({ job: { job } }) => (job.cpuSeconds * 1000) / users),
      atMost: 0.45,
    },
    {
      name: 'bytes sent to S3 a user, KB',
      value: of(({ job: { job } }) => job.s3.bytes / users / 1024),
      atMost: 12,
    },
    { name: "S3 server's CPU, s", value: of(({ job: { job } }) => job.s3.cpuSeconds) },
    {
      name: 'time from the last page to the closed run, % of the whole',
      value: of(({ job }) => closingShare(job) * 100),
      atMost: 3,
    },
    {
      name: 'the report, after the run is closed and free, % of the whole',
      value: of(({ job: { job, seconds } }) => ((seconds - closedAt(job)) / seconds) * 100),
    },
    {
      name: 'peak memory of the job, MB',
      value: Math.max(...rounds.map(({ job: { job } }) => job.peakBytes / 1e6)),
      atMost: 200,
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
    { name: 'statements a page, all of the run', value: seen.statements / pages },
    { name: 'S3 requests a page', value: s3.pages / pages },
    { name: 'S3 requests of opening and closing', value: s3.opening + s3.closing },
    { name: 'user rows locked, median, ms', value: median(seen.lockMilliseconds), atMost: 100 },
    {
      name: 'user rows locked, 99th percentile, ms',
      value: percentile(seen.lockMilliseconds, 0.99),
      atMost: 250,
    },
  ]
}

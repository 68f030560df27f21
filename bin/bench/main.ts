import { writeFile } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { floor, floorRows, perUser, planAll } from './contenders.ts'
import { BENCH, stateHash } from './ledger.ts'
import { distance, median, scale, sparse } from './more.ts'
import type { Seen } from './proxy.ts'
import { type JobResult, runJob } from './run-job.ts'
import { type BenchDatabase, startBenchDatabase } from './servers.ts'

/** `npm run bench`: the table of 7-targets, measured. `-- --scale` and `-- --distance` measure the other lines. */
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    scale: { type: 'boolean', default: false },
    distance: { type: 'boolean', default: false },
    json: { type: 'string', default: 'bench.json' },
    event: { type: 'string', default: '{}' },
  },
})

const event: object = JSON.parse(values.event)
const say = (text: string): void => void process.stderr.write(`${text}\n`)

async function timed<T>(work: () => Promise<T>): Promise<{ seconds: number; value: T }> {
  const begun = performance.now()
  const value = await work()
  return { seconds: (performance.now() - begun) / 1000, value }
}

type Round = { perUser: number; floor: number; job: JobResult; perUserDry: number; jobDry: JobResult }

async function oneRound(database: BenchDatabase, check: boolean): Promise<Round> {
  const instant = new Date().toISOString()
  const hashes: string[] = []
  const perUserSeconds = await database.onCopy(async ({ sql }) => {
    const { seconds } = await timed(() => perUser(sql, instant, true))
    if (check) hashes.push(await stateHash(sql, instant))
    return seconds
  })
  const floorSeconds = await database.onCopy(async ({ sql }) => {
    const rows = floorRows(await planAll(sql, instant))
    const { seconds } = await timed(() => floor(sql, rows))
    if (check) hashes.push(await stateHash(sql, instant))
    return seconds
  })
  const job = await database.onCopy(async ({ sql, url }) => {
    const result = await runJob(url, { ...event, execute: true })
    if (result.card.status !== 'complete') throw new Error(`The job ended as ${result.card.status}: ${result.card.why}`)
    if (check) hashes.push(await stateHash(sql, result.card.instant))
    return result
  })
  if (new Set(hashes).size > 1) throw new Error(`The contenders left different states: ${hashes.join(', ')}`)
  const perUserDry = await database.onCopy(async ({ sql }) => (await timed(() => perUser(sql, instant, false))).seconds)
  const jobDry = await database.onCopy(async ({ url }) => runJob(url, event))
  return { perUser: perUserSeconds, floor: floorSeconds, job, perUserDry, jobDry }
}

async function contenders(database: BenchDatabase): Promise<object> {
  const rounds: Round[] = []
  for (let number = 1; number <= Number(values.rounds); number++) {
    const round = await oneRound(database, number === 1)
    rounds.push(round)
    say(`round ${number}: per-user ${round.perUser.toFixed(1)} s, floor ${round.floor.toFixed(2)} s, job ${round.job.seconds.toFixed(2)} s, dry ${round.perUserDry.toFixed(2)} / ${round.jobDry.seconds.toFixed(2)} s`)
  }
  const seen: Seen = { statements: 0, lockMilliseconds: [] }
  const watched = await database.onCopy(async ({ url }) => runJob(url, { ...event, execute: true }, { seen }))
  const locks = seen.lockMilliseconds.toSorted((a, b) => a - b)
  const users = watched.card.progress.usersDone
  const job = median(rounds.map((round) => round.job.seconds))
  return {
    users,
    pages: watched.pages,
    'per-user: users/s': users / median(rounds.map((round) => round.perUser)),
    'floor: users/s': users / median(rounds.map((round) => round.floor)),
    'job: users/s': users / job,
    'job against per-user (at least 12)': median(rounds.map((round) => round.perUser / round.job.seconds)),
    'job against floor, time (at most 1.25)': median(rounds.map((round) => round.job.seconds / round.floor)),
    'dry run against per-user (at least 5)': median(rounds.map((round) => round.perUserDry / round.jobDry.seconds)),
    'statements a page (at most 12)': seen.statements / watched.pages,
    'S3 requests a page (at most 7)': watched.requests / watched.pages,
    'locks held, p99, ms (under 500)': locks[Math.ceil(locks.length * 0.99) - 1],
    'peak memory, MB (under 256)': Math.max(...rounds.map((round) => round.job.peakBytes)) / 1e6,
  }
}

function print(figures: object): void {
  for (const [name, value] of Object.entries(figures)) {
    process.stdout.write(`${name.padEnd(56)} ${typeof value === 'number' ? value.toFixed(2).padStart(12) : String(value).padStart(12)}\n`)
  }
}

async function onDatabase(): Promise<object> {
  const database = await startBenchDatabase(BENCH)
  try {
    return values.distance ? await distance(database, Number(values.rounds), event) : await contenders(database)
  } finally {
    await database.stop()
  }
}

const figures = values.scale ? { ...(await scale(event)), ...(await sparse()) } : await onDatabase()
print(figures)
await writeFile(values.json, `${JSON.stringify({ at: new Date().toISOString(), event, figures }, null, 2)}\n`)

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startS3, type S3Server } from '../../bin/sandbox/s3.ts'
import { freshDatabase } from '../support/ledger.ts'
import { essence } from './compare.ts'
import { buildScenario } from './scenario.ts'
import { CANCEL, EXECUTE, RESTART, ROLLBACK, type Story } from './stories.ts'
import { type Fault, MODES, runTrial, type Trial } from './trial.ts'

/**
 * Every call of an invocation in turn fails, loses its reply, or sees its process die; then its run is gone on with.
 * What is left must be as if nothing had happened.
 *
 * FAULTS=all tries every call in every mode; FAULTS=rollback:17:kill replays one; else FAULTS_SEED picks a sample.
 */
const SAMPLES: [Story, number][] = [
  [EXECUTE, 14],
  [ROLLBACK, 4],
  [CANCEL, 2],
  [RESTART, 2],
]

let s3: S3Server
let template: string

beforeAll(async () => {
  s3 = await startS3()
  const scenario = await freshDatabase()
  await buildScenario(scenario.sql)
  await scenario.sql.end()
  template = new URL(scenario.url).pathname.slice(1)
})

afterAll(async () => {
  await s3.stop()
})

describe.each(SAMPLES)('$name', (story, sample) => {
  let undisturbed: Awaited<ReturnType<typeof essence>>
  let calls: readonly string[]

  beforeAll(async () => {
    const trial = await runTrial(template, s3, null, story)
    calls = trial.calls
    undisturbed = await essence(trial)
    await trial.database.drop()
  })

  test('undisturbed, it does what the story is for', () => {
    expect(undisturbed).toMatchObject({
      lease: null,
      openRun: null,
      wrongHashes: [],
      ...EXPECTED[story.name],
    })
  })

  test(
    'disturbed at any call, and gone on with, it ends as if nothing had happened',
    { timeout: 7_200_000 },
    async () => {
      const faults = chosenFaults(story, calls, sample)
      const differences: string[] = []
      for (const fault of faults) {
        const difference = await differenceOf(fault)
        if (difference !== null) differences.push(difference)
      }
      process.stderr.write(`${story.name}: ${faults.length} faults tried over ${calls.length} calls\n`)
      expect(differences).toEqual([])
    },
  )

  async function differenceOf(fault: Fault): Promise<string | null> {
    let trial: Trial | null = null
    try {
      trial = await runTrial(template, s3, fault, story)
      expect(await essence(trial)).toEqual(undisturbed)
      return null
    } catch (error) {
      const what = trial?.calls[fault.at - 1] ?? calls[fault.at - 1] ?? 'unknown'
      return `call ${fault.at} (${what}), ${fault.mode}; replay: FAULTS=${story.name}:${fault.at}:${fault.mode} npx vitest run test/faults\n${String(error)}`
    } finally {
      await trial?.database.drop()
    }
  }
})

const EXPECTED: Record<string, object> = {
  execute: {
    pages: 3,
    status: 'complete_with_errors',
    totals: { usersMatched: 12, usersProcessed: 9, usersFailed: 1, usersLeftAlone: 1, usersCorrected: 1 },
  },
  rollback: {
    pages: 3,
    status: 'complete',
    totals: { usersMatched: 9, usersProcessed: 9, usersCorrected: 1 },
  },
  cancel: {
    pages: 2,
    status: 'cancelled',
    totals: { usersMatched: 12, usersProcessed: 6, usersNotReached: 6 },
  },
  restart: {
    pages: 3,
    status: 'complete_with_errors',
    totals: { usersMatched: 12, usersProcessed: 3, usersFailed: 1, usersCorrected: 0 },
  },
}

/** A retried call makes sense for S3 only, where the client itself sends a request again. */
function chosenFaults(story: Story, calls: readonly string[], sample: number): Fault[] {
  const asked = process.env.FAULTS ?? ''
  const all = MODES.flatMap((mode) => calls.map((_, index): Fault => ({ at: index + 1, mode })))
  const [name, at, mode] = asked.split(':')
  if (mode !== undefined)
    return all.filter((fault) => name === story.name && fault.at === Number(at) && fault.mode === mode)
  if (asked === 'all' || asked === story.name)
    return all.filter((fault) => fault.mode !== 'lose-retried' || calls[fault.at - 1]?.startsWith('S3'))
  if (asked !== '') return []
  const seed = Number(process.env.FAULTS_SEED ?? Date.now() % 1_000_000)
  process.stderr.write(`FAULTS_SEED=${seed}\n`)
  return Array.from(
    { length: sample },
    (_, index) => all[Math.floor(random(seed + index) * all.length)] ?? { at: 1, mode: 'fail' },
  )
}

/** A number from 0 to 1 out of a seed (mulberry32's step). */
function random(seed: number): number {
  let t = (seed + 0x6d2b79f5) | 0
  t = Math.imul(t ^ (t >>> 15), t | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

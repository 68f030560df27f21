import { afterAll, beforeAll, expect, test } from 'vitest'
import { startS3, type S3Server } from '../../bin/sandbox/s3.ts'
import { freshDatabase } from '../support/ledger.ts'
import { essence } from './compare.ts'
import { buildScenario } from './scenario.ts'
import { type Fault, MODES, runTrial, type Trial } from './trial.ts'

/**
 * Every call of a run in turn fails, loses its reply, or sees its process die; then the run is gone on with. What is
 * left must be as if nothing had happened.
 *
 * FAULTS=all tries every call in every mode; FAULTS=17:kill replays one; else FAULTS_SEED picks a sample.
 */
const SAMPLE = 14

let s3: S3Server
let template: string
let undisturbed: Awaited<ReturnType<typeof essence>>
let calls: readonly string[]

beforeAll(async () => {
  s3 = await startS3()
  const scenario = await freshDatabase()
  await buildScenario(scenario.sql)
  await scenario.sql.end()
  template = new URL(scenario.url).pathname.slice(1)
  const trial = await runTrial(template, s3, null)
  calls = trial.calls
  undisturbed = await essence(trial)
  await trial.database.drop()
})

afterAll(async () => {
  await s3.stop()
})

test('the undisturbed run does what the scenario is for', () => {
  expect(undisturbed).toMatchObject({ lease: null, openRun: null, pages: 3, wrongHashes: [], status: 'complete_with_errors' })
  expect(undisturbed.totals).toMatchObject({ usersMatched: 12, usersProcessed: 9, usersFailed: 1, usersLeftAlone: 1, usersCorrected: 1 })
})

test('a run that is disturbed at any call, and gone on with, ends as if nothing had happened', { timeout: 3_600_000 }, async () => {
  const faults = chosenFaults(calls.length)
  const differences: string[] = []
  for (const fault of faults) {
    const difference = await differenceOf(fault)
    if (difference !== null) differences.push(difference)
  }
  process.stderr.write(`${faults.length} faults tried over ${calls.length} calls\n`)
  expect(differences).toEqual([])
})

async function differenceOf(fault: Fault): Promise<string | null> {
  let trial: Trial | null = null
  try {
    trial = await runTrial(template, s3, fault)
    expect(await essence(trial)).toEqual(undisturbed)
    return null
  } catch (error) {
    const what = trial?.calls[fault.at - 1] ?? calls[fault.at - 1] ?? 'unknown'
    return `call ${fault.at} (${what}), ${fault.mode}; replay: FAULTS=${fault.at}:${fault.mode} npx vitest run test/faults\n${String(error)}`
  } finally {
    await trial?.database.drop()
  }
}

/** A retried call makes sense for S3 only, where the client itself sends a request again. */
function chosenFaults(count: number): Fault[] {
  const asked = process.env.FAULTS ?? ''
  const all = MODES.flatMap((mode) => Array.from({ length: count }, (_, index): Fault => ({ at: index + 1, mode })))
  const [at, mode] = asked.split(':')
  if (mode !== undefined) return all.filter((fault) => fault.at === Number(at) && fault.mode === mode)
  if (asked === 'all') return all.filter((fault) => fault.mode !== 'lose-retried' || calls[fault.at - 1]?.startsWith('S3'))
  const seed = Number(process.env.FAULTS_SEED ?? Date.now() % 1_000_000)
  process.stderr.write(`FAULTS_SEED=${seed}\n`)
  return Array.from({ length: SAMPLE }, (_, index) => all[Math.floor(random(seed + index) * all.length)] ?? { at: 1, mode: 'fail' })
}

/** A number from 0 to 1 out of a seed (mulberry32's step). */
function random(seed: number): number {
  let t = (seed + 0x6d2b79f5) | 0
  t = Math.imul(t ^ (t >>> 15), t | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startS3, type S3Server } from '../../bin/sandbox/s3.ts'
import { essenceOf } from '../support/essence.ts'
import { freshDatabase } from '../support/ledger.ts'
import { random } from '../support/random.ts'
import { buildScenario } from './scenario.ts'
import { CANCEL, EXECUTE, RESTART, ROLLBACK, type Story } from './stories.ts'
import { type Fault, MODES, runTrial, type Trial } from './trial.ts'

/**
 * Every call of an invocation in turn fails, loses its reply, is never answered, or sees its process die;
 * then its run is continued. The result must be as if nothing had happened. Also two such faults in one run.
 *
 * FAULTS=all tries every call in every mode and many pairs; FAULTS=rollback:17:kill or
 * FAULTS=execute:17:kill,60:stall replays one; else FAULTS_SEED picks a sample.
 */
const STORIES: readonly { readonly story: Story; readonly singles: number; readonly pairs: number }[] = [
  { story: EXECUTE, singles: 5, pairs: 2 },
  { story: ROLLBACK, singles: 2, pairs: 1 },
  { story: CANCEL, singles: 1, pairs: 1 },
  { story: RESTART, singles: 1, pairs: 1 },
]
const ASKED = process.env.FAULTS ?? ''
const SEED = Number(process.env.FAULTS_SEED ?? Date.now() % 1_000_000)
const ALL_PAIRS = Number(process.env.FAULTS_PAIRS ?? 60)
/** Trials at once: they mostly wait. */
const AT_ONCE = Number(process.env.FAULTS_AT_ONCE ?? 3)

let s3: S3Server
let template: string

beforeAll(async () => {
  process.stderr.write(`FAULTS_SEED=${SEED}\n`)
  s3 = await startS3()
  const scenario = await freshDatabase()
  await buildScenario(scenario.sql)
  await scenario.sql.end()
  template = new URL(scenario.url).pathname.slice(1)
})

afterAll(async () => {
  await s3.stop()
})

describe.each(STORIES)('$story.name', ({ story, singles, pairs }) => {
  let undisturbed: Awaited<ReturnType<typeof essenceOf>>
  let calls: readonly string[]

  beforeAll(async () => {
    const trial = await runTrial(template, s3, [], story)
    calls = trial.calls
    undisturbed = await essenceOfTrial(trial)
    await trial.database.drop()
  })

  test('undisturbed, it does what the story is for', () => {
    expect(undisturbed).toMatchObject({
      left: {
        lease: null,
        state: 'closed',
        openRun: null,
        lastClosed: 'RUN',
        wrongFiles: [],
        strayLines: [],
      },
      ...EXPECTED[story.name],
    })
  })

  test(
    'disturbed at any call, and continued, it ends as if nothing had happened',
    { timeout: 14_400_000 },
    async () => {
      const trials = chosenTrials(story, calls, singles, pairs)
      const differences: string[] = []
      let tried = 0
      const worker = async (): Promise<void> => {
        for (let faults = trials[tried++]; faults; faults = trials[tried++]) {
          const difference = await differenceOf(faults)
          if (tried % 50 === 0) process.stderr.write(`${story.name}: ${tried} of ${trials.length}\n`)
          if (difference === null) continue
          differences.push(difference)
          process.stderr.write(`${difference}\n`)
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, worker))
      process.stderr.write(
        `${story.name}: ${trials.length} trials over ${calls.length} calls, ${differences.length} ` +
          `differences\n`,
      )
      expect(differences).toEqual([])
    },
  )

  async function differenceOf(faults: readonly Fault[]): Promise<string | null> {
    let trial: Trial | null = null
    try {
      trial = await runTrial(template, s3, faults, story)
      expect(await essenceOfTrial(trial)).toEqual(undisturbed)
      return null
    } catch (error) {
      const what = faults.map(
        ({ at, mode }) => `${mode} at ${trial?.calls[at - 1] ?? calls[at - 1] ?? 'unknown'}`,
      )
      const replay = `${story.name}:${faults.map(({ at, mode }) => `${at}:${mode}`).join(',')}`
      return `${what.join(' and ')}; replay: FAULTS=${replay} npx vitest run test/faults/faults.test.ts\n${String(error)}`
    } finally {
      await trial?.database.drop()
    }
  }
})

async function essenceOfTrial({ database, bucket, runId }: Trial) {
  return essenceOf(database.sql, bucket, runId)
}

const EXPECTED: Record<string, object> = {
  execute: {
    status: 'complete_with_errors',
    totals: { usersMatched: 12, usersProcessed: 9, usersFailed: 1, usersSkipped: 1, usersCorrected: 1 },
  },
  rollback: { status: 'complete', totals: { usersMatched: 9, usersProcessed: 9, usersCorrected: 1 } },
  cancel: { status: 'cancelled', totals: { usersMatched: 12, usersProcessed: 6, usersNotReached: 6 } },
  restart: {
    status: 'complete_with_errors',
    totals: { usersMatched: 12, usersProcessed: 3, usersFailed: 1, usersCorrected: 0 },
  },
}

type Faults = readonly Fault[]

function chosenTrials(story: Story, calls: readonly string[], singles: number, pairs: number): Faults[] {
  const [name, given] = /^(\w+):(.*)$/.exec(ASKED)?.slice(1) ?? []
  if (given !== undefined) return name === story.name ? [given.split(',').map(faultOf)] : []
  // The S3 client is the only client that resends a request by itself.
  const all = MODES.flatMap((mode) =>
    calls.flatMap((what, index): Fault[] =>
      mode === 'lose-retried' && !what.startsWith('S3') ? [] : [{ at: index + 1, mode }],
    ),
  )
  const dice = random(SEED)
  const anyOf = (): Fault => all[Math.floor(dice() * all.length)] ?? { at: 1, mode: 'fail' }
  const pair = (): Faults => {
    const first = anyOf()
    // Also after the last call of an undisturbed run, since a disturbed one has more of them.
    return [first, { ...anyOf(), at: first.at + 1 + Math.floor(dice() * calls.length) }]
  }
  const isAll = ASKED === 'all' || ASKED === story.name
  if (ASKED !== '' && !isAll) return []
  const some = Array.from({ length: isAll ? ALL_PAIRS : pairs }, pair)
  if (!isAll) return [...Array.from({ length: singles }, () => [anyOf()]), ...some]
  // Shuffled, so that a run that is stopped early has tried a bit of everything.
  return shuffled([...all.map((fault) => [fault]), ...some], dice)
}

function shuffled<T>(values: readonly T[], dice: () => number): T[] {
  return values
    .map((value) => ({ value, order: dice() }))
    .toSorted((a, b) => a.order - b.order)
    .map(({ value }) => value)
}

function faultOf(text: string): Fault {
  const [at, asked] = text.split(':')
  const mode = MODES.find((known) => known === asked)
  if (mode === undefined) throw new Error(`FAULTS: ${text} is not <call>:<${MODES.join('|')}>.`)
  return { at: Number(at), mode }
}

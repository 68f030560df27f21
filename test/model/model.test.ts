import { expect, test } from 'vitest'
import { checkTrace } from './traces/check-trace.ts'
import { runSchedule } from './schedule.ts'

/** FAULTS=all runs a large sample. */
const SCHEDULES = process.env.FAULTS === 'all' ? 100_000 : 20_000
const TRACED_SCHEDULES = SCHEDULES / 100

/** How many of 20,000 schedules reach a situation, at least: without these the model would show little. */
const SITUATIONS = {
  'taken over by a third holder': 1000,
  'late users part refused by an emptied one': 500,
  'late mutations part refused by an emptied one': 100,
  'late errors part refused by an emptied one': 10,
  'users part of a predecessor overwritten': 500,
  'errors part of a predecessor overwritten': 50,
  'page without errors after a predecessor that had some': 50,
  'uncertain commit settled as done': 300,
  'uncertain commit settled as not done': 200,
  'attempt settled as done': 1000,
  'attempt settled as not done': 1000,
  'attempt left open': 200,
  'lease expired before COMMIT': 1000,
  'lease unexpired again, since the clock was set back': 50,
  'cancelled with an unnamed page': 500,
  'cancelled with a committed unnamed page': 100,
  'cursor continued from an earlier write of its own': 10,
  'opened by a lost swap and taken over': 2,
  'joined an open run': 300,
  'stopped because the mark names another run': 30,
  'guard failed': 1000,
}

/** A failure shows its seed and the schedule: `runSchedule(seed, null, true)` gives the same again. */
function failureOf(seed: number): string {
  const { violations, schedule } = runSchedule(seed, null, true)
  return [`seed ${seed}`, ...violations, ...(schedule ?? [])].join('\n')
}

test(`${SCHEDULES} schedules of the protocol break nothing, and reach what they are for`, () => {
  const reached = new Map<string, number>()
  for (let seed = 1; seed <= SCHEDULES; seed += 1) {
    const { violations, counts } = runSchedule(seed)
    if (violations.length > 0) throw new Error(failureOf(seed))
    for (const situation of counts.keys()) reached.set(situation, (reached.get(situation) ?? 0) + 1)
  }
  const rare = Object.entries(SITUATIONS).filter(
    ([situation, least]) => (reached.get(situation) ?? 0) < (least * SCHEDULES) / 20_000,
  )
  expect(rare).toEqual([])
})

test('the same seed gives the same schedule', () => {
  const first = runSchedule(7, null, true)
  const second = runSchedule(7, null, true)
  expect(first.schedule?.length).toBeGreaterThan(50)
  expect(second).toEqual(first)
})

test('every invocation of the model keeps to the transitions that it allows', () => {
  let traces = 0
  for (let seed = 1; seed <= TRACED_SCHEDULES; seed += 1)
    for (const [name, trace] of runSchedule(seed, null, true).traces ?? []) {
      traces += 1
      expect([seed, name, ...checkTrace(trace)]).toEqual([seed, name])
    }
  expect(traces).toBeGreaterThan(4 * TRACED_SCHEDULES)
})

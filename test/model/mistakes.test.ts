import { expect, test } from 'vitest'
import { MISTAKES, type Mistake } from './mistakes.ts'
import { runSchedule } from './schedule.ts'

const SCHEDULES = 20_000

function firstCaught(mistake: Mistake): number | null {
  for (let seed = 1; seed <= SCHEDULES; seed += 1)
    if (runSchedule(seed, mistake).violations.length > 0) return seed
  return null
}

test.each(MISTAKES)('the model catches: %s', { timeout: 300_000 }, (mistake) => {
  expect(firstCaught(mistake)).not.toBeNull()
})

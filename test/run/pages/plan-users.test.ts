import { setImmediate as others } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Observed, PageMode } from '../../../lambda/run/pages/modes/mode.ts'
import { openTurns, planUsers } from '../../../lambda/run/pages/plan-users.ts'
import { bareResult } from '../../../lambda/run/pages/outcome.ts'

const CONTEXT = { runId: 'run', mode: 'execute', at: '2026-11-26T00:00:00Z', attempt: '0-1-1' } as const
const NOTHING: Observed = { readings: new Map(), inserted: new Map() }

function modeThat(plan: (userId: string) => void): PageMode {
  const unused = (): never => {
    throw new Error('Only planning is asked for here.')
  }
  return {
    read: unused,
    planAgain: unused,
    write: unused,
    findDone: unused,
    plan(userId) {
      plan(userId)
      return { result: bareResult(CONTEXT, userId, null, 'gone') }
    },
  }
}

test('while a page is planned, whoever waits for this thread gets it every few users', async () => {
  const userIds = Array.from({ length: 100 }, (_, index) => `user-${index}`)
  const events: string[] = []
  const state = { planned: false }
  const otherWork = (async () => {
    for (; !state.planned; await others()) events.push('other')
  })()
  const mode = modeThat((userId) => events.push(userId))
  const plannings = await planUsers(mode, userIds, NOTHING, '0-1-1', new Set())
  state.planned = true
  await otherWork

  expect(plannings.map(([userId]) => userId)).toEqual(userIds)
  const runs = events
    .join(' ')
    .split(/ ?other ?/)
    .map((run) => run.split(' ').filter((id) => id !== '').length)
  expect(Math.max(...runs)).toBeLessThanOrEqual(20)
})

test('turns are taken one at a time, in order; one that fails does not keep the others', async () => {
  const turns = openTurns()
  const events: string[] = []
  const work = (name: string) => async () => {
    events.push(`${name} begins`)
    await others()
    if (name === 'second') throw new Error('second failed')
    events.push(`${name} ends`)
    return name
  }
  const results = await Promise.allSettled(
    ['first', 'second', 'third'].map(async (name) => turns.take(work(name))),
  )
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(events).toEqual(['first begins', 'first ends', 'second begins', 'third begins', 'third ends'])
})

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { HistoryAnswer } from '../../lambda/insight/history/history.ts'
import { setClock } from '../support/clock.ts'
import { invokeJob, type JobPlace } from '../support/job.ts'
import { insertTransaction } from '../support/ledger.ts'
import { freshTeam, type Team } from '../support/places/team.ts'
import { ask } from './ask.ts'

const MONDAYS = ['2026-11-23', '2026-11-30', '2026-12-07'].map((day) => `${day}T06:00:00.000Z`)

let team: Team
let place: JobPlace
const runIds: string[] = []

beforeAll(async () => {
  team = await freshTeam(30)
  place = { databaseUrl: team.url, bucket: team.bucket }
  for (const monday of MONDAYS) {
    await setClock(team.sql, monday)
    await invokeJob(place, {})
    runIds.push((await invokeJob(place, { execute: true, batchSize: 2 })).runId)
    await insertTransaction(team.sql, { kilo_user_id: 'user-17', created_at: '2026-02-01' })
  }
})
afterAll(async () => team.drop())

async function keysReadFor(user: string): Promise<string[]> {
  const keys: string[] = []
  team.s3.setHooks(team.bucket.bucket, { before: ({ key }) => void keys.push(key) })
  const { result } = await ask<HistoryAnswer>(place, { history: user })
  team.s3.setHooks(team.bucket.bucket, undefined)
  expect(result.runs.map(({ runId }) => runId)).toEqual(runIds)
  return keys
}

test('of fifteen pages of a run, the story reads one part, and the users of a few', async () => {
  const keys = await keysReadFor('user-17')
  for (const runId of runIds) {
    const ofRun = keys.filter((key) => key.includes(runId))
    expect(ofRun.filter((key) => key.startsWith('logs/'))).toHaveLength(1)
    expect(ofRun.filter((key) => key.includes('/pages/')).length).toBeLessThanOrEqual(4)
    expect(ofRun.filter((key) => !key.startsWith('logs/') && !key.includes('/pages/'))).toEqual([
      `runs/${runId}/run.json`,
      `runs/${runId}/cursor.json`,
    ])
  }
  // A list of runs and one of rollbacks; dry runs are not looked at.
  expect(keys.filter((key) => key === '')).toHaveLength(2)
  expect(keys.every((key) => key === '' || runIds.some((runId) => key.includes(runId)))).toBe(true)
})

test('by an e-mail address of the ledger, no log is searched', async () => {
  const byId = await keysReadFor('user-17')
  expect((await keysReadFor('USER-17@kilo.ai')).toSorted()).toEqual(byId.toSorted())
})

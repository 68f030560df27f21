import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics } from '@aws-lambda-powertools/metrics'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { listRuns } from '../../lambda/insight/runs.ts'
import { lambdaHost, withTools } from '../../lambda/host.ts'
import { keys, putText, remove } from '../support/bucket.ts'
import { setClock } from '../support/clock.ts'
import { failureOf, invokeJob, lambdaContext, TEST_CALLER } from '../support/job.ts'
import { insertUser } from '../support/ledger.ts'
import { timeForPages } from '../support/stops.ts'
import { freshTeam, type Team } from '../support/places/team.ts'

let team: Team

beforeEach(async () => {
  team = await freshTeam(4)
})
afterEach(() => team.drop())

const ENV = { MIN_GRANT_AGE_SECONDS: '0' }
const invoke = (event: object, options: Parameters<typeof invokeJob>[2] = {}) =>
  invokeJob({ databaseUrl: team.url, bucket: team.bucket, env: ENV }, event, options)

/** The list, read as the command reads it. */
async function list() {
  const logger = new Logger({ logLevel: 'SILENT' })
  const metrics = new Metrics({ namespace: 'Test', serviceName: 'test', logger })
  const host = {
    ...lambdaHost(logger, metrics),
    env: {
      ...ENV,
      DATABASE_URL: team.url,
      LOG_BUCKET: team.bucket.bucket,
      AWS_ENDPOINT_URL_S3: team.bucket.endpoint,
    },
    callerOf: () => ({ ...TEST_CALLER, requestId: 'list' }),
  }
  return withTools(host, lambdaContext({}), listRuns)
}

test('an empty bucket has no runs', async () => {
  await invoke({ status: 'latest' })
  expect(await list()).toEqual([])
})

test('the newest first: what each did, its status, who asked and why; nothing is written', async () => {
  let hour = 6
  const tick = () => setClock(team.sql, `2026-11-22T${String(hour++).padStart(2, '0')}:00:00Z`)
  const run = async (event: object, options: object = {}) => {
    await tick()
    return invoke(event, options).then(
      ({ runId }) => runId,
      () => 'refused',
    )
  }
  const dry = await run({ reason: 'a look' })
  await run({ execute: true, limits: { users: 1 } })
  const execute = await run({ execute: true, userIds: ['user-1', 'user-2'] })
  const rollback = await run({ rollback: execute, execute: true, reason: 'a mistake' })
  const open = await run({ execute: true, batchSize: 1, concurrency: 1 }, timeForPages(3))
  const before = await keys(team.bucket)
  const runs = await list()
  expect(runs).toMatchObject([
    {
      runId: open,
      mode: 'execute',
      status: 'incomplete',
      usersProcessed: 3,
      usersMatched: 4,
      expired: '$30.00',
      reason: null,
    },
    {
      runId: rollback,
      mode: 'rollback',
      status: 'complete',
      usersProcessed: 2,
      expired: '-$20.00',
      reason: 'a mistake',
    },
    {
      runId: execute,
      mode: 'execute',
      status: 'complete',
      rolledBackBy: [rollback],
      usersProcessed: 2,
      expired: '$20.00',
      expiredMicrodollars: 20_000_000,
    },
    {
      mode: 'execute',
      status: 'refused',
      usersProcessed: 0,
      usersMatched: 4,
      expired: '$0.00',
    },
    {
      runId: dry,
      mode: 'dry-run',
      status: 'complete',
      usersProcessed: 4,
      expired: '$40.00',
      via: 'test',
      by: 'a test',
      reason: 'a look',
      instant: '2026-11-22T06:00:00.000Z',
    },
  ])
  expect(await keys(team.bucket)).toEqual(before)
})

test('no more than a few reads at a time, however many runs there are', async () => {
  for (let n = 0; n < 15; n++) await invoke({ userIds: ['user-1'] })
  let [now, most] = [0, 0]
  team.s3.setHooks(team.bucket.bucket, {
    before: async () => {
      most = Math.max(most, ++now)
      await new Promise((resolve) => setTimeout(resolve, 2))
    },
    after: () => void now--,
  })
  expect(await list()).toHaveLength(15)
  expect(most).toBeLessThanOrEqual(8)
})

test('a folder that a person made beside the runs is none, neither in the list nor as the latest', async () => {
  const { runId } = await invoke({})
  await putText(team.bucket, 'runs/some-folder/notes.txt', 'hello')
  expect(await list()).toMatchObject([{ runId }])
  expect(await invoke({ status: 'latest' })).toMatchObject({ runId, status: 'complete' })
})

test('a run whose run.json is missing or damaged has a line that says so, among the others', async () => {
  const lost = await invoke({})
  const damaged = await invoke({})
  const fine = await invoke({})
  await remove(team.bucket, `runs/${lost.runId}/run.json`)
  await putText(team.bucket, `runs/${damaged.runId}/run.json`, '{}')
  const listed = new Map((await list()).map((run) => [run.runId, run]))
  expect(listed.get(fine.runId)).toMatchObject({ status: 'complete' })
  expect(listed.get(damaged.runId)).toMatchObject({ problem: expect.stringContaining('is damaged') })
  expect(listed.get(lost.runId)).toMatchObject({ problem: expect.stringContaining('run.json is missing') })
})

test('what a refused opening leaves is no run: not in the list, not the latest one, and it cannot be continued', async () => {
  const { runId } = await invoke({ execute: true })
  await setClock(team.sql, '2026-11-22T07:00:00Z')
  await insertUser(team.sql, { id: 'outsider', google_user_email: 'ada@example.com' })
  for (const mode of [{}, { execute: true }])
    await failureOf(invoke({ ...mode, userIds: ['user-1', 'outsider'] }))
  const left = (await keys(team.bucket, 'runs/')).filter((key) => !key.includes(runId))
  expect(left).toHaveLength(2)
  for (const key of left) expect(key).toMatch(/^runs\/[^/]+\/pages\/00000\.json$/)
  expect(await list()).toMatchObject([{ runId }])
  for (const event of [{ status: 'latest' }, { resume: 'latest' }, { verify: 'latest' }])
    expect(await invoke(event)).toMatchObject({ runId })
  expect(await invoke({ rollback: 'latest' })).toMatchObject({ totals: { usersProcessed: 4 } })
  for (const key of left) {
    const [, neverOpened] = key.split('/')
    for (const event of [{ status: neverOpened }, { resume: neverOpened }, { cancel: neverOpened }])
      expect(await failureOf(invoke(event))).toMatchObject({
        name: 'RunRefused',
        message: expect.stringContaining(`Run ${neverOpened} was never opened`),
      })
  }
})

import { afterEach, beforeEach, expect, test } from 'vitest'
import { listRuns } from '../../lambda/insight/runs.ts'
import { withTools } from '../../lambda/host.ts'
import { keys } from '../support/bucket.ts'
import { setClock } from '../support/clock.ts'
import { invokeJob } from '../support/job.ts'
import { timeForPages } from '../support/stops.ts'
import { freshTeam, type Team } from '../support/team.ts'

let team: Team

beforeEach(async () => {
  team = await freshTeam(4)
})
afterEach(() => team.drop())

const ENV = { MIN_GRANT_AGE_SECONDS: '0' }
const invoke = (event: object, options: Parameters<typeof invokeJob>[2] = {}) =>
  invokeJob({ databaseUrl: team.url, bucket: team.bucket, env: ENV }, event, options)

/** The list as a host makes it. */
async function list() {
  const ignore = () => {}
  const env = {
    ...ENV,
    DATABASE_URL: team.url,
    LOG_BUCKET: team.bucket.bucket,
    AWS_ENDPOINT_URL_S3: team.bucket.endpoint,
  }
  const host = {
    env,
    source: 'test',
    log: ignore,
    onProgress: ignore,
    onClosed: ignore,
    onPage: ignore,
    onIdle: ignore,
    now: () => new Date(),
  }
  return withTools(host, { id: 'list', timeLeft: () => 60_000 }, listRuns)
}

test('an empty bucket has no runs', async () => {
  process.env.AWS_ENDPOINT_URL_S3 = team.bucket.endpoint
  Object.assign(process.env, {
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  })
  expect(await list()).toEqual([])
})

test('the newest first: what each did, how it stands, who asked and why; and nothing is written', async () => {
  let hour = 6
  const tick = () => setClock(team.sql, `2026-11-22T${String(hour++).padStart(2, '0')}:00:00Z`)
  const run = async (event: object, requestId: string, options: object = {}) => {
    await tick()
    return invoke(event, { requestId, ...options }).then(
      ({ runId }) => runId,
      () => 'refused',
    )
  }
  const dry = await run({ reason: 'a look' }, 'one')
  await run({ execute: true, limits: { users: 1 } }, 'two')
  const execute = await run({ execute: true, userIds: ['user-1', 'user-2'] }, 'three')
  const rollback = await run({ rollback: execute, execute: true, reason: 'a mistake' }, 'four')
  const open = await run({ execute: true, batchSize: 1, concurrency: 1 }, 'five', timeForPages(3))
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
      requestId: 'five',
      reason: null,
    },
    {
      runId: rollback,
      mode: 'rollback',
      status: 'complete',
      usersProcessed: 2,
      expired: '-$20.00',
      requestId: 'four',
      reason: 'a mistake',
    },
    {
      runId: execute,
      mode: 'execute',
      status: 'complete',
      usersProcessed: 2,
      expired: '$20.00',
      expiredMicrodollars: 20_000_000,
      requestId: 'three',
    },
    {
      mode: 'execute',
      status: 'refused',
      usersProcessed: 0,
      usersMatched: 4,
      expired: '$0.00',
      requestId: 'two',
    },
    {
      runId: dry,
      mode: 'dry-run',
      status: 'complete',
      usersProcessed: 4,
      expired: '$40.00',
      requestId: 'one',
      source: 'test',
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

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { betweenReadAndWrite, isIntent } from '../../support/between.ts'
import { keys } from '../../support/bucket.ts'
import { setClock } from '../../support/clock.ts'
import { invokeJob, type InvocationOptions, type JobPlace } from '../../support/job.ts'
import { dump } from '../../support/ledger.ts'
import { readDocument, readLogs } from '../../support/logs.ts'
import { timeForPages } from '../../support/stops.ts'
import { freshTeam, LATER, type Team } from '../../support/team.ts'

const EVENT = { execute: true, batchSize: 2, concurrency: 1 }

let team: Team
let sql: Team['sql']
let bucket: Team['bucket']
let place: JobPlace

/** Six users on three pages; the database's clock stands still. */
beforeEach(async () => {
  team = await freshTeam(6)
  ;({ sql, bucket } = team)
  place = { databaseUrl: team.url, bucket, env: { MIN_GRANT_AGE_SECONDS: '0', AWS_MAX_ATTEMPTS: '1' } }
})
afterEach(() => team.drop())

const invoke = (event: object, options?: InvocationOptions) => invokeJob(place, event, options)
const failure = (event: object): Promise<unknown> =>
  invoke(event).then(
    (card) => card,
    (error: unknown) => error,
  )
const openRun = (pages = 1) => invoke(EVENT, timeForPages(pages))
const expiredUsers = async () =>
  (await dump(sql)).users.filter((user) => user.total_microdollars_acquired === '0').length
const writer = () => readDocument(bucket, 'control/writer.json')

/** An invocation whose process dies: from the nth intent on, nothing of it reaches S3, or the database any more. */
async function crash(event: object, nth: number, after: boolean): Promise<void> {
  let intents = 0
  let dead = false
  team.s3.setHooks(bucket.bucket, {
    before: (request) => {
      if (dead) return 'drop'
      if (!isIntent(request) || ++intents < nth) return undefined
      dead = true
      return after ? undefined : 'drop'
    },
  })
  await invoke(event).catch((error: unknown) => error)
  team.s3.setHooks(bucket.bucket, undefined)
}

/** What a status says of idle time, beside its card. */
/** As if the run had made no progress since the beginning of the year. */
async function ageCursor(runId: string): Promise<void> {
  const cursor = `runs/${runId}/cursor.json`
  const stored = JSON.stringify({
    ...(await readDocument(bucket, cursor)),
    progressAt: '2026-01-01T00:00:00.000Z',
  })
  await fetch(`${bucket.endpoint}/${bucket.bucket}/${cursor}`, { method: 'PUT', body: stored })
}

async function statusOf(runId: string): Promise<{ card: ExitCard; idle: number[] }> {
  const idle: number[] = []
  return {
    card: await invoke({ status: runId }, { host: { onIdle: (seconds) => void idle.push(seconds) } }),
    idle,
  }
}

describe('status', () => {
  test('of an empty bucket: there is no run yet, and what to send first', async () => {
    const { card, idle } = await statusOf('latest')
    expect(card).toMatchObject({
      status: 'complete',
      why: 'this bucket has no run yet',
      next: { payload: {} },
    })
    expect(idle).toEqual([0])
    expect(await keys(bucket)).toEqual([])
  })

  test('of an open run: how far it is, whether anybody is at work, how long it has been idle; and it stores nothing', async () => {
    const open = await openRun()
    const before = await keys(bucket)
    for (const asked of ['latest', open.runId]) {
      const { card, idle } = await statusOf(asked)
      expect(card).toMatchObject({
        runId: open.runId,
        status: 'incomplete',
        why: 'it is open, and nobody is at work on it',
        progress: { usersDone: 2 },
        next: { payload: { resume: open.runId } },
      })
      expect(idle).toEqual([expect.any(Number)])
      expect(idle[0]).toBeLessThan(60)
    }
    expect(await keys(bucket)).toEqual(before)
  })

  test('of a run whose holder died: until when its lease is', async () => {
    await crash(EVENT, 2, true)
    const { card } = await statusOf('latest')
    expect(card).toMatchObject({
      status: 'incomplete',
      why: expect.stringMatching(/lease until 2026-11-22T06:15:25/),
      progress: { usersDone: 2 },
    })
  })

  test('the idle time is that of the open writing run, whichever run is asked for, or of the latest run while that is open', async () => {
    const dry = await invoke({})
    const open = await openRun()
    await ageCursor(open.runId)
    expect((await statusOf(dry.runId)).idle[0]).toBeGreaterThan(86_400)
    expect((await statusOf('latest')).idle[0]).toBeGreaterThan(86_400)
    await invoke({ cancel: open.runId })
    await setClock(sql, LATER)
    const left = await invoke({ batchSize: 2, concurrency: 1 }, timeForPages(1))
    await ageCursor(left.runId)
    const { card, idle } = await statusOf('latest')
    expect(card).toMatchObject({ runId: left.runId, status: 'incomplete' })
    expect(idle[0]).toBeGreaterThan(86_400)
    await invoke({ cancel: left.runId })
    expect((await statusOf('latest')).idle).toEqual([0])
  })

  test('latest passes over what was prepared and never opened', async () => {
    const done = await invoke(EVENT)
    team.s3.setHooks(bucket.bucket, {
      before: (request) =>
        request.method === 'PUT' && request.key === 'control/writer.json' ? 'drop' : undefined,
    })
    expect(await failure(EVENT)).toMatchObject({ name: 'ArchiveUnavailable' })
    team.s3.setHooks(bucket.bucket, undefined)
    expect((await statusOf('latest')).card).toMatchObject({ runId: done.runId, status: 'complete' })
  })

  test('of a refused run: its card', async () => {
    expect(await failure({ execute: true, limits: { users: 0 } })).toMatchObject({ name: 'RunRefused' })
    const { card, idle } = await statusOf('latest')
    expect(card).toMatchObject({
      status: 'refused',
      why: expect.stringContaining('the limit is 0'),
      next: null,
    })
    expect(idle).toEqual([0])
    expect(await failure({ cancel: card.runId })).toEqual(card)
    expect(await failure({ resume: card.runId })).toEqual(card)
    expect(await failure({ rollback: card.runId })).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining('never opened'),
    })
  })

  test.each(['cursor.json', 'control/writer.json'])(
    'of a run that was cut off before its %s was written: never opened, and nothing to go on with',
    async (key) => {
      team.s3.setHooks(bucket.bucket, {
        before: (request) => (request.method === 'PUT' && request.key.endsWith(key) ? 'drop' : undefined),
      })
      expect(await failure(EVENT)).toMatchObject({ name: 'ArchiveUnavailable' })
      team.s3.setHooks(bucket.bucket, undefined)
      const { card, idle } = await statusOf('latest')
      expect(card).toMatchObject({
        status: 'refused',
        why: expect.stringContaining('never opened'),
        progress: { usersDone: 0, usersTotal: 6 },
      })
      expect(idle).toEqual([0])
      for (const event of [
        { resume: card.runId },
        { cancel: card.runId },
        { rollback: card.runId },
        { ...EVENT, restart: card.runId },
      ]) {
        expect(await failure(event)).toMatchObject({
          name: 'RunRefused',
          message: expect.stringContaining('never opened'),
        })
      }
      expect(await invoke(EVENT)).toMatchObject({ status: 'complete', totals: { usersProcessed: 6 } })
    },
  )

  test('while a run is being closed it is not yet complete: its card, stored already, is not shown before it is closed', async () => {
    let dead = false
    team.s3.setHooks(bucket.bucket, {
      before: ({ method, key }) => {
        dead ||= method === 'PUT' && key.endsWith('manifest.json')
        return dead ? 'drop' : undefined
      },
    })
    await failure(EVENT)
    team.s3.setHooks(bucket.bucket, undefined)
    const { card } = await statusOf('latest')
    expect(card).toMatchObject({
      status: 'incomplete',
      why: expect.stringContaining('being closed as complete'),
      next: { payload: { resume: card.runId } },
    })
    await setClock(sql, LATER)
    expect(await invoke({ resume: card.runId })).toMatchObject({
      status: 'complete',
      totals: { usersProcessed: 6 },
    })
  })
})

describe('cancel', () => {
  test('an open run with nobody at work: closed, with what was done and what was not; cancelling again returns the card', async () => {
    const open = await openRun()
    const card = await invoke({ cancel: open.runId }, { requestId: 'me' })
    expect(card).toMatchObject({
      runId: open.runId,
      status: 'cancelled',
      why: expect.stringMatching(/^cancelled by test me at /),
      totals: { usersProcessed: 2, usersNotReached: 4 },
      next: { payload: { rollback: open.runId } },
    })
    expect(await writer()).toMatchObject({ runId: null })
    const { users, mutations } = await readLogs(bucket, open.runId)
    expect(users.map(({ user_id }) => user_id)).toEqual(['user-1', 'user-2'])
    expect(new Set(mutations.map(({ user_id }) => user_id))).toEqual(new Set(['user-1', 'user-2']))
    expect(await expiredUsers()).toBe(2)
    for (const event of [{ cancel: open.runId }, { resume: open.runId }, { status: open.runId }])
      expect(await invoke(event)).toEqual(card)
  })

  test('a live holder stops after the pages in flight and closes; whoever cancelled gets its card', async () => {
    const cancelled: Promise<ExitCard>[] = []
    betweenReadAndWrite(team.s3, bucket, async (nth) => {
      if (nth !== 2) return
      const { runId } = await writer()
      cancelled.push(invoke({ cancel: runId }))
      // The wish is stored before the page goes on.
      while (!(await keys(bucket, 'state/')).some((key) => key.endsWith('cancel.json')))
        await new Promise((resolve) => setTimeout(resolve, 5))
    })
    const held = await invoke(EVENT)
    expect(held).toMatchObject({ status: 'cancelled', totals: { usersProcessed: 4, usersNotReached: 2 } })
    expect(await Promise.all(cancelled)).toEqual([held])
    expect(await expiredUsers()).toBe(4)
  })

  test.each([
    [false, 'before its intent was stored', 2],
    [true, 'after its page was committed', 4],
  ])(
    'a holder that died %s (%s): not before its lease lapses; what it committed is in the log',
    async (after, _, processed) => {
      await crash(EVENT, 2, after)
      const { runId } = await writer()
      const busy = await invoke({ cancel: runId }, { timeLeft: () => 14_000 })
      expect(busy).toMatchObject({
        status: 'busy',
        why: expect.stringContaining('its lease lapses at 2026-11-22T06:15'),
        next: { payload: { cancel: runId } },
      })
      await setClock(sql, LATER)
      const card = await invoke({ cancel: runId })
      expect(card).toMatchObject({
        status: 'cancelled',
        totals: { usersProcessed: processed, usersNotReached: 6 - processed },
      })
      expect(await expiredUsers()).toBe(processed)
      const { users, mutations } = await readLogs(bucket, card.runId)
      expect(users.filter(({ recovered }) => recovered === true)).toHaveLength(processed - 2)
      expect(new Set(mutations.map(({ user_id }) => user_id)).size).toBe(processed)
    },
  )

  test('a dry run too', async () => {
    const open = await invoke({ batchSize: 2, concurrency: 1 }, timeForPages(1))
    expect(await invoke({ cancel: open.runId })).toMatchObject({
      mode: 'dry-run',
      status: 'cancelled',
      totals: { usersProcessed: 2, usersNotReached: 4 },
    })
    expect(await failure({ execute: true, plan: open.runId })).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining('it is cancelled'),
    })
  })

  test('an unknown run: the nearest ids', async () => {
    const { runId } = await invoke({})
    const near = runId.slice(0, -1) + (runId.endsWith('x') ? 'y' : 'x')
    for (const event of [{ cancel: near }, { status: near }, { resume: near }]) {
      expect(await failure(event)).toMatchObject({
        name: 'RunRefused',
        message: expect.stringContaining(`Did you mean ${runId}?`),
      })
    }
  })
})

import { expect, test } from 'vitest'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { dieAt, isUsersPart, revive } from '../support/between.ts'
import { keys, putText } from '../support/bucket.ts'
import { setClock } from '../support/clock.ts'
import { failureOf } from '../support/job.ts'
import { readDocument } from '../support/logs.ts'
import { bucket, EVENT, invoke, team, useSixUsers } from '../support/places/six-users.ts'
import { timeForPages } from '../support/stops.ts'
import { LATER } from '../support/places/team.ts'

useSixUsers()

const openRun = () => invoke(EVENT, timeForPages(1))

/** The card of a status, and the idle time that it reports. */
async function statusOf(runId: string): Promise<{ card: ExitCard; idle: number[] }> {
  const idle: number[] = []
  const card = await invoke({ status: runId }, { host: { onIdle: (seconds) => void idle.push(seconds) } })
  return { card, idle }
}

/** As if the run had made no progress for two days. */
async function ageCursor(runId: string): Promise<void> {
  const key = `runs/${runId}/cursor.json`
  const aged = { ...(await readDocument(bucket, key)), progressAt: '2026-11-20T00:00:00.000Z' }
  await putText(bucket, key, JSON.stringify(aged))
}

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

test('of an open run: how far it is and whether an invocation works on it; nothing is stored', async () => {
  const open = await openRun()
  const before = await keys(bucket)
  for (const asked of ['latest', open.runId]) {
    const { card, idle } = await statusOf(asked)
    expect(card).toMatchObject({
      runId: open.runId,
      status: 'incomplete',
      why: expect.stringMatching(
        /^it is open; opened \d+ s ago; 2 of 6 users are done; .*no invocation is working on it/,
      ),
      progress: { usersDone: 2 },
      next: { payload: { resume: open.runId } },
    })
    expect(idle).toEqual([expect.any(Number)])
    expect(idle[0]).toBeLessThan(60)
  }
  expect(await keys(bucket)).toEqual(before)
})

test('of a run whose holder died: until when the lease lasts, and later that it expired', async () => {
  dieAt(team.s3, bucket, isUsersPart)
  await failureOf(invoke(EVENT))
  revive(team.s3, bucket)
  expect((await statusOf('latest')).card).toMatchObject({
    status: 'incomplete',
    why: expect.stringContaining('an invocation holds its lease until 2026-11-22T06:15'),
  })
  await setClock(team.sql, LATER)
  expect((await statusOf('latest')).card.why).toContain('its lease expired at 2026-11-22T06:15')
})

test('a cancellation request and a hold are part of the answer', async () => {
  const open = await openRun()
  await invoke({ hold: 'the auditors are here', by: 'Ada' })
  expect((await statusOf('latest')).card.why).toContain('writing is held by Ada: the auditors are here')
  const request = { runId: open.runId, by: 'Bea', at: '2026-11-22T06:01:00.000Z', reason: null }
  await putText(bucket, `runs/${open.runId}/cancel.json`, JSON.stringify(request))
  expect((await statusOf('latest')).card.why).toContain('a cancellation was requested by Bea')
})

test('the idle time is that of the open writing run, whichever run is asked for', async () => {
  const dry = await invoke({})
  const open = await openRun()
  await ageCursor(open.runId)
  for (const asked of [dry.runId, 'latest']) expect((await statusOf(asked)).idle[0]).toBeGreaterThan(86_400)
  await invoke({ cancel: open.runId })
  expect((await statusOf('latest')).idle).toEqual([0])
})

test('of a refused run: its card, also to resume and cancel; it cannot be rolled back', async () => {
  await failureOf(invoke({ execute: true, limits: { users: 0 } }))
  const { card, idle } = await statusOf('latest')
  expect(card).toMatchObject({ status: 'refused', why: expect.stringContaining('the limit is 0') })
  expect(idle).toEqual([0])
  expect(await invoke({ cancel: card.runId })).toEqual(card)
  expect(await invoke({ resume: card.runId })).toEqual(card)
  expect(await failureOf(invoke({ rollback: card.runId }))).toMatchObject({
    name: 'RunRefused',
    message: expect.stringContaining('never opened'),
  })
})

test.each(['cursor.json', 'control/writer.json'])(
  'of a run that was cut off before its %s was written: never opened, and nothing to continue',
  async (key) => {
    dieAt(team.s3, bucket, (request) => request.method === 'PUT' && request.key.endsWith(key))
    expect((await failureOf(invoke(EVENT))).name).toBe('ArchiveUnavailable')
    revive(team.s3, bucket)
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
      expect(await failureOf(invoke(event))).toMatchObject({
        name: 'RunRefused',
        message: expect.stringContaining('never opened'),
      })
    }
    expect(await invoke(EVENT)).toMatchObject({ status: 'complete', totals: { usersProcessed: 6 } })
  },
)

test('while a run is being closed its stored card is not shown as final', async () => {
  dieAt(team.s3, bucket, ({ method, key }) => method === 'PUT' && key.endsWith('manifest.json'))
  await failureOf(invoke(EVENT))
  revive(team.s3, bucket)
  const { card } = await statusOf('latest')
  expect(card).toMatchObject({
    status: 'incomplete',
    why: expect.stringContaining('it is being closed as complete'),
    next: { payload: { resume: card.runId } },
  })
  await setClock(team.sql, LATER)
  expect(await invoke({ resume: card.runId })).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: 6 },
  })
})

test('of a run that was rolled back: by which run, and no rollback is proposed any more', async () => {
  const card = await invoke(EVENT)
  const rollback = await invoke({ rollback: card.runId, execute: true })
  expect((await statusOf(card.runId)).card).toMatchObject({
    status: 'complete',
    why: `every page is done; rolled back by ${rollback.runId}`,
    rolledBackBy: [rollback.runId],
    usersRolledBack: 6,
    next: null,
  })
})

test('of a closed run whose card is damaged: its figures, from the cursor', async () => {
  const card = await invoke(EVENT)
  for (const damaged of ['{"run', '{}', '']) {
    await putText(bucket, `runs/${card.runId}/summary.json`, damaged)
    expect((await statusOf(card.runId)).card).toMatchObject({
      runId: card.runId,
      status: 'complete',
      totals: card.totals,
      next: { payload: { rollback: card.runId } },
    })
  }
  expect(await invoke({ rollback: card.runId })).toMatchObject({ totals: { usersProcessed: 6 } })
})

test('one unreadable run keeps no other from being shown, and none from being opened', async () => {
  const broken = await invoke({})
  const fine = await invoke({})
  await putText(bucket, `runs/${broken.runId}/run.json`, '{')
  expect((await statusOf(fine.runId)).card).toEqual(fine)
  expect(await failureOf(invoke({ status: broken.runId }))).toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining(`runs/${broken.runId}/run.json`),
  })
  expect(await invoke(EVENT)).toMatchObject({ status: 'complete' })
})

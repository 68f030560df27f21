import { expect, test } from 'vitest'
import { auditRun } from '../../support/audit-run.ts'
import { betweenReadAndWrite } from '../../support/between.ts'
import { keys, putText } from '../../support/bucket.ts'
import { failureOf } from '../../support/job.ts'
import { openRunId, readDocument } from '../../support/logs.ts'
import { bucket, EVENT, invoke, state, team, useSixUsers } from '../../support/places/six-users.ts'
import { timeForPages } from '../../support/stops.ts'

useSixUsers()

test('says who holds, since when and why, and what was before; a release says the same, and writing works again', async () => {
  expect(await invoke({ hold: 'the auditors are here', by: 'Ada' })).toMatchObject({
    answer: 'hold',
    result: 'held',
    by: 'Ada',
    reason: 'the auditors are here',
    before: 'not held',
    openRun: null,
    next: { payload: { release: expect.any(String) } },
  })
  expect(await readDocument(bucket, 'control/hold.json')).toMatchObject({ held: true, by: 'Ada' })
  expect(await invoke({ release: 'they left', by: 'Bea' })).toMatchObject({
    answer: 'release',
    result: 'released',
    by: 'Bea',
    before: expect.stringMatching(/^held by Ada since 2026-11-22T06:.*Z: the auditors are here$/),
  })
  expect(await invoke({ release: 'once more' })).toMatchObject({ result: 'released', before: 'not held' })
  expect(await invoke(EVENT)).toMatchObject({ status: 'complete' })
})

test('an execute, a resume, a restart and a rollback answer held, with nothing opened or closed', async () => {
  const done = await invoke({ ...EVENT, userIds: ['user-6'] })
  const open = await invoke(EVENT, timeForPages(1))
  await invoke({ hold: 'a freeze' })
  const before = { ledger: await state(), keys: await keys(bucket) }
  for (const event of [
    EVENT,
    { resume: open.runId },
    { ...EVENT, restart: open.runId },
    { rollback: done.runId, execute: true },
  ]) {
    expect(await invoke(event)).toMatchObject({
      status: 'held',
      why: expect.stringContaining('a freeze'),
      next: { payload: { release: expect.any(String) } },
    })
  }
  expect({ ledger: await state(), keys: await keys(bucket) }).toEqual(before)
})

test('dry runs, status, the preview of a rollback and cancel work under a hold', async () => {
  const open = await invoke(EVENT, timeForPages(1))
  await invoke({ hold: 'a freeze' })
  expect(await invoke({})).toMatchObject({ mode: 'dry-run', status: 'complete' })
  expect(await invoke({ status: open.runId })).toMatchObject({ status: 'incomplete' })
  const before = await state()
  expect(await invoke({ cancel: open.runId })).toMatchObject({
    status: 'cancelled',
    totals: { usersProcessed: 2 },
  })
  expect(await state()).toEqual(before)
  await auditRun(bucket, open.runId, team.sql)
  expect(await invoke({ rollback: open.runId })).toMatchObject({
    mode: 'rollback-dry-run',
    totals: { usersProcessed: 2 },
  })
})

test('an open run ends its invocation after the pages in flight; the hold names it and until when it may commit', async () => {
  const answers: unknown[] = []
  betweenReadAndWrite(team.s3, bucket, async (nth) => {
    if (nth === 2) answers.push(await invoke({ hold: 'stop now', by: 'Ada' }))
  })
  const card = await invoke(EVENT)
  expect(card).toMatchObject({
    status: 'incomplete',
    why: expect.stringContaining('held by Ada'),
    progress: { usersDone: 4, usersTotal: 6 },
  })
  expect(answers).toMatchObject([
    {
      result: 'held',
      openRun: { runId: card.runId, mayCommitUntil: expect.stringMatching(/^2026-11-22T06:1/) },
    },
  ])
  expect(await openRunId(bucket)).toBe(card.runId)
  await invoke({ release: 'continue' })
  const done = await invoke({ resume: card.runId })
  expect(done).toMatchObject({ status: 'complete', totals: { usersProcessed: 6 } })
  await auditRun(bucket, done.runId, team.sql)
})

test('a rollback with "underHold" and a reason runs under the hold, and continues under it', async () => {
  const before = await state()
  const { runId } = await invoke(EVENT)
  await invoke({ hold: 'something is wrong with that run' })
  const event = { rollback: runId, execute: true, concurrency: 1, underHold: true, reason: 'take it back' }
  const part = await invoke(event, timeForPages(1))
  expect(part).toMatchObject({ mode: 'rollback', status: 'incomplete' })
  expect(await invoke({ resume: part.runId })).toMatchObject({ status: 'complete' })
  expect(await state()).toEqual(before)
  await auditRun(bucket, part.runId, team.sql)
})

test('a rollback that began under one hold does not continue under a later one', async () => {
  const { runId } = await invoke(EVENT)
  await invoke({ hold: 'something is wrong with that run' })
  const event = { rollback: runId, execute: true, concurrency: 1, underHold: true, reason: 'take it back' }
  const part = await invoke(event, timeForPages(1))
  expect(part).toMatchObject({ status: 'incomplete' })
  await invoke({ release: 'fine' })
  await invoke({ hold: 'the rollback is wrong' })
  const before = await state()
  expect(await invoke({ resume: part.runId })).toMatchObject({
    status: 'held',
    why: expect.stringContaining('the rollback is wrong'),
  })
  expect(await state()).toEqual(before)
  await invoke({ release: 'the rollback is right' })
  expect(await invoke({ resume: part.runId })).toMatchObject({ status: 'complete' })
})

test('a hold that cannot be read counts as held, and a release writes it again', async () => {
  await putText(bucket, 'control/hold.json', '{"held": fal')
  expect(await invoke(EVENT)).toMatchObject({ status: 'held', why: expect.stringContaining('is damaged') })
  await invoke({ release: 'written again' })
  expect(await invoke(EVENT)).toMatchObject({ status: 'complete' })
})

test.each(['control/writer.json', 'its cursor'])(
  'a hold is set and says so, also where %s is damaged',
  async (which) => {
    const { runId } = await invoke(EVENT, timeForPages(1))
    const isWriter = which === 'control/writer.json'
    await putText(bucket, isWriter ? which : `runs/${runId}/cursor.json`, '{"run')
    expect(await invoke({ hold: 'stop everything' })).toMatchObject({
      answer: 'hold',
      result: 'held',
      openRun: isWriter ? null : { runId, mayCommitUntil: null },
      problem: expect.stringMatching(/^it is not known (which run is open|until when the open run)/),
    })
    expect(await readDocument(bucket, 'control/hold.json')).toMatchObject({ held: true })
  },
)

test('a late release does not lift a newer hold', async () => {
  await invoke({ hold: 'the first' })
  let isFirst = true
  team.s3.setHooks(bucket.bucket, {
    before: async ({ method, key }) => {
      if (method !== 'PUT' || key !== 'control/hold.json' || !isFirst) return
      isFirst = false
      await invoke({ hold: 'a newer one', by: 'Ada' })
    },
  })
  expect(await invoke({ release: 'of the first' })).toMatchObject({
    answer: 'release',
    result: 'held',
    by: 'Ada',
    reason: 'a newer one',
  })
})

/** Releases while a hold is being written, up to so many times. */
function releaseBetween(times: number): void {
  let released = 0
  let isReleasing = false
  team.s3.setHooks(bucket.bucket, {
    before: async ({ method, key }) => {
      if (method !== 'PUT' || key !== 'control/hold.json' || isReleasing || released === times) return
      isReleasing = true
      await invoke({ release: `release ${++released}`, by: 'Bea' })
      isReleasing = false
    },
  })
}

test('a hold that loses to a release at the same time is set nevertheless', async () => {
  releaseBetween(2)
  expect(await invoke({ hold: 'stop everything', by: 'Ada' })).toMatchObject({
    answer: 'hold',
    result: 'held',
    by: 'Ada',
    reason: 'stop everything',
  })
  expect(await readDocument(bucket, 'control/hold.json')).toMatchObject({ held: true, by: 'Ada' })
})

test('a hold that loses to releases again and again fails, and says that writing is not held', async () => {
  releaseBetween(Infinity)
  expect(await failureOf(invoke({ hold: 'stop everything', by: 'Ada' }))).toMatchObject({
    name: 'ArchiveUnavailable',
    message: expect.stringContaining('Writing is not held. Send the payload again.'),
  })
  expect(await readDocument(bucket, 'control/hold.json')).toMatchObject({ held: false, by: 'Bea' })
})

test('of two holds at the same time the first one stays, and both answers name it', async () => {
  const answers: unknown[] = []
  team.s3.setHooks(bucket.bucket, {
    before: async ({ method, key }) => {
      if (method !== 'PUT' || key !== 'control/hold.json' || answers.length > 0) return
      answers.push('asked')
      answers[0] = await invoke({ hold: 'the first', by: 'Ada' })
    },
  })
  answers.push(await invoke({ hold: 'the second', by: 'Bea' }))
  expect(answers).toMatchObject([
    { result: 'held', by: 'Ada', reason: 'the first' },
    { result: 'held', by: 'Ada', reason: 'the first' },
  ])
})

test('a hold that is set while an execute opens its run keeps that run from writing', async () => {
  let isFirst = true
  team.s3.setHooks(bucket.bucket, {
    before: async ({ method, key }) => {
      if (method !== 'PUT' || key !== 'control/writer.json' || !isFirst) return
      isFirst = false
      await invoke({ hold: 'just in time' })
    },
  })
  const before = await state()
  const card = await invoke(EVENT)
  expect(card).toMatchObject({ status: 'incomplete', why: expect.stringContaining('just in time') })
  expect(await state()).toEqual(before)
})

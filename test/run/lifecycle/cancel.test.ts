import { expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { auditRun } from '../../support/audit-run.ts'
import { betweenReadAndWrite, dieAt, isIntent, isUsersPart, revive } from '../../support/between.ts'
import { keys } from '../../support/bucket.ts'
import { setClock } from '../../support/clock.ts'
import { failureOf } from '../../support/job.ts'
import { dump } from '../../support/ledger.ts'
import { openRunId, readDocument } from '../../support/logs.ts'
import { bucket, EVENT, invoke, team, useSixUsers } from '../../support/places/six-users.ts'
import { timeForPages } from '../../support/stops.ts'
import { LATER } from '../../support/places/team.ts'

useSixUsers()

const expiredUsers = async () =>
  (await dump(team.sql)).users.filter((user) => user.total_microdollars_acquired === '0').length

test('an open run without a holder is closed, with what was done and what was not; again returns the card', async () => {
  const open = await invoke(EVENT, timeForPages(1))
  const card = await invoke({ cancel: open.runId, by: 'Ada' })
  expect(card).toMatchObject({
    runId: open.runId,
    status: 'cancelled',
    why: expect.stringMatching(/^cancelled by Ada at /),
    totals: { usersProcessed: 2, usersNotReached: 4 },
    next: { payload: { rollback: open.runId } },
  })
  expect(await readDocument(bucket, 'control/writer.json')).toMatchObject({ runId: null })
  const { users } = await auditRun(bucket, open.runId, team.sql)
  expect(users.map(({ user_id, outcome }) => [user_id, outcome])).toEqual([
    ['user-1', 'expired'],
    ['user-2', 'expired'],
    ['user-3', 'not_reached'],
    ['user-4', 'not_reached'],
  ])
  expect(await expiredUsers()).toBe(2)
  for (const event of [{ cancel: open.runId }, { resume: open.runId }, { status: open.runId }])
    expect(await invoke(event)).toEqual(card)
})

test('a live holder stops after the pages in flight and closes; the cancelling invocation gets its card', async () => {
  const cancelled: Promise<ExitCard>[] = []
  betweenReadAndWrite(team.s3, bucket, async (nth) => {
    if (nth !== 2) return
    const runId = await openRunId(bucket)
    cancelled.push(invoke({ cancel: runId }))
    // The request is stored before the page continues.
    while ((await keys(bucket, `runs/${runId}/cancel.json`)).length === 0)
      await new Promise((resolve) => setTimeout(resolve, 5))
  })
  const held = await invoke(EVENT)
  expect(held).toMatchObject({ status: 'cancelled', totals: { usersProcessed: 4, usersNotReached: 2 } })
  expect(await Promise.all(cancelled)).toEqual([held])
  expect(await expiredUsers()).toBe(4)
  await auditRun(bucket, held.runId, team.sql)
})

test.each([
  ['before the intent of its second page was stored', 2, isIntent],
  ['after its second page was committed', 4, isUsersPart],
])(
  'a holder that died %s: not before its lease expires; what it committed is in the log',
  async (_when, processed, which) => {
    let seen = 0
    dieAt(team.s3, bucket, (request) => which(request) && ++seen === 2)
    await failureOf(invoke(EVENT))
    revive(team.s3, bucket)
    const runId = await openRunId(bucket)
    const busy = await invoke({ cancel: runId }, { timeLeft: () => 14_000 })
    expect(busy).toMatchObject({
      status: 'busy',
      why: expect.stringContaining('lease expires at 2026-11-22T06:15'),
      next: { payload: { cancel: runId } },
    })
    await setClock(team.sql, LATER)
    const card = await invoke({ cancel: runId })
    expect(card).toMatchObject({
      status: 'cancelled',
      totals: { usersProcessed: processed, usersNotReached: 6 - processed },
    })
    expect(await expiredUsers()).toBe(processed)
    const { users, mutations } = await auditRun(bucket, card.runId, team.sql)
    expect(users.filter(({ recovered }) => recovered === true)).toHaveLength(processed - 2)
    expect(new Set(mutations.map(({ user_id }) => user_id)).size).toBe(processed)
  },
)

test('the reason is kept with the request, and is in the final status without e-mail addresses', async () => {
  const open = await invoke(EVENT, timeForPages(1))
  const asked = { by: 'ada@kilo.ai', reason: 'bob@kilo.ai asked for it' }
  const card = await invoke({ cancel: open.runId, ...asked })
  expect(await readDocument(bucket, `runs/${open.runId}/cancel.json`)).toMatchObject(asked)
  expect(card).toMatchObject({
    status: 'cancelled',
    why: expect.stringMatching(/^cancelled by ada at \S+: \S+ asked for it$/),
  })
  expect(card.why).not.toContain('@')
  expect(await readDocument(bucket, `runs/${open.runId}/summary.json`)).toEqual(card)
})

test('a dry run too, which then is no plan', async () => {
  const open = await invoke({ batchSize: 2, concurrency: 1 }, timeForPages(1))
  expect(await invoke({ cancel: open.runId })).toMatchObject({
    mode: 'dry-run',
    status: 'cancelled',
    totals: { usersProcessed: 2, usersNotReached: 4 },
  })
  await auditRun(bucket, open.runId)
  expect(await failureOf(invoke({ execute: true, plan: open.runId }))).toMatchObject({
    name: 'RunRefused',
    message: expect.stringContaining('it is cancelled'),
  })
})

test('an unknown run is refused with the nearest ids', async () => {
  const { runId } = await invoke({})
  const near = runId.slice(0, -1) + (runId.endsWith('x') ? 'y' : 'x')
  for (const event of [{ cancel: near }, { resume: near }]) {
    expect(await failureOf(invoke(event))).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining(`Did you mean ${runId}?`),
    })
  }
})

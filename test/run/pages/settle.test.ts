import { expect, test } from 'vitest'
import { attemptName } from '../../../lambda/archive/keys.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import type { Fate } from '../../faults/proxy.ts'
import {
  countIntents,
  gate,
  goOnUntilClosed,
  isCommitOfApply,
  isOutcome,
  openRun,
} from '../../faults/stall.ts'
import { keys, readJson, readLines } from '../../support/bucket.ts'
import { type LogLine, readIntents } from '../../support/logs.ts'
import { EVENT, place, s3, steer, useScenarioPlaces } from '../../support/scenario-place.ts'
import { dieAt, expectWholeAndTrue, nthCommit, recoveredOf, revive } from './cut-off.ts'

useScenarioPlaces()

test.each<[string, Fate, number]>([
  ['took effect', 'lose', 1],
  ['never arrived', 'fail', 2],
])(
  'a COMMIT whose reply is lost, and which %s, is settled at once by the same invocation',
  async (_what, fate, attempts) => {
    steer.decide = nthCommit(1, fate)
    const card = await place.disturbed(EVENT)
    const { users } = await expectWholeAndTrue(card as ExitCard)
    expect(recoveredOf(users)).toEqual([])
    const intents = await readIntents(place.bucket, card.runId)
    expect(intents.filter(({ key }) => key.startsWith('000000-'))).toHaveLength(attempts)
  },
)

test('a commit that lands late, while the next invocation settles: its users are neither failed nor planned again', async () => {
  const held = gate()
  steer.decide = async (trip): Promise<Fate> => {
    if (isCommitOfApply(trip)) await held.hold()
    return 'pass'
  }
  const first = place.disturbed(EVENT)
  await held.reached
  const runId = await openRun(place)
  await place.later()

  const second = await place.direct(EVENT)
  expect(second).toMatchObject({
    runId,
    status: 'incomplete',
    why: expect.stringContaining('4 users of page 0 are locked'),
    totals: { usersFailed: 0, usersProcessed: 0 },
  })
  expect(second.why).toContain('lease lapses at')
  const cursor = (await readJson(place.bucket, `runs/${runId}/cursor.json`)) as {
    lease: { epoch: number; expiresAt: string }
  }
  expect(cursor).toMatchObject({ lease: { epoch: 2 }, finished: [], closing: null })
  expect(second.why).toContain(cursor.lease.expiresAt)
  expect(await countIntents(place, runId)).toBe(1)
  // It keeps its lease: nobody comes in between.
  expect(await place.direct(EVENT)).toMatchObject({ status: 'busy' })

  held.open()
  expect(await first).toMatchObject({ status: 'busy' })
  const { users } = await expectWholeAndTrue(await goOnUntilClosed(place))
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('a commit that lands while somebody already waits for it is found by that invocation', async () => {
  const held = gate()
  steer.decide = async (trip): Promise<Fate> => {
    if (isCommitOfApply(trip)) await held.hold()
    return 'pass'
  }
  const first = place.disturbed(EVENT)
  await held.reached
  await place.later()
  // The read of the intent is what comes before the locks.
  s3.setHooks(place.bucket.bucket, {
    after: ({ method, key }) =>
      method === 'GET' && key.endsWith('-intent.jsonl') ? void setTimeout(() => held.open(), 100) : undefined,
  })
  const card = await place.direct(EVENT)
  expect(await first).toMatchObject({ status: 'busy' })
  const { users } = await expectWholeAndTrue(card)
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('recovered lines are the planned outcome lines of the attempt, marked; so are their mutations', async () => {
  dieAt(isOutcome)
  await place.disturbed(EVENT)
  revive()
  const runId = await openRun(place)
  const intent = (await readLines(
    place.bucket,
    `segments/${runId}/${attemptName(0, 1, 1)}-intent.jsonl`,
  )) as LogLine[]
  const planned = intent.filter((line) => 'row_ids' in line) as { user_id: string; line: LogLine }[]
  const { users, mutations } = await expectWholeAndTrue(await goOnUntilClosed(place))
  expect(planned.map(({ user_id }) => user_id)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
  expect(recoveredOf(users)).toEqual(planned.map(({ user_id }) => user_id))
  expect(users.filter((line) => line.recovered)).toEqual(
    planned.map(({ line }) => ({ ...line, recovered: true })),
  )
  expect(mutations.filter((line) => line.attempt === attemptName(0, 1, 1))).toEqual(
    intent.filter((line) => 'row_id' in line),
  )
})

test('a page finished beyond an unfinished one: the one is settled, the other left as it is', async () => {
  const held = gate()
  steer.decide = async (trip): Promise<Fate> => {
    if (isCommitOfApply(trip)) await held.hold()
    return 'pass'
  }
  const first = place.disturbed({ ...EVENT, concurrency: 2 })
  await held.reached
  const runId = await openRun(place)
  await untilPagesFinished(runId, 2)
  const cursor = (await readJson(place.bucket, `runs/${runId}/cursor.json`)) as {
    finished: { from: number; to: number }[]
  }
  const missing = [0, 1, 2].find(
    (page) => !cursor.finished.some(({ from, to }) => from <= page && page <= to),
  )
  expect(missing).toBeLessThan(2)
  const before = await segmentsBut(runId, missing)

  dieAt(() => true)
  held.open()
  await first
  revive()
  const { users } = await expectWholeAndTrue(await goOnUntilClosed(place))
  expect(recoveredOf(users).length).toBeGreaterThan(0)
  expect(
    recoveredOf(users).every((id) => Math.floor((Number(String(id).slice(5)) - 1) / 4) === missing),
  ).toBe(true)
  expect(users.map((line) => line.user_id)).toEqual(users.map((line) => String(line.user_id)).toSorted())
  expect(await segmentsBut(runId, missing)).toEqual(before)
})

async function untilPagesFinished(runId: string, pages: number): Promise<void> {
  for (;;) {
    const { finished } = (await readJson(place.bucket, `runs/${runId}/cursor.json`)) as {
      finished: { from: number; to: number }[]
    }
    if (finished.reduce((sum, { from, to }) => sum + to - from + 1, 0) >= pages) return
  }
}

async function segmentsBut(runId: string, page: number | undefined): Promise<string[]> {
  return (await keys(place.bucket, `segments/${runId}/`)).filter((key) => !key.includes(`/00000${page}-`))
}

import { expect, test } from 'vitest'
import { attemptName } from '../../../lambda/archive/keys.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import type { Fate } from '../../faults/proxy.ts'
import { gate, resumeUntilClosed, isCommitOfApply } from '../../faults/stall.ts'
import { dieAt, isUsersPart, revive } from '../../support/between.ts'
import { putText, readText } from '../../support/bucket.ts'
import { failureOf } from '../../support/job.ts'
import { insertTransaction } from '../../support/ledger.ts'
import { openRunId, readIntents, readStoredCursor } from '../../support/logs.ts'
import { EVENT, place, s3, steer, useScenarioPlaces } from '../../support/places/scenario-place.ts'
import { expectWholeAndTrue, nthCommit, recoveredOf } from './cut-off.ts'

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
    expect(intents.filter(({ attempt }) => attempt.startsWith('00000-'))).toHaveLength(attempts)
  },
)

test('a commit that arrives late, while the next invocation settles: its users are neither failed nor planned again', async () => {
  const held = gate()
  steer.decide = async (trip): Promise<Fate> => {
    if (isCommitOfApply(trip)) await held.hold()
    return 'pass'
  }
  const first = place.disturbed(EVENT)
  await held.reached
  const runId = await openRunId(place.bucket)
  await place.later()

  const second = await place.direct(EVENT)
  expect(second).toMatchObject({
    runId,
    status: 'incomplete',
    why: expect.stringContaining('4 users of page 0 are locked'),
    totals: { usersFailed: 0, usersProcessed: 0 },
  })
  expect(second.why).toContain('The lease expires at')
  const cursor = await readStoredCursor(place.bucket, runId)
  expect(cursor).toMatchObject({ state: 'open', lease: { epoch: 2 }, pages: [], finalStatus: null })
  expect(second.why).toContain(cursor.lease?.expiresAt)
  expect(await readIntents(place.bucket, runId)).toHaveLength(1)
  // It keeps its lease, so that no other invocation comes in between.
  expect(await place.direct(EVENT)).toMatchObject({ status: 'busy' })

  held.open()
  expect(await first).toMatchObject({ status: 'busy' })
  const { users } = await expectWholeAndTrue(await resumeUntilClosed(place))
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('a commit that arrives while another invocation waits for it is found by that invocation', async () => {
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
      method === 'GET' && key.startsWith('intents/') ? void setTimeout(() => held.open(), 100) : undefined,
  })
  const card = await place.direct(EVENT)
  expect(await first).toMatchObject({ status: 'busy' })
  const { users } = await expectWholeAndTrue(card)
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('recovered lines are planned again from the inputs of the intent, and marked; so are their mutations', async () => {
  dieAt(s3, place.bucket, isUsersPart)
  await place.disturbed(EVENT)
  revive(s3, place.bucket)
  const { users, mutations } = await expectWholeAndTrue(await resumeUntilClosed(place))
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
  const first = attemptName(0, 1, 1)
  for (const line of users.filter(({ recovered }) => recovered === true)) expect(line.attempt).toBe(first)
  expect(new Set(mutations.filter(({ attempt }) => attempt === first).map((line) => line.user_id))).toEqual(
    new Set(recoveredOf(users)),
  )
})

test('an intent that was planned by other rules is refused by name, and nothing is logged', async () => {
  dieAt(s3, place.bucket, isUsersPart)
  await place.disturbed(EVENT)
  revive(s3, place.bucket)
  const runId = await openRunId(place.bucket)
  const key = `intents/${runId}/${attemptName(0, 1, 1)}.jsonl`
  const good = await readText(place.bucket, key)
  await putText(place.bucket, key, good.replace(/"digest":"[0-9a-f]{8}/, '"digest":"00000000'))
  await place.later()
  const refused = await failureOf(place.direct(EVENT))
  expect(refused.name).toBe('PlannedByOtherVersion')
  expect(refused.message).toContain(key)
  expect(refused.message).toContain(`{"resume": "${runId}"}`)
  expect(await readStoredCursor(place.bucket, runId)).toMatchObject({ pages: [], lease: null })
  expect(await readIntents(place.bucket, runId)).toHaveLength(1)
  await putText(place.bucket, key, good)
  await expectWholeAndTrue(await resumeUntilClosed(place))
})

test('a user with closing rows of an organization is settled by the same digest', async () => {
  await insertTransaction(place.sql, {
    kilo_user_id: 'user-01',
    amount_microdollars: -1,
    credit_category: 'credits_expired',
    organization_id: '00000000-0000-4000-8000-000000000001',
  })
  dieAt(s3, place.bucket, isUsersPart)
  await place.disturbed(EVENT)
  revive(s3, place.bucket)
  const { users } = await expectWholeAndTrue(await resumeUntilClosed(place))
  expect(recoveredOf(users)).toContain('user-01')
})

test('a page that was named beyond an open one: the open one is settled, the other stays as it is', async () => {
  const held = gate()
  steer.decide = async (trip): Promise<Fate> => {
    if (isCommitOfApply(trip)) await held.hold()
    return 'pass'
  }
  const first = place.disturbed({ ...EVENT, concurrency: 2 })
  await held.reached
  const runId = await openRunId(place.bucket)
  await untilPagesNamed(runId, 2)
  const named = (await readStoredCursor(place.bucket, runId)).pages
  const missing = [0, 1, 2].find((page) => !named.some((one) => one.page === page))
  expect(missing).toBeLessThan(2)

  dieAt(s3, place.bucket, () => true)
  held.open()
  await first
  revive(s3, place.bucket)
  const { users } = await expectWholeAndTrue(await resumeUntilClosed(place))
  expect(recoveredOf(users).length).toBeGreaterThan(0)
  for (const id of recoveredOf(users)) expect(Math.floor((Number(String(id).slice(5)) - 1) / 4)).toBe(missing)
  expect(users.map((line) => line.user_id)).toEqual(users.map((line) => String(line.user_id)).toSorted())
  expect((await readStoredCursor(place.bucket, runId)).pages).toEqual(expect.arrayContaining(named))
})

async function untilPagesNamed(runId: string, pages: number): Promise<void> {
  while ((await readStoredCursor(place.bucket, runId)).pages.length < pages)
    await new Promise((resolve) => setTimeout(resolve, 5))
}

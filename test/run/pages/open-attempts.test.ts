import { expect, test } from 'vitest'
import type { S3Request } from '../../../bin/sandbox/s3.ts'
import { attemptName } from '../../../lambda/archive/keys.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { gate, resumeUntilClosed } from '../../faults/stall.ts'
import { auditAndLogs } from '../../support/audit.ts'
import { dieAt, isIntent, isUsersPart, revive } from '../../support/between.ts'
import { dump } from '../../support/ledger.ts'
import { openRunId, readIntents, readStoredCursor } from '../../support/logs.ts'
import { EVENT, place, s3, steer, useScenarioPlaces } from '../../support/places/scenario-place.ts'
import { expectWholeAndTrue, nthCommit, recoveredOf } from './cut-off.ts'

useScenarioPlaces()

test('users that another transaction keeps locked: the invocation ends incomplete, keeping its lease; none failed or planned again', async () => {
  steer.decide = nthCommit(1, 'fail')
  // The first attempt was not committed; the intent of the second never arrives.
  dieAt(
    s3,
    place.bucket,
    ({ method, key }) => method === 'PUT' && key.endsWith(`${attemptName(0, 1, 2)}.jsonl`),
  )
  await place.disturbed(EVENT)
  revive(s3, place.bucket)
  const runId = await openRunId(place.bucket)
  await place.later()
  const card = await place.sql.begin(async (tx) => {
    await tx`SELECT FROM kilocode_users WHERE id = 'user-02' FOR UPDATE`
    return place.direct({ resume: runId })
  })
  expect(card).toMatchObject({
    status: 'incomplete',
    why: expect.stringContaining('1 users of page 0 are locked'),
    totals: { usersFailed: 0, usersProcessed: 0 },
  })
  expect(await readStoredCursor(place.bucket, runId)).toMatchObject({ lease: { epoch: 2 } })
  expect(await readIntents(place.bucket, runId)).toHaveLength(1)
  const { users } = await expectWholeAndTrue(await resumeUntilClosed(place))
  expect(recoveredOf(users)).toEqual([])
})

test('a committed user is found without a lock on the row', async () => {
  dieAt(s3, place.bucket, isUsersPart)
  await place.disturbed(EVENT)
  revive(s3, place.bucket)
  await place.later()
  const card = await place.sql.begin(async (tx) => {
    await tx`SELECT FROM kilocode_users WHERE id = 'user-02' FOR UPDATE`
    return place.direct(EVENT)
  })
  const { users } = await expectWholeAndTrue(card)
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('attempts of several invocations on one page: each user has the one that committed', async () => {
  // User 2 is locked while the first invocation works, user 4 while the second does; both die before their
  // outcome.
  const dieBusy = (user: string) =>
    place.sql.begin(async (tx) => {
      await tx`SELECT FROM kilocode_users WHERE id = ${user} FOR UPDATE`
      dieAt(
        s3,
        place.bucket,
        ({ method, key }) => method === 'PUT' && key.endsWith(`${attemptName(0, 1, 2)}.jsonl`),
      )
      await place.disturbed(EVENT)
      revive(s3, place.bucket)
    })
  await dieBusy('user-02')
  const runId = await openRunId(place.bucket)
  await place.later()
  await place.sql`UPDATE kilocode_users SET microdollars_used = microdollars_used + 1 WHERE id = 'user-12'`
  // Not at the part of the first invocation, which the second one empties.
  dieAt(s3, place.bucket, (request) => isUsersPart(request) && request.key.endsWith('-0002.jsonl'))
  await place.disturbed(EVENT)
  revive(s3, place.bucket)
  const { users, mutations } = await expectWholeAndTrue(await resumeUntilClosed(place))
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
  const attemptOf = (user: string) => [
    ...new Set(mutations.filter((line) => line.user_id === user).map((line) => line.attempt)),
  ]
  expect(attemptOf('user-01')).toEqual([attemptName(0, 1, 1)])
  expect(attemptOf('user-02')).toEqual([attemptName(0, 2, 1)])
  expect(
    (await readIntents(place.bucket, runId))
      .filter(({ attempt }) => attempt.startsWith('00000-'))
      .map(({ userIds }) => userIds),
  ).toEqual([['user-01', 'user-02', 'user-03', 'user-04'], ['user-02']])
})

test('an attempt counts as not done only past the lease of its holder, whichever lease was released since', async () => {
  // The first stalls once its intent is stored; the second takes the run over, and releases it when S3 fails.
  const stalled = gate()
  s3.setHooks(place.bucket.bucket, {
    after: async (request) => (isIntent(request) ? stalled.hold() : undefined),
  })
  const first = place.disturbed(EVENT)
  await stalled.reached
  const runId = await openRunId(place.bucket)
  await place.later()
  s3.setHooks(place.bucket.bucket, {
    before: ({ method, key }) =>
      method === 'GET' && key.startsWith('intents/') ? { status: 403, code: 'AccessDenied' } : undefined,
  })
  await expect(place.direct({ resume: runId })).rejects.toMatchObject({ name: 'ArchiveUnavailable' })
  revive(s3, place.bucket)
  expect(await readStoredCursor(place.bucket, runId)).toMatchObject({ epoch: 2, lease: null })

  await place.later('-1 hour')
  expect(await place.direct({ resume: runId })).toMatchObject({
    status: 'incomplete',
    why: expect.stringContaining('may commit until'),
    totals: { usersFailed: 0, usersProcessed: 0 },
  })
  stalled.open()
  expect(await first).toMatchObject({ status: 'busy' })
  const { users } = await expectWholeAndTrue(await resumeUntilClosed(place))
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('where a holder released its lease, the next one need not wait for it to expire', async () => {
  s3.setHooks(place.bucket.bucket, {
    before: (request) => (isUsersPart(request) ? { status: 403, code: 'AccessDenied' } : undefined),
  })
  expect(await place.disturbed(EVENT)).toMatchObject({ status: 'ArchiveUnavailable' })
  const runId = await openRunId(place.bucket)
  dieAt(s3, place.bucket, ({ method, key }) => method === 'GET' && key.includes('/pages/'))
  await place.disturbed(EVENT, () => 60_000)
  revive(s3, place.bucket)
  // Past the lease of the second, which died, and not past that of the first.
  await place.later('3 minutes')
  const { users } = await expectWholeAndTrue(await place.direct({ resume: runId }))
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('a settling whose own replies are lost settles all the same', async () => {
  dieAt(s3, place.bucket, isUsersPart)
  await place.disturbed(EVENT)
  revive(s3, place.bucket)
  await place.later()
  let lost = 0
  steer.decide = ({ what, previous }) =>
    what === 'database: commit' && previous === 'find transactions' && ++lost <= 2 ? 'lose' : 'pass'
  const card = await place.disturbed(EVENT)
  expect(lost).toBeGreaterThan(2)
  const { users } = await expectWholeAndTrue(card as ExitCard)
  expect(recoveredOf(users)).toEqual(['user-01', 'user-02', 'user-03', 'user-04'])
})

test('connections that the server closes for being idle: the run continues over new ones', async () => {
  await place.sql.unsafe(
    `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET idle_session_timeout = 2000', ` +
      'current_database()); END $$',
  )
  // Both pages in flight wait, for longer than a busy machine leaves a connection alone between two statements.
  let waits = 0
  s3.setHooks(place.bucket.bucket, {
    before: (request) =>
      isUsersPart(request) && waits++ < 2 ? new Promise((resolve) => setTimeout(resolve, 4_000)) : undefined,
  })
  const { users } = await expectWholeAndTrue((await place.disturbed(EVENT)) as ExitCard)
  const ended = async () =>
    (await place.sql`select sessions_fatal from pg_stat_database where datname = current_database()`)[0]
  await expect.poll(ended, { timeout: 60_000 }).not.toEqual({ sessions_fatal: '0' })
  expect(recoveredOf(users)).toEqual([])
})

test('a run that is cancelled with attempts open: what was committed is in the log, the others are not reached', async () => {
  dieAt(s3, place.bucket, isUsersPart)
  await place.disturbed(EVENT)
  revive(s3, place.bucket)
  const runId = await openRunId(place.bucket)
  await place.later()
  const card = await place.direct({ cancel: runId })
  expect(card).toMatchObject({ status: 'cancelled', totals: { usersProcessed: 4, usersNotReached: 8 } })
  const { database, logs } = await auditAndLogs(place.sql, place.bucket, [runId])
  expect(logs).toEqual(database)
  expect((await dump(place.sql)).users).toHaveLength(12)
})

test('an intent that comes late, of a holder that lost its lease, does not keep a run from being closed', async () => {
  // The first stalls with its intent on its way; the second cancels, and is cut off while it closes.
  const held = gate()
  let intents = 0
  const closing = ({ method, key }: S3Request) => method === 'PUT' && key.endsWith('/manifest.json')
  s3.setHooks(place.bucket.bucket, {
    before: async (request) => {
      if (isIntent(request) && ++intents === 2) await held.hold()
      return closing(request) ? { status: 403, code: 'AccessDenied' } : undefined
    },
  })
  const first = place.disturbed(EVENT)
  await held.reached
  const runId = await openRunId(place.bucket)
  await place.later()
  const cut = await place.direct({ cancel: runId }).catch((error: unknown) => error)
  expect(cut).toMatchObject({ name: 'ArchiveUnavailable' })
  held.open()
  expect(await first).toMatchObject({ status: 'busy' })
  revive(s3, place.bucket)
  await place.later()
  expect(await place.direct({ cancel: runId })).toMatchObject({
    status: 'cancelled',
    totals: { usersProcessed: 4, usersNotReached: 8 },
  })
  const { database, logs } = await auditAndLogs(place.sql, place.bucket, [runId])
  expect(logs).toEqual(database)
})

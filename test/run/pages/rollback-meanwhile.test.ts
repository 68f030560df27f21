import { expect, test } from 'vitest'
import { auditRun } from '../../support/audit-run.ts'
import { betweenReadAndWrite, dieAt, isIntent, isUsersPart, revive } from '../../support/between.ts'
import { setClock } from '../../support/clock.ts'
import { failureOf } from '../../support/job.ts'
import { openRunId } from '../../support/logs.ts'
import { bucket, EVENT, invoke, state, team, useSixUsers } from '../../support/places/six-users.ts'
import { LATER } from '../../support/places/team.ts'

/** What changes between the read and the write of a rollback, or between its crash and its resume. */
useSixUsers()

const outcomesOf = async (runId: string) => {
  const { users } = await auditRun(bucket, runId, team.sql)
  return Object.fromEntries(users.map(({ user_id, outcome }) => [String(user_id), outcome]))
}

const rowsOf = async (userId: string) => {
  const { users, transactions } = await state()
  return [users.find(({ id }) => id === userId), transactions.filter((row) => row.kilo_user_id === userId)]
}

/** Does something once, after the first read of a rollback and before its write. */
function onceBetween(change: () => Promise<void>): void {
  betweenReadAndWrite(team.s3, bucket, async (nth) => (nth === 1 ? change() : undefined))
}

test('an inserted row that changes after it was read is not deleted: its user is skipped', async () => {
  const { runId } = await invoke({ execute: true })
  let changed: unknown
  onceBetween(async () => {
    await team.sql`
      UPDATE credit_transactions SET stripe_payment_id = 'ch_1', description = 'disputed'
      WHERE kilo_user_id = 'user-1' AND credit_category = 'credits_expired'`
    changed = await rowsOf('user-1')
  })
  const card = await invoke({ rollback: runId, execute: true })
  expect(card.totals.outcomes).toEqual({ rolled_back: 5, changed_since: 1 })
  expect(await outcomesOf(card.runId)).toMatchObject({ 'user-1': 'changed_since' })
  expect(await rowsOf('user-1')).toEqual(changed)
})

test('a grant that becomes one of an organization after it was read: its user is skipped', async () => {
  const { runId } = await invoke({ execute: true })
  let changed: unknown
  onceBetween(async () => {
    await team.sql`
      UPDATE credit_transactions SET organization_id = gen_random_uuid()
      WHERE kilo_user_id = 'user-1' AND amount_microdollars > 0`
    changed = await rowsOf('user-1')
  })
  const card = await invoke({ rollback: runId, execute: true })
  expect(await outcomesOf(card.runId)).toMatchObject({ 'user-1': 'changed_since', 'user-2': 'rolled_back' })
  expect(await rowsOf('user-1')).toEqual(changed)
})

test('a rollback with a grant of an organization by now is resumed after it died past its commit', async () => {
  const { runId } = await invoke(EVENT)
  await team.sql`
    UPDATE credit_transactions SET organization_id = gen_random_uuid()
    WHERE kilo_user_id = 'user-1' AND amount_microdollars > 0`
  dieAt(team.s3, bucket, isUsersPart)
  await failureOf(invoke({ rollback: runId, execute: true }))
  revive(team.s3, bucket)
  await setClock(team.sql, LATER)
  const card = await invoke({ resume: await openRunId(bucket) })
  expect(card).toMatchObject({ mode: 'rollback', status: 'complete' })
  expect(await outcomesOf(card.runId)).toMatchObject({ 'user-1': 'changed_since', 'user-2': 'rolled_back' })
})

test('a user that a rollback did not commit, and whose rows are purged before it is resumed, is not logged as rolled back', async () => {
  const { runId } = await invoke({ execute: true })
  let intents = 0
  team.s3.setHooks(bucket.bucket, {
    before: async (request) => {
      if (isIntent(request) && ++intents === 1)
        await team.sql`
          UPDATE kilocode_users SET total_microdollars_acquired = total_microdollars_acquired + 1000000
          WHERE id = 'user-1'`
      // The second attempt is of the user whose total moved.
      return intents > 1 ? 'drop' : undefined
    },
  })
  await failureOf(invoke({ rollback: runId, execute: true }))
  revive(team.s3, bucket)
  await team.sql`DELETE FROM credit_transactions WHERE kilo_user_id = 'user-1'`
  const purged = await rowsOf('user-1')
  await setClock(team.sql, LATER)
  const card = await invoke({ resume: await openRunId(bucket) })
  const { mutations } = await auditRun(bucket, card.runId, team.sql)
  expect(mutations.filter(({ user_id }) => user_id === 'user-1')).toEqual([])
  const outcomes = await outcomesOf(card.runId)
  expect(outcomes).toMatchObject({ 'user-2': 'rolled_back' })
  expect(outcomes['user-1']).not.toBe('rolled_back')
  expect(await rowsOf('user-1')).toEqual(purged)
})

import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DiffAnswer } from '../../lambda/insight/diff.ts'
import { setClock } from '../support/clock.ts'
import { type InvocationOptions, invokeJob } from '../support/job.ts'
import { insertTransaction, insertUser } from '../support/ledger.ts'
import { timeForPages } from '../support/stops.ts'
import { freshTeam, LATER, type Team } from '../support/places/team.ts'

const USD = 1_000_000
const PAST = '2026-01-01T00:00:00Z'

let team: Team
beforeEach(async () => {
  team = await freshTeam(4)
})
afterEach(() => team.drop())

const invoke = (event: object, options?: InvocationOptions) =>
  invokeJob({ databaseUrl: team.url, bucket: team.bucket }, event, options)
const diff = async (first: string, second: string) =>
  (await invoke({ diff: [first, second] })) as unknown as DiffAnswer
const user = (id: string) => expect.objectContaining({ userId: id })

test('names new, gone and changed users, grant by grant, and the difference in dollars', async () => {
  const [kept] = await team.sql<
    [{ id: string }]
  >`select id from credit_transactions where kilo_user_id = 'user-2'`
  const first = await invoke({ batchSize: 2 })
  await team.sql`delete from credit_transactions where kilo_user_id = 'user-1'`
  await team.sql`update kilocode_users set microdollars_used = 4000000 where id = 'user-2'`
  const added = await insertTransaction(team.sql, {
    kilo_user_id: 'user-3',
    amount_microdollars: 3 * USD,
    credit_category: 'promo',
    created_at: PAST,
  })
  await team.sql`
    update kilocode_users set total_microdollars_acquired = total_microdollars_acquired + 3000000 where id = 'user-3'`
  await insertUser(team.sql, { id: 'user-9', total_microdollars_acquired: 5 * USD, created_at: PAST })
  await insertTransaction(team.sql, {
    kilo_user_id: 'user-9',
    amount_microdollars: 5 * USD,
    created_at: PAST,
  })
  await setClock(team.sql, LATER)
  const second = await invoke({})
  const answer = await diff(first.runId, second.runId)
  expect(answer).toMatchObject({
    answer: 'diff',
    result: 'different',
    runIds: [first.runId, second.runId],
    users: { new: 1, gone: 1, changed: 2 },
    grants: { new: 2, gone: 1, changed: 1 },
    expired: { first: '$40.00', second: '$34.00', difference: '-$6.00' },
    differencesOmitted: 0,
    next: { payload: { status: second.runId } },
  })
  expect(answer.differences).toEqual([
    expect.objectContaining({
      what: 'gone',
      userId: 'user-1',
      email: 'user-1@kilo.ai',
      outcome: { first: 'expired', second: 'no_targeted_grant' },
    }),
    expect.objectContaining({
      what: 'changed',
      userId: 'user-2',
      grants: [
        {
          what: 'changed',
          id: kept.id,
          category: 'automatic-welcome-credits',
          amountMicrodollars: 10 * USD,
          expiredMicrodollars: { first: 10 * USD, second: 6 * USD },
        },
      ],
    }),
    expect.objectContaining({
      what: 'changed',
      userId: 'user-3',
      grants: [
        {
          what: 'new',
          id: added.id,
          category: 'promo',
          amountMicrodollars: 3 * USD,
          expiredMicrodollars: { first: null, second: 3 * USD },
        },
      ],
    }),
    expect.objectContaining({ what: 'new', userId: 'user-9', outcome: { first: null, second: 'expired' } }),
  ])
})

test('an execute does what its plan showed: the same', async () => {
  const plan = await invoke({})
  const executed = await invoke({ execute: true, plan: plan.runId })
  expect(await diff(plan.runId, executed.runId)).toMatchObject({
    result: 'same',
    users: { new: 0, gone: 0, changed: 0 },
    differences: [],
    expired: { first: '$40.00', second: '$40.00', difference: '$0.00' },
  })
})

test('lists 200 differences, and counts all', async () => {
  const before = await invoke({ userIds: ['user-1'] })
  await team.sql`
    insert into kilocode_users (id, google_user_email, google_user_name, google_user_image_url, stripe_customer_id,
      created_at, microdollars_used, total_microdollars_acquired)
    select 'more-' || n, 'more-' || n || '@kilo.ai', 'x', 'x', 'x', ${PAST}::text::timestamptz, 0, 1000000
    from generate_series(1, 300) n`
  await team.sql`
    insert into credit_transactions (kilo_user_id, amount_microdollars, is_free, credit_category, created_at)
    select 'more-' || n, 1000000, true, 'promo', ${PAST}::text::timestamptz from generate_series(1, 300) n`
  await setClock(team.sql, LATER)
  const after = await invoke({})
  const answer = await diff(before.runId, after.runId)
  expect(answer.users).toEqual({ new: 303, gone: 0, changed: 0 })
  expect(answer.differences).toHaveLength(200)
  expect(answer.differencesOmitted).toBe(103)
  expect(answer.expired.difference).toBe('$330.00')
})

test('open runs and rollbacks are not compared', async () => {
  const plan = await invoke({})
  const open = await invoke({ execute: true, batchSize: 1, concurrency: 1 }, timeForPages(1))
  await expect(diff(plan.runId, open.runId)).rejects.toThrow(
    `Run ${open.runId} cannot be compared: it is open. Finish it with {"resume": "${open.runId}"}`,
  )
  const executed = await invoke({ resume: open.runId })
  const preview = await invoke({ rollback: executed.runId })
  await expect(diff(plan.runId, preview.runId)).rejects.toThrow('its mode is rollback-dry-run')
  expect((await diff(plan.runId, executed.runId)).differences).not.toContainEqual(user('user-1'))
})

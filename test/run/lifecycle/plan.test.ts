import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { auditRun } from '../../support/audit-run.ts'
import { keys, putText, readText } from '../../support/bucket.ts'
import { setClock } from '../../support/clock.ts'
import { failureOf, invokeJob, type InvocationOptions, type JobPlace } from '../../support/job.ts'
import { dump, insertTransaction, insertUser } from '../../support/ledger.ts'
import { readDocument, readLogs } from '../../support/logs.ts'
import { timeForPages } from '../../support/stops.ts'
import { freshTeam, type Team } from '../../support/places/team.ts'

const USD = 1_000_000
const PAST = '2026-01-01T00:00:00Z'
const USER = 'user-1'
const DIFFERENT_DESCRIPTIONS = '["Another one"]'

let team: Team
let sql: Team['sql']
let place: JobPlace

/**
 * Three users; the first also has a paid credit that is due, one that comes due tomorrow, and has spent 25 of
 * 40 USD.
 */
beforeEach(async () => {
  team = await freshTeam(3)
  sql = team.sql
  place = { databaseUrl: team.url, bucket: team.bucket, env: { MIN_GRANT_AGE_SECONDS: '60' } }
  await grant({ is_free: false, expiry_date: PAST, expiration_baseline_microdollars_used: 10 * USD })
  await grant({
    is_free: false,
    expiry_date: '2026-11-22T10:00:00Z',
    expiration_baseline_microdollars_used: 20 * USD,
    amount_microdollars: 20 * USD,
  })
  await sql`UPDATE kilocode_users SET microdollars_used = 5000000 WHERE id = ${USER}`
})
afterEach(() => team.drop())

const invoke = (event: object, options?: InvocationOptions) => invokeJob(place, event, options)
const failed = async (event: object): Promise<Error> => failureOf(invoke(event))
const state = () => dump(sql, { updatedAt: false })
const stateOf = async (userId: string) => {
  const { users, transactions } = await dump(sql)
  return {
    user: users.find(({ id }) => id === userId),
    rows: transactions.filter((row) => row.kilo_user_id === userId),
  }
}
const linesOf = async ({ runId }: ExitCard) =>
  new Map((await readLogs(team.bucket, runId)).users.map((line) => [line.user_id, line]))

/** A transaction of the first user, and the total that goes with it. */
async function grant(given: Partial<Parameters<typeof insertTransaction>[1]>): Promise<void> {
  const { amount_microdollars: amount } = await insertTransaction(sql, {
    kilo_user_id: USER,
    created_at: PAST,
    ...given,
  })
  await sql`UPDATE kilocode_users SET total_microdollars_acquired = total_microdollars_acquired + ${amount} WHERE id = ${USER}`
}

test('does exactly what the plan showed, line by line and row by row', async () => {
  const plan = await invoke({})
  expect(plan.next?.payload).toEqual({ execute: true, plan: plan.runId })
  const card = await invoke({ execute: true, plan: plan.runId, reason: 'approved' })
  expect(card).toMatchObject({ mode: 'execute', status: 'complete', instant: plan.instant })
  expect(card.totals).toEqual(plan.totals)
  const neutral = async ({ runId, mode }: ExitCard) =>
    JSON.parse(
      JSON.stringify(await readLogs(team.bucket, runId))
        .replaceAll(runId, 'RUN')
        .replaceAll(`"mode":"${mode}"`, '"mode":"MODE"')
        .replace(/[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'INSERTED'),
    ) as unknown
  expect(await neutral(card)).toEqual(await neutral(plan))
  expect(await readDocument(team.bucket, `control/plans/${plan.runId}.json`)).toEqual({ runId: card.runId })
  expect(await readDocument(team.bucket, `runs/${card.runId}/run.json`)).toMatchObject({
    selection: { plan: plan.runId, domains: ['kilo.ai', 'kilocode.ai'] },
    asked: { reason: 'approved' },
  })
})

test('users who came since are not touched; credit that was spent since expires less', async () => {
  const plan = await invoke({})
  await insertUser(sql, { id: 'new', total_microdollars_acquired: 10 * USD })
  await insertTransaction(sql, { kilo_user_id: 'new', created_at: PAST })
  await sql`UPDATE kilocode_users SET microdollars_used = 9000000 WHERE id = 'user-2'`
  const card = await invoke({ execute: true, plan: plan.runId })
  expect(card).toMatchObject({
    status: 'complete',
    totals: {
      usersMatched: 3,
      usersProcessed: 3,
      expiredMicrodollars: plan.totals.expiredMicrodollars - 9 * USD,
    },
  })
  expect((await stateOf('new')).rows).toHaveLength(1)
})

describe('a user with more to expire than the plan showed is skipped', () => {
  const happenings: [string, () => Promise<unknown>][] = [
    ['a new free grant', () => grant({})],
    [
      'a new free grant that expires nothing',
      async () => grant({ original_baseline_microdollars_used: -100 * USD }),
    ],
    [
      'a new due paid credit that is spent: a closing row of 0',
      () => grant({ is_free: false, expiry_date: PAST, expiration_baseline_microdollars_used: -50 * USD }),
    ],
    ['a paid credit that became due', () => setClock(sql, '2026-11-22T11:00:00Z')],
    [
      'more expires, since usage was taken back',
      () => sql`UPDATE kilocode_users SET microdollars_used = 4999999 WHERE id = ${USER}`,
    ],
    [
      'more due paid credit expires, and less free',
      () =>
        sql`UPDATE credit_transactions SET expiration_baseline_microdollars_used = 30000000 WHERE expiry_date = ${PAST}`,
    ],
    [
      'a correction',
      () => sql`UPDATE kilocode_users SET total_microdollars_acquired = 10000000 WHERE id = ${USER}`,
    ],
    [
      'a free grant that is due already, and the plan showed as paid',
      () => sql`UPDATE credit_transactions SET is_free = true WHERE expiry_date = ${PAST}`,
    ],
  ]
  test.each(happenings)('%s', async (_, happening) => {
    await sql`UPDATE credit_transactions SET expiration_baseline_microdollars_used = 2000000 WHERE expiry_date = ${PAST}`
    const plan = await invoke({})
    await happening()
    const before = await stateOf(USER)
    const card = await invoke({ execute: true, plan: plan.runId })
    expect(card).toMatchObject({
      status: 'complete',
      totals: { usersProcessed: 2, usersSkipped: 1, outcomes: { exceeds_plan: 1 } },
    })
    expect(card.warnings).toContainEqual(
      expect.stringContaining('1 user skipped because more would happen than the plan showed'),
    )
    expect(await stateOf(USER)).toEqual(before)
    const line = (await linesOf(card)).get(USER)
    expect(line).toMatchObject({
      outcome: 'exceeds_plan',
      expired_microdollars: 0,
      due_paid_microdollars: 0,
      correction_microdollars: 0,
    })
    expect(line?.final_balance_microdollars).toBe(line?.balance_before_microdollars)
    expect(line?.exceeds).toContainEqual(
      expect.objectContaining({ what: expect.any(String), found_microdollars: expect.any(Number) }),
    )
    const { mutations } = await auditRun(team.bucket, card.runId, sql)
    expect(mutations.filter(({ user_id }) => user_id === USER)).toEqual([])
  })

  test('a correction that is bigger than was shown; one that is smaller is made', async () => {
    await sql`UPDATE kilocode_users SET total_microdollars_acquired = 1000000 WHERE id IN ('user-2', 'user-3')`
    const plan = await invoke({})
    expect(plan.totals).toMatchObject({ usersCorrected: 2, correctedMicrodollars: 18 * USD })
    await sql`UPDATE kilocode_users SET total_microdollars_acquired = 999999 WHERE id = 'user-2'`
    await sql`UPDATE kilocode_users SET total_microdollars_acquired = 2000000 WHERE id = 'user-3'`
    const card = await invoke({ execute: true, plan: plan.runId })
    expect(card.totals).toMatchObject({
      usersProcessed: 2,
      correctedMicrodollars: 8 * USD,
      outcomes: { exceeds_plan: 1 },
    })
  })

  test.each([
    ['too_recent', { created_at: '2026-11-22T05:59:30Z' }, () => setClock(sql, '2026-11-22T06:05:00Z')],
    [
      'needs_review',
      { amount_microdollars: -1, credit_category: 'orb_credit_voided' },
      () => sql`DELETE FROM credit_transactions WHERE credit_category = 'orb_credit_voided'`,
    ],
  ])('a user who was skipped in the plan (%s) is skipped', async (outcome, row, happening) => {
    await grant(row)
    const plan = await invoke({})
    expect(plan.totals.outcomes).toMatchObject({ [outcome]: 1 })
    await happening()
    const before = await stateOf(USER)
    expect((await invoke({ execute: true, plan: plan.runId })).totals).toMatchObject({
      usersProcessed: 2,
      outcomes: { exceeds_plan: 1 },
    })
    expect(await stateOf(USER)).toEqual(before)
  })

  test('a user who had no targeted grant in the plan', async () => {
    await sql`DELETE FROM credit_transactions WHERE kilo_user_id = 'user-2'`
    const plan = await invoke({})
    expect((await linesOf(plan)).get('user-2')).toMatchObject({ outcome: 'no_targeted_grant' })
    await insertTransaction(sql, { kilo_user_id: 'user-2', created_at: PAST })
    expect((await invoke({ execute: true, plan: plan.runId })).totals).toMatchObject({
      usersProcessed: 2,
      outcomes: { exceeds_plan: 1 },
    })
  })
})

test('the payload of a plan sent again returns the card of the run that executed it, after a rollback too', async () => {
  const plan = await invoke({})
  const card = await invoke({ execute: true, plan: plan.runId })
  expect(await invoke({ execute: true, plan: plan.runId })).toEqual(card)
  const rollback = await invoke({ rollback: card.runId, execute: true })
  const before = await state()
  expect(await invoke({ execute: true, plan: plan.runId })).toMatchObject({
    runId: card.runId,
    rolledBackBy: [rollback.runId],
  })
  expect(await state()).toEqual(before)
})

test('an edited users log of the plan is refused, naming the part; no run opens, and the plan is not used up', async () => {
  const plan = await invoke({})
  const [key = ''] = await keys(team.bucket, `logs/users/${plan.runId}/`)
  const good = await readText(team.bucket, key)
  await putText(team.bucket, key, good.replaceAll('"expired_microdollars":', '"expired_microdollars":1'))
  const before = await state()
  const refused = await failed({ execute: true, plan: plan.runId })
  expect(refused.name).toBe('ArchiveCorrupt')
  expect(refused.message).toContain(key)
  expect(await state()).toEqual(before)
  expect(await keys(team.bucket, 'control/')).toEqual([])
  await putText(team.bucket, key, good)
  const card = await invoke({ execute: true, plan: plan.runId })
  expect(card).toMatchObject({ status: 'complete', totals: plan.totals })
  await auditRun(team.bucket, card.runId, sql)
})

describe('refused, with nothing done', () => {
  /** The message of an event that must be refused, and must have done nothing. */
  const refused = async (event: object, name = 'RunRefused'): Promise<unknown> => {
    const before = { ledger: await state(), keys: await keys(team.bucket) }
    const error = await failed(event)
    expect(error.name).toBe(name)
    expect({ ledger: await state(), keys: await keys(team.bucket) }).toEqual(before)
    return error.message
  }

  test('an id that is unknown or not of a dry run', async () => {
    expect(await refused({ execute: true, plan: '2026-01-01T00-00-00-000Z-dry-run-aaaa' })).toMatch(
      /No run 2026-01-01/,
    )
    const { runId } = await invoke({ execute: true })
    expect(await refused({ execute: true, plan: runId })).toMatch(
      /its mode is execute, and only a dry run can be a plan/,
    )
  })

  test('a dry run that is open, cancelled, or complete with errors', async () => {
    const open = await invoke({ batchSize: 1, concurrency: 1 }, timeForPages(1))
    expect(await refused({ execute: true, plan: open.runId })).toMatch(/it is not closed/)
    await invoke({ cancel: open.runId })
    expect(await refused({ execute: true, plan: open.runId })).toMatch(/it is cancelled/)
    await sql`UPDATE credit_transactions SET amount_microdollars = 9223372036854775807 WHERE kilo_user_id = 'user-2'`
    expect(await refused({ execute: true, plan: (await invoke({})).runId })).toMatch(
      /it is complete_with_errors/,
    )
  })

  test('a plan that is too old by the database, to the hour that is configured', async () => {
    const { runId } = await invoke({})
    await setClock(sql, '2026-11-23T06:00:01Z')
    expect(await refused({ execute: true, plan: runId })).toMatch(
      /24\.0 hours old, and a plan is valid for 24 \(PLAN_MAX_AGE_HOURS\)/,
    )
    place = { ...place, env: { ...place.env, PLAN_MAX_AGE_HOURS: '24.1' } }
    expect(await invoke({ execute: true, plan: runId })).toMatchObject({ status: 'complete' })
  })

  test.each([
    ['INTERNAL_DOMAINS', 'kilo.ai', /no longer has kilocode\.ai/],
    ['MIN_GRANT_AGE_SECONDS', '61', /MIN_GRANT_AGE_SECONDS/],
    ['CORRECTION_DESCRIPTIONS', DIFFERENT_DESCRIPTIONS, /CORRECTION_DESCRIPTIONS/],
  ])('another %s than that of the dry run', async (variable, value, why) => {
    const { runId } = await invoke({})
    place = { ...place, env: { ...place.env, [variable]: value } }
    expect(await refused({ execute: true, plan: runId })).toMatch(why)
  })

  test('fields that would select beside the plan, and a plan without execute', async () => {
    const { runId } = await invoke({})
    for (const stray of [{ domains: ['kilo.ai'] }, { userIds: [USER] }]) {
      expect(await refused({ execute: true, plan: runId, ...stray }, 'InvalidEvent')).toMatch(/"plan"/)
    }
    expect(await refused({ plan: runId }, 'InvalidEvent')).toMatch(/field "plan": needs "execute": true/)
    expect(await refused({ plan: runId, execute: false }, 'InvalidEvent')).toMatch(
      /field "plan": needs "execute": true/,
    )
  })
})

test('pages of a plan-bound execute are those of the dry run; the same payload continues it, others are refused', async () => {
  const plan = await invoke({ batchSize: 1 })
  const other = await invoke({})
  const event = { execute: true, plan: plan.runId, concurrency: 1 }
  const open = await invoke(event, timeForPages(1))
  expect(open).toMatchObject({ status: 'incomplete', progress: { usersDone: 1, usersTotal: 3 } })
  for (const another of [{ execute: true, plan: other.runId }, { execute: true }]) {
    expect(await failed(another)).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining(`Run ${open.runId} is open`),
    })
  }
  expect(await failed({ ...event, batchSize: 3 })).toMatchObject({
    name: 'InvalidEvent',
    message: expect.stringContaining('batchSize'),
  })
  const card = await invoke({ execute: true, plan: plan.runId })
  expect(card).toMatchObject({ runId: open.runId, status: 'complete', totals: plan.totals })
  const pages = await keys(team.bucket, `runs/${open.runId}/pages/`)
  expect(await Promise.all(pages.map(async (key) => (await readDocument(team.bucket, key)).userIds))).toEqual(
    [['user-1'], ['user-2'], ['user-3']],
  )
})

test('the plan of an open run with other limits is refused, and nothing continues', async () => {
  const plan = await invoke({ batchSize: 1 })
  const open = await invoke({ execute: true, plan: plan.runId, concurrency: 1 }, timeForPages(1))
  expect(open.status).toBe('incomplete')
  const before = await state()
  expect(await failed({ execute: true, plan: plan.runId, limits: { users: 0 } })).toMatchObject({
    name: 'RunRefused',
    message: expect.stringContaining(`executed by run ${open.runId}, which was opened with other limits`),
  })
  expect(await state()).toEqual(before)
})

test('limits hold for a plan too, from the event and the configuration', async () => {
  const plan = await invoke({})
  for (const [limits, why] of [
    [{ users: 2 }, '3 users match'],
    [{ grants: 2 }, '3 grants are targeted'],
    [{ usd: 29 }, 'face value of the targeted grants is $30.00'],
  ] as const) {
    expect(await failed({ execute: true, plan: plan.runId, limits })).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining(why),
    })
  }
  expect(await invoke({ execute: true, plan: plan.runId })).toMatchObject({ status: 'complete' })
})

test('users who were named for a plan stay named: who needed review is processed', async () => {
  await grant({ amount_microdollars: -1, credit_category: 'orb_credit_voided' })
  const plan = await invoke({ userIds: [USER] })
  expect(plan.totals).toMatchObject({ usersMatched: 1, usersProcessed: 1 })
  expect(await invoke({ execute: true, plan: plan.runId })).toMatchObject({
    status: 'complete',
    totals: plan.totals,
  })
})

test('a user who was named for a plan needs a review again for a row that the plan did not show', async () => {
  await grant({ amount_microdollars: -1, credit_category: 'orb_credit_voided' })
  const plan = await invoke({ userIds: [USER] })
  await setClock(sql, '2026-11-22T07:00:00Z')
  await grant({
    amount_microdollars: -10 * USD,
    credit_category: 'manual_decrement',
    created_at: '2026-11-22T06:30:00Z',
  })
  const before = await state()
  const card = await invoke({ execute: true, plan: plan.runId })
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 0, usersSkipped: 1 } })
  expect((await linesOf(card)).get(USER)).toMatchObject({
    outcome: 'needs_review',
    review: expect.arrayContaining([expect.objectContaining({ credit_category: 'manual_decrement' })]),
  })
  expect(await state()).toEqual(before)
})

test.each<[string, string, () => Promise<unknown>]>([
  ['gone', 'is gone', async () => sql`DELETE FROM kilocode_users WHERE id = 'user-2'`],
  [
    'not_internal',
    'is no longer internal',
    async () => sql`UPDATE kilocode_users SET google_user_email = 'b@example.com' WHERE id = 'user-2'`,
  ],
])('%s: a plan with a user who %s by the time it is shown is executed', async (outcome, _who, act) => {
  let isDone = false
  team.s3.setHooks(team.bucket.bucket, {
    before: async ({ method, key }) => {
      if (isDone || method !== 'PUT' || !key.endsWith('/cursor.json')) return
      isDone = true
      await act()
    },
  })
  const plan = await invoke({})
  expect(plan).toMatchObject({ status: 'complete', totals: { outcomes: { [outcome]: 1 } } })
  const card = await invoke({ execute: true, plan: plan.runId })
  expect(card).toMatchObject({ status: 'complete', totals: plan.totals })
  await auditRun(team.bucket, card.runId, sql)
})

test('a plan with an excluded user whose amounts are unusable is executed', async () => {
  await insertTransaction(sql, {
    kilo_user_id: 'user-2',
    amount_microdollars: '9007199254740993',
    created_at: PAST,
  })
  const plan = await invoke({ exceptUserIds: ['user-2'] })
  expect(plan).toMatchObject({ status: 'complete', totals: { outcomes: { excluded: 1 } } })
  const card = await invoke({ execute: true, plan: plan.runId })
  expect(card).toMatchObject({ status: 'complete', totals: plan.totals })
  await auditRun(team.bucket, card.runId, sql)
})

test('after errors the next payload of a plan-bound run is a new dry run, never an execute', async () => {
  const plan = await invoke({ userIds: [USER, 'user-2'], domains: ['kilo.ai'] })
  await sql`UPDATE credit_transactions SET amount_microdollars = 9223372036854775807 WHERE kilo_user_id = 'user-2'`
  const card = await invoke({ execute: true, plan: plan.runId })
  expect(card.status).toBe('complete_with_errors')
  expect(card.next?.payload).not.toHaveProperty('execute')
})

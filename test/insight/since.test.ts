import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { readJson, keys } from '../support/bucket.ts'
import { setClock } from '../support/clock.ts'
import { type InvocationOptions, invokeJob } from '../support/job.ts'
import { insertTransaction, insertUser } from '../support/ledger.ts'
import { freshTeam, type Team } from '../support/places/team.ts'

const USD = 1_000_000
const PAST = '2026-01-01T00:00:00Z'

let team: Team
let hours = 6
beforeEach(async () => {
  hours = 6
  team = await freshTeam(3)
})
afterEach(() => team.drop())

/** One hour later each time: a run's id sorts by its instant. */
async function invoke(event: object, options?: InvocationOptions): Promise<ExitCard> {
  hours += 1
  await setClock(team.sql, `2026-11-22T${String(hours).padStart(2, '0')}:00:00.000Z`)
  return invokeJob({ databaseUrl: team.url, bucket: team.bucket }, event, options)
}

async function grant(userId: string, dollars: number): Promise<void> {
  await insertTransaction(team.sql, {
    kilo_user_id: userId,
    amount_microdollars: dollars * USD,
    created_at: PAST,
  })
  await team.sql`
    update kilocode_users set total_microdollars_acquired = total_microdollars_acquired + ${dollars * USD}
    where id = ${userId}`
}

async function newcomer(id: string, dollars: number): Promise<void> {
  await insertUser(team.sql, { id, created_at: PAST })
  await grant(id, dollars)
}

const NO_TIME = expect.stringMatching(/: this invocation ran out of time$/)

const since = (runId: string, users: number, grants: number, dollars: number, skipped = {}) => ({
  runId,
  users,
  grants,
  expiredMicrodollars: dollars * USD,
  expired: `$${dollars}.00`,
  skipped,
})

test('the first dry run has nothing to compare with, and says nothing', async () => {
  expect(await invoke({})).toMatchObject({ sincePrevious: null, sinceExecuted: null, warnings: [] })
})

test('a run on another ledger in the same bucket is nothing to compare with', async () => {
  await invoke({})
  const other = await freshTeam(2)
  await setClock(other.sql, '2026-11-22T09:00:00.000Z')
  const dry = await invokeJob({ databaseUrl: other.url, bucket: team.bucket }, {})
  expect(dry).toMatchObject({ sincePrevious: null, sinceExecuted: null })
  await other.drop()
})

test('counts users who were in no plan, grants that were in no plan, and what expires of those, page by page', async () => {
  const first = await invoke({ batchSize: 2 })
  await newcomer('user-0', 7)
  await newcomer('user-9', 5)
  await grant('user-2', 3)
  const second = await invoke({ batchSize: 1 })
  expect(second).toMatchObject({ sincePrevious: since(first.runId, 2, 3, 15), sinceExecuted: null })
  expect(await readJson(team.bucket, `runs/${second.runId}/summary.json`)).toMatchObject({
    sincePrevious: second.sincePrevious,
  })

  const third = await invoke({})
  expect(third.sincePrevious).toEqual(since(second.runId, 0, 0, 0))
})

test('compares with dry runs of the same selection alone', async () => {
  const all = await invoke({})
  const one = await invoke({ userIds: ['user-1'] })
  expect(one.sincePrevious).toBeNull()
  await grant('user-1', 2)
  await grant('user-2', 4)
  expect((await invoke({ userIds: ['user-1'] })).sincePrevious).toEqual(since(one.runId, 0, 1, 2))
  expect((await invoke({})).sincePrevious).toEqual(since(all.runId, 0, 2, 6))
})

test('the last executed plan stays what it is compared with, however many dry runs come after it', async () => {
  const plan = await invoke({})
  await invoke({ execute: true, plan: plan.runId })
  await grant('user-1', 4)
  await newcomer('user-4', 6)
  const next = await invoke({})
  expect(next.sinceExecuted).toEqual(since(plan.runId, 1, 2, 10))
  const later = await invoke({})
  expect(later).toMatchObject({
    sincePrevious: since(next.runId, 0, 0, 0),
    sinceExecuted: since(plan.runId, 1, 2, 10),
  })
})

test('a plan that was rolled back does not count as executed: its grants show as new', async () => {
  const plan = await invoke({})
  const executed = await invoke({ execute: true, plan: plan.runId })
  expect((await invoke({})).sinceExecuted).toEqual(since(plan.runId, 0, 0, 0))
  await invoke({ rollback: executed.runId, execute: true, userIds: ['user-2'] })
  expect((await invoke({})).sinceExecuted).toBeNull()
})

test('grants of a skipped user were in no plan, and users who are skipped since then are counted by the reason', async () => {
  await insertTransaction(team.sql, {
    kilo_user_id: 'user-3',
    amount_microdollars: -2 * USD,
    credit_category: 'manual_decrement',
    created_at: PAST,
  })
  const first = await invoke({})
  expect(first.totals.outcomes).toMatchObject({ needs_review: 1, expired: 2 })
  await insertTransaction(team.sql, {
    kilo_user_id: 'user-2',
    amount_microdollars: -2 * USD,
    credit_category: 'manual_decrement',
    created_at: PAST,
  })
  const second = await invoke({})
  expect(second.sincePrevious).toEqual(since(first.runId, 0, 0, 0, { needs_review: 1 }))
  await team.sql`delete from credit_transactions where credit_category = 'manual_decrement'`
  expect((await invoke({})).sincePrevious).toEqual(since(second.runId, 2, 2, 20))
})

test('an earlier log that cannot be read does not keep a dry run from closing: a warning names the part', async () => {
  const first = await invoke({})
  const [key = ''] = await keys(team.bucket, `logs/users/${first.runId}/`)
  team.s3.setHooks(team.bucket.bucket, {
    before: (request) => (request.key === key ? { status: 403, code: 'AccessDenied' } : undefined),
  })
  const card = await invoke({})
  expect(card).toMatchObject({ status: 'complete', sincePrevious: null })
  expect(card.warnings).toEqual([
    expect.stringMatching(
      /^what is new since the latest dry run of the same selection is not known: Could not read logs\/users\//,
    ),
  ])
})

test('without time to compare, a dry run closes, and its card says that it was not compared', async () => {
  await invoke({})
  let pagesDone = false
  const card = await invoke(
    {},
    { timeLeft: () => (pagesDone ? 19_000 : 900_000), host: { onProgress: () => void (pagesDone = true) } },
  )
  expect(card).toMatchObject({ status: 'complete', sincePrevious: null })
  expect(card.warnings[0]).toBe(
    'what is new since the latest dry run of the same selection is not known: this invocation ran out of time',
  )
})

test('a closing that is repeated returns the card that was stored, although there is more time now', async () => {
  await invoke({})
  team.s3.setHooks(team.bucket.bucket, {
    before: ({ method, key }) =>
      method === 'PUT' && key.endsWith('manifest.json') ? { status: 403, code: 'AccessDenied' } : undefined,
  })
  let pagesDone = false
  const failed = invoke(
    {},
    { timeLeft: () => (pagesDone ? 19_000 : 900_000), host: { onProgress: () => void (pagesDone = true) } },
  )
  await expect(failed).rejects.toThrow(/Run .* is open/)
  team.s3.setHooks(team.bucket.bucket, undefined)
  const card = await invoke({ resume: 'latest' })
  expect(card).toEqual(await readJson(team.bucket, `runs/${card.runId}/summary.json`))
  expect(card).toMatchObject({ sincePrevious: null, warnings: [NO_TIME, NO_TIME] })
})

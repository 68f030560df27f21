import { afterEach, beforeEach, expect, test } from 'vitest'
import { auditRun } from '../../support/audit-run.ts'
import { failureOf, invokeJob, type JobPlace } from '../../support/job.ts'
import { dump, insertTransaction, insertUser } from '../../support/ledger.ts'
import { readDocument } from '../../support/logs.ts'
import { freshTeam, type Team } from '../../support/places/team.ts'

let team: Team
let place: JobPlace

beforeEach(async () => {
  team = await freshTeam(3)
  place = { databaseUrl: team.url, bucket: team.bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }
})
afterEach(() => team.drop())

const invoke = (event: object) => invokeJob(place, event)

test.each(['ada@k\u0130lo.ai', 'ada@\u212Ailo.ai'])(
  '%s only looks like an internal address: not selected, and no run is refused because of it',
  async (email) => {
    await insertUser(team.sql, {
      id: 'outsider',
      google_user_email: email,
      total_microdollars_acquired: 10_000_000,
    })
    await insertTransaction(team.sql, { kilo_user_id: 'outsider', created_at: '2026-01-01' })
    const card = await invoke({ execute: true })
    expect(card).toMatchObject({ status: 'complete', totals: { usersMatched: 3, usersProcessed: 3 } })
    const { users } = await auditRun(team.bucket, card.runId, team.sql)
    expect(users.map((line) => line.user_id)).not.toContain('outsider')
  },
)

test('an outsider who is named is refused by id, without an e-mail address in the message', async () => {
  await insertUser(team.sql, { id: 'outsider', google_user_email: 'ada@example.com' })
  const before = await dump(team.sql)
  const refused = await failureOf(invoke({ execute: true, userIds: ['user-1', 'outsider'] }))
  expect(refused.name).toBe('RunRefused')
  expect(refused.message).toContain('not internal users of kilo.ai, kilocode.ai: outsider')
  expect(refused.message).not.toContain('@')
  expect(await dump(team.sql)).toEqual(before)
})

test('a user who becomes an outsider after the opening is skipped', async () => {
  const plan = await invoke({})
  await team.sql`UPDATE kilocode_users SET google_user_email = 'ada@example.com' WHERE id = 'user-2'`
  const card = await invoke({ execute: true, plan: plan.runId })
  expect(card).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: 2, outcomes: { not_internal: 1 } },
  })
})

test.each([
  [{ grants: 0 }, '3 grants are targeted; the limit is 0'],
  [{ usd: 0 }, 'face value of the targeted grants is $30.00; the limit is $0.00'],
  [{ users: 0, grants: 0, usd: 0 }, '3 users match; the limit is 0'],
])('a limit of zero is a limit (%j)', async (limits, why) => {
  expect(await failureOf(invoke({ execute: true, limits }))).toMatchObject({
    name: 'RunRefused',
    message: expect.stringContaining(why),
  })
})

test.each<[string, object, Record<string, string>]>([
  ['the payload', { exceptUserIds: ['user-1', 'user-2'] }, {}],
  ['the configuration', {}, { EXCLUDED_USER_IDS: 'user-1@kilo.ai,user-2' }],
])('grants of users that %s excludes do not count against the limits', async (_who, event, env) => {
  place = { ...place, env: { ...place.env, ...env } }
  const limits = { users: 3, grants: 1, usd: 10 }
  const dry = await invoke({ ...event, limits })
  expect(dry).toMatchObject({ status: 'complete', warnings: [] })
  const card = await invoke({ ...event, execute: true, limits })
  expect(card).toMatchObject({
    status: 'complete',
    totals: { usersMatched: 3, usersProcessed: 1, outcomes: { excluded: 2, expired: 1 } },
  })
  expect(await readDocument(team.bucket, `runs/${card.runId}/run.json`)).toMatchObject({
    matched: { users: 3, grants: 1, faceValueMicrodollars: 10_000_000 },
  })
})

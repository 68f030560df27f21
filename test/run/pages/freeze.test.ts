import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { keys } from '../../support/bucket.ts'
import { invokeJob, type JobPlace } from '../../support/job.ts'
import { dump, insertTransaction, insertUser } from '../../support/ledger.ts'
import { readDocument, readLogs } from '../../support/logs.ts'
import { freshTeam, type Team } from '../../support/team.ts'

/** PostgreSQL's lower() makes a plain i of it, JavaScript an i and a combining dot: so SQL takes this domain for kilo.ai. */
const DOTTED = 'ada@k\u0130lo.ai'

let team: Team
let place: JobPlace

beforeEach(async () => {
  team = await freshTeam(3)
  place = { databaseUrl: team.url, bucket: team.bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }
})
afterEach(() => team.drop())

const invoke = (event: object) => invokeJob(place, event)
const failure = (event: object): Promise<unknown> =>
  invoke(event).then(
    (card) => card,
    (error: unknown) => error,
  )

describe('where the database and the e-mail rule disagree about a single user', () => {
  beforeEach(async () => {
    await insertUser(team.sql, {
      id: 'outsider',
      google_user_email: DOTTED,
      total_microdollars_acquired: 10_000_000,
    })
    await insertTransaction(team.sql, { kilo_user_id: 'outsider', created_at: '2026-01-01' })
  })

  test('they do disagree', async () => {
    expect(await team.sql`SELECT lower(${DOTTED}) AS low`).toMatchObject([{ low: 'ada@kilo.ai' }])
    expect(DOTTED.toLowerCase()).not.toBe('ada@kilo.ai')
  })

  test.each([{}, { execute: true }, { execute: true, userIds: ['user-1', 'outsider'] }])(
    '%j: the whole run is refused before anything is written, and the user is named by id only',
    async (event) => {
      const before = await dump(team.sql)
      const refused = await failure(event)
      expect(refused).toMatchObject({
        name: 'RunRefused',
        message: expect.stringContaining('disagree about 1 users, the first of them outsider'),
      })
      expect(String(refused)).not.toContain('@')
      expect(await dump(team.sql)).toEqual(before)
      expect(await keys(team.bucket)).toEqual([])
    },
  )
})

test('a user who becomes an outsider after the opening is left alone', async () => {
  const plan = await invoke({})
  await team.sql`UPDATE kilocode_users SET google_user_email = ${DOTTED} WHERE id = 'user-2'`
  const card = await invoke({ execute: true, plan: plan.runId })
  expect(card).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: 2, outcomes: { not_internal: 1 } },
  })
})

test.each([
  [{ grants: 0 }, '3 grants are targeted, the limit is 0'],
  [{ usd: 0 }, 'face value is $30.00, the limit is $0.00'],
  [{ users: 0, grants: 0, usd: 0 }, '3 users match, the limit is 0'],
])('a limit of zero is a limit (%j)', async (limits, why) => {
  expect(await failure({ execute: true, limits })).toMatchObject({
    name: 'RunRefused',
    message: expect.stringContaining(why),
  })
})

describe('a rollback stops where an execute would', () => {
  /** Refuses to let rows of these users be deleted. */
  const refuse = (ids: string) =>
    team.sql.unsafe(`
      CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not %', old.kilo_user_id; END $$;
      DROP TRIGGER IF EXISTS refuse ON credit_transactions;
      CREATE TRIGGER refuse BEFORE DELETE ON credit_transactions FOR EACH ROW WHEN (old.kilo_user_id = ANY ('{${ids}}')) EXECUTE FUNCTION refuse();`)

  test('at too many failures; and once they are mended, another rollback undoes the rest', async () => {
    const before = await dump(team.sql, { updatedAt: false })
    const { runId } = await invoke({ execute: true })
    await refuse('user-2')
    place = { ...place, env: { ...place.env, MAX_FAILED_USERS: '0', MAX_FAILED_PERCENT: '0' } }
    const stopped = await invoke({ rollback: runId, execute: true, batchSize: 1, concurrency: 1 })
    expect(stopped).toMatchObject({
      status: 'stopped',
      why: expect.stringContaining('1 of 2 users failed'),
      totals: { usersProcessed: 1, usersFailed: 1, usersNotReached: 1 },
      next: { payload: { rollback: runId, execute: true } },
    })
    expect((await readLogs(team.bucket, stopped.runId)).errors).toMatchObject([
      { user_id: 'user-2', stage: 'apply', sqlstate: 'P0001', message: 'not user-2' },
    ])
    expect(await readDocument(team.bucket, 'control/writer.json')).toMatchObject({ runId: null })
    await refuse('nobody')
    expect(await invoke(stopped.next?.payload ?? {})).toMatchObject({
      status: 'complete',
      totals: { usersProcessed: 2, outcomes: { already_rolled_back: 1, rolled_back: 2 } },
    })
    expect(await dump(team.sql, { updatedAt: false })).toEqual(before)
  })

  test('a failed user alone does not stop it', async () => {
    const { runId } = await invoke({ execute: true })
    await refuse('user-2')
    expect(await invoke({ rollback: runId, execute: true })).toMatchObject({
      status: 'complete_with_errors',
      totals: { usersProcessed: 2, usersFailed: 1 },
    })
    expect((await dump(team.sql)).users.map((user) => user.total_microdollars_acquired)).toEqual([
      '10000000',
      '0',
      '10000000',
    ])
  })
})

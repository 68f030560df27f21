import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { answer, isCard } from '../../../lambda/answer.ts'
import { eventSchema } from '../../../lambda/event.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { withTools } from '../../../lambda/host.ts'
import type { Tools } from '../../../lambda/run/tools.ts'
import { auditRun } from '../../support/audit-run.ts'
import { isIntent, isUsersPart } from '../../support/between.ts'
import { hostNow } from '../../support/clock.ts'
import { failureOf, hostIn, invokeJob, type JobPlace, lambdaContext } from '../../support/job.ts'
import { dump, insertTransaction } from '../../support/ledger.ts'
import { readLogs } from '../../support/logs.ts'
import { freshTeam, type Team } from '../../support/places/team.ts'

let team: Team
let place: JobPlace

/** Six users with one grant each. */
beforeEach(async () => {
  team = await freshTeam(6)
  place = { databaseUrl: team.url, bucket: team.bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }
})
afterEach(() => team.drop())

const invoke = (event: object) => invokeJob(place, event)

/** As the handler does, with some tools replaced. */
async function invokeWith(event: object, replaced: Partial<Tools>): Promise<ExitCard> {
  const { host } = hostIn(place)
  const answered = await withTools(host, lambdaContext({}), async (tools) =>
    answer(eventSchema.parse(event), { ...tools, ...replaced }),
  )
  if (!isCard(answered)) throw new Error('The invocation answered without a card.')
  return answered
}

/** A clock that is a millisecond later each time it is read, however fast the machine is. */
function tickingClock(): () => Date {
  let at = hostNow().getTime()
  return () => new Date(at++)
}

describe('gentle', () => {
  test('has one page in flight, small transactions, and a pause after each', async () => {
    for (let n = 0; n < 45; n++) {
      const id = `more-${String(n).padStart(2, '0')}`
      await team.sql`
        INSERT INTO kilocode_users (id, google_user_email, google_user_name, google_user_image_url,
          stripe_customer_id, total_microdollars_acquired)
        VALUES (${id}, ${`${id}@kilo.ai`}, '', '', '', 10000000)`
      await insertTransaction(team.sql, { kilo_user_id: id, created_at: '2026-01-01' })
    }
    await team.sql.unsafe(`
      CREATE TABLE sizes (transaction xid8, users bigint);
      CREATE FUNCTION note_size() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO sizes SELECT pg_current_xact_id(), count(*) FROM changed;
        RETURN NULL;
      END $$;
      CREATE TRIGGER note_size AFTER UPDATE ON kilocode_users REFERENCING NEW TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION note_size();`)
    const sizes = async () =>
      (await team.sql<{ users: string }[]>`SELECT users FROM sizes ORDER BY transaction`).map(({ users }) =>
        Number(users),
      )
    const happened: string[] = []
    team.s3.setHooks(team.bucket.bucket, {
      before: (request) => {
        if (isIntent(request)) happened.push('a page begins')
        if (isUsersPart(request)) happened.push('it ends')
      },
    })
    const pauses: number[] = []
    const pause = async (milliseconds: number) => {
      pauses.push(milliseconds)
      happened.push(`pause after ${(await sizes()).join(', ')} users`)
    }
    const card = await invokeWith(
      { execute: true, gentle: true, batchSize: 25 },
      { now: tickingClock(), pause },
    )
    expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 51 } })
    expect(happened).toEqual([
      'a page begins',
      'pause after 20 users',
      'pause after 20, 5 users',
      'it ends',
      'a page begins',
      'pause after 20, 5, 20 users',
      'pause after 20, 5, 20, 5 users',
      'it ends',
      'a page begins',
      'pause after 20, 5, 20, 5, 1 users',
      'it ends',
    ])
    // As long as the transaction took.
    expect(pauses.every((milliseconds) => milliseconds > 0)).toBe(true)
    await auditRun(team.bucket, card.runId, team.sql)
  })
})

describe('synchronous_commit off', () => {
  test('for the database: every transaction of the job turns it on', async () => {
    await team.sql.unsafe(`
      CREATE TABLE seen (setting text);
      CREATE FUNCTION note_setting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO seen VALUES (current_setting('synchronous_commit'));
        RETURN NULL;
      END $$;
      CREATE TRIGGER note_setting AFTER UPDATE ON kilocode_users FOR EACH ROW EXECUTE FUNCTION note_setting();
      DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());
      END $$;`)
    const card = await invoke({ execute: true })
    expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 6 } })
    expect(await team.sql`SELECT DISTINCT setting FROM seen`).toEqual([{ setting: 'on' }])
  })
})

describe('amounts whose sum could not be exact', () => {
  test('are refused, naming the field, before anything is stored in the ledger', async () => {
    await team.sql`UPDATE credit_transactions SET amount_microdollars = 9007199254740000`
    await team.sql`UPDATE kilocode_users SET total_microdollars_acquired = 9007199254740000`
    const before = await dump(team.sql)
    for (const event of [{}, { execute: true }]) {
      const refused = await failureOf(invoke(event))
      expect(refused.name).toBe('RunRefused')
      expect(refused.message).toContain('matched.faceValueMicrodollars would exceed 2^53 − 1')
    }
    expect(await dump(team.sql)).toEqual(before)
  })

  test('of one user only, found when the user is planned: that user fails alone', async () => {
    await team.sql`
      UPDATE kilocode_users SET microdollars_used = -9007199254740991
      WHERE id = 'user-2'`
    for (const event of [{}, { execute: true }]) {
      const card = await invoke(event)
      expect(card).toMatchObject({
        status: 'complete_with_errors',
        totals: { usersProcessed: 5, usersFailed: 1 },
      })
      const { errors } = await readLogs(team.bucket, card.runId)
      expect(errors).toMatchObject([{ user_id: 'user-2', stage: 'plan', error: 'UnusableValue' }])
    }
  })

  test.each<[string, object, Record<string, string>]>([
    ['the payload', { exceptUserIds: ['user-1'] }, {}],
    ['the configuration', {}, { EXCLUDED_USER_IDS: 'user-1@kilo.ai' }],
  ])('of a user that %s excludes: excluded, and no failure', async (_who, event, env) => {
    await insertTransaction(team.sql, {
      kilo_user_id: 'user-1',
      amount_microdollars: '9007199254740993',
      created_at: '2026-01-02',
    })
    place = { ...place, env: { ...place.env, ...env } }
    for (const mode of [{}, { execute: true }]) {
      const card = await invoke({ ...event, ...mode })
      expect(card).toMatchObject({
        status: 'complete',
        totals: { usersProcessed: 5, usersFailed: 0, outcomes: { excluded: 1 } },
      })
      const { users, errors } = await auditRun(team.bucket, card.runId, team.sql)
      expect(users[0]).toMatchObject({ user_id: 'user-1', outcome: 'excluded' })
      expect(errors).toEqual([])
    }
  })
})

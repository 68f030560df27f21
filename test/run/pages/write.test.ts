import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { auditRun } from '../../support/audit-run.ts'
import { failureOf, invokeJob, type JobPlace } from '../../support/job.ts'
import { dump, insertTransaction } from '../../support/ledger.ts'
import { readLogs } from '../../support/logs.ts'
import { freshTeam, type Team } from '../../support/team.ts'

let team: Team
let place: JobPlace

/** Six users with one grant each. */
beforeEach(async () => {
  team = await freshTeam(6)
  place = { databaseUrl: team.url, bucket: team.bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }
})
afterEach(() => team.drop())

const invoke = (event: object) => invokeJob(place, event)

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
    const card = await invoke({ execute: true, gentle: true })
    expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 51 } })
    const sizes = await team.sql<{ users: string }[]>`SELECT users FROM sizes ORDER BY transaction`
    expect(sizes.map(({ users }) => Number(users))).toEqual([20, 20, 11])
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
})

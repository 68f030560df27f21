import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { dieAt, isUsersPart, revive } from '../../support/between.ts'
import { keys, readLines } from '../../support/bucket.ts'
import { setClock } from '../../support/clock.ts'
import { failureOf, invokeJob, type JobPlace } from '../../support/job.ts'
import { dump } from '../../support/ledger.ts'
import { openRunId } from '../../support/logs.ts'
import { freshTeam, LATER, type Team } from '../../support/places/team.ts'
import { auditRun } from '../../support/audit-run.ts'

/** The job works as a role with the rights of docs/roles.sql, from which row-level security may hide rows. */
let team: Team
let place: JobPlace
let role: string
beforeEach(async () => {
  team = await freshTeam(2)
  role = `row_security_${randomBytes(6).toString('hex')}`
  const rights = await readFile(new URL('../../../docs/roles.sql', import.meta.url), 'utf8')
  await team.sql.unsafe(
    rights.replaceAll('credit_expiry_execute', role).replaceAll('credit_expiry_dry_run', `${role}_dry`),
  )
  await team.sql.unsafe(`
    ALTER ROLE ${role} PASSWORD 'secret';
    GRANT USAGE ON SCHEMA test_clock TO ${role};
    GRANT SELECT ON test_clock.now TO ${role};`)
  const url = new URL(team.url)
  url.username = role
  url.password = 'secret'
  place = {
    databaseUrl: url.href,
    bucket: team.bucket,
    env: { MIN_GRANT_AGE_SECONDS: '0', AWS_MAX_ATTEMPTS: '1' },
  }
})
afterEach(async () => {
  for (const name of [role, `${role}_dry`]) await team.sql.unsafe(`DROP OWNED BY ${name}; DROP ROLE ${name}`)
  await team.drop()
})

test.each([
  [
    'the rows that the run inserted',
    `USING (credit_category IS DISTINCT FROM 'credits_expired') WITH CHECK (true)`,
  ],
  ['all rows', 'USING (false)'],
])(
  'row-level security that hides %s between a crash and its resume is an error; lifted, everything committed is logged',
  async (_what, policy) => {
    dieAt(team.s3, team.bucket, isUsersPart)
    await failureOf(invokeJob(place, { execute: true }))
    revive(team.s3, team.bucket)
    await setClock(team.sql, LATER)
    const runId = await openRunId(team.bucket)
    const committed = await dump(team.sql)
    await team.sql.unsafe(`
      ALTER TABLE credit_transactions ENABLE ROW LEVEL SECURITY;
      CREATE POLICY shown ON credit_transactions TO ${role} ${policy}`)
    expect(await failureOf(invokeJob(place, { resume: runId }))).toMatchObject({
      message: expect.stringContaining('row-level security'),
    })
    const parts = await keys(team.bucket, 'logs/')
    expect((await Promise.all(parts.map(async (key) => readLines(team.bucket, key)))).flat()).toEqual([])
    expect(await dump(team.sql)).toEqual(committed)

    await team.sql`ALTER TABLE credit_transactions DISABLE ROW LEVEL SECURITY`
    await setClock(team.sql, '2026-11-22T12:00:00Z')
    expect(await invokeJob(place, { resume: runId })).toMatchObject({
      status: 'complete',
      totals: { usersProcessed: 2 },
    })
    await auditRun(team.bucket, runId, team.sql)
    expect(await dump(team.sql)).toEqual(committed)
  },
)

test('a referencing table of which row-level security hides rows: a dry run warns, the rollback is refused', async () => {
  await team.sql.unsafe(`
    CREATE TABLE receipts (id text,
      credit_id uuid CONSTRAINT receipts_credit REFERENCES credit_transactions (id) ON DELETE SET NULL);
    ALTER TABLE receipts ENABLE ROW LEVEL SECURITY;
    GRANT SELECT ON receipts TO ${role};`)
  const why =
    'a rollback must see which rows of receipts refer to the rows that it deletes, and row-level security hides ' +
    'rows of it. Give the user of this job BYPASSRLS; or list receipts_credit in ACCEPTED_REFERENCES'
  const { warnings } = await invokeJob(place, {})
  expect(warnings).toContainEqual(expect.stringContaining(why))
  const { runId } = await invokeJob(place, { execute: true })
  await team.sql`
    INSERT INTO receipts SELECT 'r1', id FROM credit_transactions WHERE credit_category = 'credits_expired' LIMIT 1`
  const before = await dump(team.sql)
  expect((await invokeJob(place, { rollback: runId })).warnings).toContainEqual(expect.stringContaining(why))
  expect(await failureOf(invokeJob(place, { rollback: runId, execute: true }))).toMatchObject({
    name: 'RunRefused',
    message: expect.stringContaining(why),
  })
  expect(await dump(team.sql)).toEqual(before)
  expect(await team.sql`SELECT FROM receipts WHERE credit_id IS NULL`).toHaveLength(0)
})

test('a trigger of the application writes to a table with row-level security, of which this job reads nothing', async () => {
  await team.sql.unsafe(`
    CREATE TABLE audit_log (user_id text);
    ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
    CREATE POLICY written ON audit_log FOR INSERT TO ${role} WITH CHECK (true);
    GRANT INSERT ON audit_log TO ${role};
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO audit_log VALUES (new.id); RETURN new; END $$;
    CREATE TRIGGER note AFTER UPDATE ON kilocode_users FOR EACH ROW EXECUTE FUNCTION note();`)
  const { runId } = await invokeJob(place, { execute: true })
  expect(await invokeJob(place, { rollback: runId, execute: true })).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: 2 },
  })
  expect(await team.sql`SELECT FROM audit_log`).toHaveLength(4)
})

import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { connect, type Sql } from '../../../lambda/ledger/connection/connect.ts'
import { preflight, type Use } from '../../../lambda/ledger/preflight/preflight.ts'
import { freshDatabase } from '../../support/ledger.ts'

const USES: readonly Use[] = ['dry-run', 'execute', 'rollback-dry-run', 'rollback']

let database: Awaited<ReturnType<typeof freshDatabase>>
let role: string
let sql: Sql
beforeAll(async () => {
  database = await freshDatabase()
})
afterAll(async () => database.drop())

/** A role with every right that the job needs; each test takes one away. */
beforeEach(async () => {
  role = `preflight_${randomBytes(6).toString('hex')}`
  await database.sql.unsafe(`
    CREATE ROLE ${role} LOGIN PASSWORD 'secret';
    GRANT SELECT ON kilocode_users, credit_transactions TO ${role};
    GRANT UPDATE (total_microdollars_acquired, next_credit_expiration_at, updated_at) ON kilocode_users TO ${role};
    GRANT UPDATE (expiry_date, expiration_baseline_microdollars_used), INSERT, DELETE ON credit_transactions TO ${role}`)
  sql = open()
})
afterEach(async () => {
  await sql.end()
  await database.sql.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
})

function open(): Sql {
  const url = new URL(database.url)
  url.username = role
  url.password = 'secret'
  return connect({ url: url.href }, 1)
}

async function answers(): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const use of USES) {
    found[use] = await preflight(sql, use).then(
      () => 'fine',
      (error: unknown) =>
        error instanceof Error ? `${error.name}: ${error.message.replaceAll(role, 'ROLE')}` : 'no error',
    )
  }
  return found
}

const FINE = { 'dry-run': 'fine', execute: 'fine', 'rollback-dry-run': 'fine', rollback: 'fine' }
const ALL_RIGHTS = 'docs/roles.sql holds all rights of this job. Nothing was done.'

test('all rights granted: every use is fine', async () => {
  expect(await answers()).toEqual(FINE)
})

test('a missing column privilege is named with the statement that grants it, to the uses that need it', async () => {
  await database.sql.unsafe(`REVOKE UPDATE (expiry_date) ON credit_transactions FROM ${role}`)
  const refusal = `LedgerUnavailable: The user ROLE lacks a right. If that is the user who may do this, and not one who may only read, run as the owner of the tables: GRANT UPDATE (expiry_date) ON credit_transactions TO "ROLE"; ${ALL_RIGHTS}`
  expect(await answers()).toEqual({ ...FINE, execute: refusal, rollback: refusal })
})

test('DELETE is needed by a rollback alone, INSERT by an execute alone', async () => {
  await database.sql.unsafe(`REVOKE DELETE ON credit_transactions FROM ${role}`)
  expect(await answers()).toEqual({
    ...FINE,
    rollback: expect.stringContaining('GRANT DELETE ON credit_transactions TO "ROLE";'),
  })
  await database.sql.unsafe(`REVOKE INSERT ON credit_transactions FROM ${role}`)
  expect(await answers()).toMatchObject({
    ...FINE,
    execute: expect.stringContaining('GRANT INSERT (id, kilo_user_id'),
    rollback: expect.not.stringContaining('INSERT'),
  })
})

test('no SELECT on a table: one statement for all its columns', async () => {
  await database.sql.unsafe(`REVOKE SELECT ON kilocode_users FROM ${role}`)
  expect((await answers())['dry-run']).toContain(
    'GRANT SELECT (id, google_user_email, microdollars_used, total_microdollars_acquired, ' +
      'next_credit_expiration_at, auto_top_up_enabled) ON kilocode_users TO "ROLE";',
  )
})

test('tables in a schema outside of the search_path are missing', async () => {
  await database.sql.unsafe(`ALTER ROLE ${role} SET search_path = elsewhere`)
  const refusal = `LedgerUnavailable: The user ROLE cannot see the table kilocode_users and the table credit_transactions. Check that DATABASE_URL leads to the ledger's database, that the user's search_path holds the schema of its tables, and that it has USAGE on that schema. Nothing was done.`
  expect((await answers())['dry-run']).toBe(refusal)
})

test('a missing column is named', async () => {
  await database.sql`ALTER TABLE credit_transactions RENAME COLUMN expiry_date TO expires_at`
  try {
    expect((await answers())['execute']).toBe(
      "LedgerUnavailable: Missing in the database: credit_transactions.expiry_date. The ledger's tables differ from those that this job was written for. Compare them before you continue. Nothing was done.",
    )
  } finally {
    await database.sql`ALTER TABLE credit_transactions RENAME COLUMN expires_at TO expiry_date`
  }
})

test('row-level security that hides rows is refused, since a closing row that is not seen would make its grant look open', async () => {
  await database.sql`ALTER TABLE credit_transactions ENABLE ROW LEVEL SECURITY`
  try {
    expect((await answers())['dry-run']).toContain(
      'Row-level security hides rows of credit_transactions from the user ROLE',
    )
    await database.sql.unsafe(`ALTER ROLE ${role} BYPASSRLS`)
    expect(await answers()).toEqual(FINE)
  } finally {
    await database.sql`ALTER TABLE credit_transactions DISABLE ROW LEVEL SECURITY`
  }
})

test('views of the tables are refused: a view may hide rows, and has no foreign keys or triggers', async () => {
  await database.sql.unsafe(`
    CREATE SCHEMA views AUTHORIZATION ${role};
    CREATE VIEW views.kilocode_users AS SELECT * FROM kilocode_users;
    CREATE VIEW views.credit_transactions AS
      SELECT * FROM credit_transactions WHERE credit_category <> 'credits_expired';
    GRANT ALL ON views.kilocode_users, views.credit_transactions TO ${role}`)
  await reconnect('SET search_path = views, public')
  try {
    const refusal = expect.stringMatching(
      /^LedgerUnavailable: Not a table: kilocode_users and credit_transactions\. /,
    )
    expect(await answers()).toEqual(Object.fromEntries(USES.map((use) => [use, refusal])))
  } finally {
    await database.sql`DROP SCHEMA views CASCADE`
  }
})

test('a user or database set read-only is refused for what writes, although BEGIN READ WRITE would get past it', async () => {
  await database.sql.unsafe(`ALTER ROLE ${role} SET default_transaction_read_only = on`)
  const refusal = expect.stringContaining('default_transaction_read_only is set for it or for this user')
  expect(await answers()).toEqual({ ...FINE, execute: refusal, rollback: refusal })
})

test('says where the connection leads to', async () => {
  const { server } = await preflight(sql, 'dry-run')
  const { host, pathname } = new URL(database.url)
  expect(server).toEqual({
    host,
    database: pathname.slice(1),
    user: role,
    version: expect.stringMatching(/^\d+\.\d+$/),
  })
})

test('the lock timeout is below the deadlock_timeout of the server, or writing is refused', async () => {
  const lockTimeout = async () => (await preflight(sql, 'execute')).lockTimeoutMs
  expect(await lockTimeout()).toBe(400)
  await reconnect("SET deadlock_timeout = '50ms'")
  expect(await lockTimeout()).toBe(25)
  await reconnect("SET deadlock_timeout = '15ms'")
  const refusal = expect.stringMatching(
    /^LedgerUnavailable: The server's deadlock_timeout is 15 ms\. .* Set deadlock_timeout to at least 20ms there/,
  )
  expect(await answers()).toEqual({ ...FINE, execute: refusal, rollback: refusal })
})

test('synchronous_commit = off is no reason to refuse: it is set on for each writing transaction', async () => {
  await reconnect('SET synchronous_commit = off')
  expect(await answers()).toEqual(FINE)
})

test('triggers on the two tables are warnings; those of other tables, disabled ones and the usual one of updated_at are not', async () => {
  await database.sql.unsafe(`
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
    CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON credit_transactions FOR EACH ROW EXECUTE FUNCTION stamp();
    CREATE TRIGGER asleep BEFORE UPDATE ON kilocode_users FOR EACH ROW EXECUTE FUNCTION stamp();
    ALTER TABLE kilocode_users DISABLE TRIGGER asleep;
    CREATE FUNCTION stamp_update() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN NEW.updated_at = now(); RETURN NEW; END $$;
    CREATE TRIGGER usual BEFORE UPDATE ON kilocode_users FOR EACH ROW EXECUTE FUNCTION stamp_update();
    CREATE TABLE another (id int);
    CREATE TRIGGER stamp BEFORE UPDATE ON another FOR EACH ROW EXECUTE FUNCTION stamp();
  `)
  try {
    expect((await preflight(sql, 'dry-run')).warnings).toEqual([
      'the table credit_transactions has the trigger stamp (BEFORE INSERT OR UPDATE FUNCTION stamp()): ' +
        'a user fails if it changes what the run writes; what else it changes is not seen, and is in no log',
    ])
  } finally {
    await database.sql`DROP FUNCTION stamp, stamp_update CASCADE`
  }
  expect((await preflight(sql, 'dry-run')).warnings).toEqual([])
})

test('a column that must have a value and gets none is a warning', async () => {
  await database.sql`ALTER TABLE credit_transactions ADD ledger_no int NOT NULL, ADD shard int NOT NULL DEFAULT 1`
  try {
    expect((await preflight(sql, 'dry-run')).warnings).toEqual([
      'the column credit_transactions.ledger_no is NOT NULL without a default: unless a trigger sets it, ' +
        'every user with a grant to close will fail. Give it a default',
    ])
  } finally {
    await database.sql`ALTER TABLE credit_transactions DROP ledger_no, DROP shard`
  }
  expect((await preflight(sql, 'dry-run')).warnings).toEqual([])
})

/** A role's settings are those of its next sessions. */
async function reconnect(setting: string): Promise<void> {
  await database.sql.unsafe(`ALTER ROLE ${role} ${setting}`)
  await sql.end()
  sql = open()
}

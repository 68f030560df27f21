import type { Sql } from 'postgres'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { auditRun } from '../../support/audit-run.ts'
import { betweenReadAndWrite } from '../../support/between.ts'
import { invokeJob, type JobPlace } from '../../support/job.ts'
import { dump } from '../../support/ledger.ts'
import { freshTeam, type Team } from '../../support/places/team.ts'

let team: Team
let sql: Sql
let place: JobPlace

/** Six users with one grant each. */
beforeEach(async () => {
  team = await freshTeam(6)
  sql = team.sql
  place = { databaseUrl: team.url, bucket: team.bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }
})
afterEach(() => team.drop())

const invoke = (event: object) => invokeJob(place, event)
const EXECUTE = { execute: true, batchSize: 2, concurrency: 1 }

/** What the ledger gets one day: columns of every kind, indexes, and triggers that stamp and audit. */
async function extend(): Promise<void> {
  await sql.unsafe(`
    CREATE TABLE audit_trail (at timestamptz DEFAULT now(), what text);
    CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO audit_trail (what) VALUES (tg_table_name || ' ' || tg_op);
      RETURN NULL;
    END $$;
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      new.stamped_at = clock_timestamp();
      RETURN new;
    END $$;`)
  for (const table of ['kilocode_users', 'credit_transactions']) {
    await sql.unsafe(`
      ALTER TABLE ${table}
        ADD COLUMN app_store_account_token uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
        ADD COLUMN document json DEFAULT '{"a": 1}',
        ADD COLUMN markup xml,
        ADD COLUMN place point DEFAULT '(1,2)',
        ADD COLUMN twice text GENERATED ALWAYS AS (id::text || id::text) STORED,
        ADD COLUMN checked integer NOT NULL DEFAULT 7 CHECK (checked > 0),
        ADD COLUMN blocked_at timestamptz,
        ADD COLUMN can_manage_credits boolean NOT NULL DEFAULT false,
        ADD COLUMN tags text[] DEFAULT '{a,b}',
        ADD COLUMN stamped_at timestamptz;
      CREATE INDEX ${table}_checked ON ${table} (checked);
      CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON ${table}
        FOR EACH ROW EXECUTE FUNCTION note_change();
      CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION stamp();`)
  }
  await sql`CREATE INDEX next_expiration ON kilocode_users (next_credit_expiration_at)`
}

async function takeAway(): Promise<void> {
  for (const table of ['kilocode_users', 'credit_transactions']) {
    await sql.unsafe(`
      DROP TRIGGER note_change ON ${table};
      DROP TRIGGER stamp ON ${table};
      ALTER TABLE ${table}
        DROP COLUMN app_store_account_token, DROP COLUMN document, DROP COLUMN markup, DROP COLUMN place,
        DROP COLUMN twice, DROP COLUMN checked, DROP COLUMN blocked_at, DROP COLUMN can_manage_credits,
        DROP COLUMN tags, DROP COLUMN stamped_at;`)
  }
}

/** Both tables without the columns that the database itself stamps. */
async function state(): Promise<unknown> {
  const { users, transactions } = await dump(sql, { updatedAt: false })
  const withoutStamp = (row: Record<string, unknown>) => ({ ...row, stamped_at: undefined })
  return { users: users.map(withoutStamp), transactions: transactions.map(withoutStamp) }
}

async function executeAndRollBack(between: () => Promise<void>): Promise<void> {
  const card = await invoke(EXECUTE)
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 6, usersFailed: 0 } })
  await between()
  const rollback = await invoke({ rollback: card.runId, execute: true })
  expect(rollback).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: 6, outcomes: { rolled_back: 6 } },
  })
  await auditRun(team.bucket, card.runId, sql)
  await auditRun(team.bucket, rollback.runId, sql)
}

const nothing = async (): Promise<void> => {}

describe('ten more columns, an index and two triggers on both tables', () => {
  test('before the run: it writes and rolls back, and its warnings name the triggers', async () => {
    await extend()
    const before = await state()
    await executeAndRollBack(nothing)
    expect(await state()).toEqual(before)
    const { warnings } = await invoke({})
    for (const trigger of ['note_change', 'stamp']) expect(warnings.join('\n')).toContain(trigger)
  })

  test('added between the run and its rollback', async () => {
    const before = await dump(sql, { updatedAt: false })
    await executeAndRollBack(extend)
    await takeAway()
    expect(await dump(sql, { updatedAt: false })).toEqual(before)
  })

  test('dropped again between the run and its rollback', async () => {
    const before = await dump(sql, { updatedAt: false })
    await extend()
    await executeAndRollBack(takeAway)
    expect(await dump(sql, { updatedAt: false })).toEqual(before)
  })
})

describe('a trigger or rule that changes what is written', () => {
  test.each([
    [
      'the total of a user moves by a cent',
      'BEFORE UPDATE ON kilocode_users',
      "new.id = 'user-2'",
      'new.total_microdollars_acquired = new.total_microdollars_acquired + 10000;',
    ],
    [
      'the date of a grant is rounded',
      'BEFORE UPDATE ON credit_transactions',
      "new.kilo_user_id = 'user-2'",
      "new.expiry_date = date_trunc('day', new.expiry_date);",
    ],
    [
      'the amount of a closing row changes',
      'BEFORE INSERT ON credit_transactions',
      "new.kilo_user_id = 'user-2'",
      'new.amount_microdollars = new.amount_microdollars + 1;',
    ],
    [
      'an insert moves the total',
      'AFTER INSERT ON credit_transactions',
      "new.kilo_user_id = 'user-2'",
      `UPDATE kilocode_users SET total_microdollars_acquired = total_microdollars_acquired - 112000000
         WHERE id = new.kilo_user_id;`,
    ],
    [
      'a closing row is stamped with who created it',
      'BEFORE INSERT ON credit_transactions',
      "new.kilo_user_id = 'user-2'",
      "new.created_by_kilo_user_id = coalesce(new.created_by_kilo_user_id, 'user-6');",
    ],
    [
      'a grant gets another original baseline',
      'BEFORE UPDATE ON credit_transactions',
      "new.kilo_user_id = 'user-2'",
      'new.original_baseline_microdollars_used = 7;',
    ],
  ])(
    '%s: only that user fails, with the reason, and nothing of the user is written',
    async (_, when, who, what) => {
      await sql.unsafe(`
      CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${what} RETURN new; END $$;
      CREATE TRIGGER meddle ${when} FOR EACH ROW WHEN (${who}) EXECUTE FUNCTION meddle();`)
      const rowsOf = async (id: string) => {
        const { users, transactions } = await dump(sql)
        return [users.find((user) => user.id === id), transactions.filter((row) => row.kilo_user_id === id)]
      }
      const before = await rowsOf('user-2')
      const card = await invoke(EXECUTE)
      expect(card).toMatchObject({
        status: 'complete_with_errors',
        totals: { usersProcessed: 5, usersFailed: 1 },
      })
      expect(await rowsOf('user-2')).toEqual(before)
      const { errors } = await auditRun(team.bucket, card.runId, sql)
      expect(errors).toMatchObject([
        {
          user_id: 'user-2',
          stage: 'apply',
          error: 'GuardConflict',
          message: expect.stringMatching(/is not as planned .*a trigger or rule/),
        },
      ])
    },
  )
})

test('a default that inserted rows get and the job does not know: the user fails, and nothing is written', async () => {
  await sql`ALTER TABLE credit_transactions ALTER check_category_uniqueness SET DEFAULT true`
  const before = await dump(sql)
  const card = await invoke({ ...EXECUTE, userIds: ['user-2'] })
  expect(card).toMatchObject({
    status: 'complete_with_errors',
    totals: { usersProcessed: 0, usersFailed: 1 },
  })
  expect(await dump(sql)).toEqual(before)
  const { errors, mutations } = await auditRun(team.bucket, card.runId, sql)
  expect(errors).toMatchObject([
    { error: 'GuardConflict', message: expect.stringContaining('is not as planned') },
  ])
  expect(mutations).toEqual([])
})

describe("an administrator's recomputation of a balance, guarded on updated_at", () => {
  /**
   * Reads the user, lets `between` happen, and writes only if updated_at is as it was read; says whether it
   * wrote.
   */
  async function recompute(between: () => Promise<unknown>): Promise<boolean> {
    const [user] = await sql<{ updated_at: string; total: string }[]>`
      SELECT updated_at::text, total_microdollars_acquired AS total FROM kilocode_users WHERE id = 'user-2'`
    await between()
    return sql.begin(async (tx) => {
      const written = await tx`
        UPDATE kilocode_users SET microdollars_used = 1000000, updated_at = clock_timestamp()
        WHERE id = 'user-2' AND updated_at = ${user?.updated_at ?? ''}::text::timestamptz`
      if (written.count === 0) return false
      await tx`
        UPDATE credit_transactions
        SET original_baseline_microdollars_used = 0, expiration_baseline_microdollars_used = 0
        WHERE kilo_user_id = 'user-2'`
      return true
    })
  }

  async function expectConsistent(runId: string): Promise<void> {
    const { mutations } = await auditRun(team.bucket, runId, sql)
    expect(mutations.some((line) => line.user_id === 'user-2')).toBe(true)
    const [user] = await sql<{ total: string; rows: string }[]>`
      SELECT total_microdollars_acquired AS total,
        (SELECT sum(amount_microdollars) FROM credit_transactions WHERE kilo_user_id = 'user-2') AS rows
      FROM kilocode_users WHERE id = 'user-2'`
    expect(user?.total).toBe(user?.rows)
  }

  test('that began before the run writes nothing after it', async () => {
    let runId = ''
    const wrote = await recompute(async () => {
      ;({ runId } = await invoke(EXECUTE))
    })
    expect(wrote).toBe(false)
    await expectConsistent(runId)
  })

  test('that lands between read and write makes the job read again', async () => {
    const wrote: boolean[] = []
    betweenReadAndWrite(team.s3, team.bucket, async (nth) => {
      if (nth === 1) wrote.push(await recompute(async () => {}))
    })
    const card = await invoke(EXECUTE)
    expect(wrote).toEqual([true])
    expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 6, expired: '$59.00' } })
    await expectConsistent(card.runId)
  })

  test('that began between read and write, and lands afterwards, writes nothing', async () => {
    const began = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    const recomputing: Promise<boolean>[] = []
    betweenReadAndWrite(team.s3, team.bucket, async (nth) => {
      if (nth !== 1) return
      recomputing.push(
        recompute(async () => {
          began.resolve()
          await ended.promise
        }),
      )
      await began.promise
    })
    const card = await invoke(EXECUTE)
    ended.resolve()
    expect(await Promise.all(recomputing)).toEqual([false])
    await expectConsistent(card.runId)
  })
})

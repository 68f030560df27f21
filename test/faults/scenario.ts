import { randomUUID } from 'node:crypto'
import { useTestClock } from '../support/clock.ts'
import { insertTransaction, insertUser } from '../support/ledger.ts'
import type { Sql } from 'postgres'

/** The user whose rows a trigger refuses. */
export const POISON_USER = 'user-05'
/** Users a page, so that the scenario has several pages in flight. */
export const BATCH_SIZE = 4

const USD = 1_000_000

/**
 * Twelve internal users on three pages: a partly and a fully spent grant, an undated and a dated one, a due
 * paid credit, a user to correct, one to skip, one without grants, a busy one and one whose rows a trigger
 * refuses. The database gets a clock that a test can set forward, so that a lease expires without waiting.
 */
export async function buildScenario(sql: Sql): Promise<void> {
  await sql.unsafe(`
    create schema test_clock;
    create table test_clock.ahead (by interval not null);
    insert into test_clock.ahead values ('0');
    create function test_clock.clock_timestamp() returns timestamptz language sql volatile
      as 'select pg_catalog.clock_timestamp() + by from test_clock.ahead';
    create function refuse_poison() returns trigger language plpgsql
      as $$ begin raise exception 'this user is refused'; end $$;
    create trigger refuse_poison before insert on credit_transactions
      for each row when (new.kilo_user_id = '${POISON_USER}' and new.amount_microdollars <= 0)
      execute function refuse_poison();
  `)
  await useTestClock(sql, sql.options.database)
  const user = (n: number, used = 0, acquired = 10) =>
    insertUser(sql, {
      id: `user-${String(n).padStart(2, '0')}`,
      microdollars_used: used * USD,
      total_microdollars_acquired: acquired * USD,
    })
  const grant = (n: number, given: Partial<Parameters<typeof insertTransaction>[1]> = {}) =>
    insertTransaction(sql, { kilo_user_id: `user-${String(n).padStart(2, '0')}`, ...given })

  for (const n of [1, 5, 7, 9, 10, 11]) {
    await user(n, n % 4)
    await grant(n)
  }
  await user(2, 10)
  await grant(2)
  await user(3, 3, 30)
  await grant(3)
  await grant(3, {
    is_free: false,
    amount_microdollars: 20 * USD,
    expiry_date: '2026-01-01T00:00:00.000123Z',
    credit_category: null,
  })
  await user(4, 4, 20)
  await grant(4, { expiry_date: '2999-01-01T00:00:00.000456Z', expiration_baseline_microdollars_used: 0 })
  await grant(4, {
    is_free: false,
    expiry_date: '2999-02-01T00:00:00.000789Z',
    expiration_baseline_microdollars_used: 0,
  })
  await user(6, 0, 0)
  await grant(6)
  await user(8)
  await grant(8)
  await grant(8, {
    amount_microdollars: -1 * USD,
    credit_category: 'orb_credit_voided',
    description: 'Voided',
  })
  await user(12)
  // A row of another user links to a grant of user 11: only the database can see it.
  const taken = await grant(11)
  await insertTransaction(sql, {
    kilo_user_id: `outsider-${randomUUID()}`,
    amount_microdollars: -5 * USD,
    credit_category: 'refund',
    original_transaction_id: taken.id,
  })
}

import { CLOSING_CATEGORIES, CORRECTION_CATEGORY } from '../rules/grants.ts'
import type { Found, InsertedRow, LoggedChange, Rollback } from '../rules/rollback.ts'
import { arrayOf, arraysOf } from './arrays.ts'
import type { Written } from './compare.ts'
import type { LedgerTransaction } from './connection/connect.ts'
import { findReferences, type ForeignKey } from './preflight/references.ts'
import { DEFAULTS, forTriggers } from './rows.ts'

/**
 * How the rows that a run inserted are now: in which columns they differ, and what refers to them. Absent
 * rows are not in the result. Compared by the columns that the job set or left to known defaults, so that a
 * column added since changes nothing.
 */
export async function readInserted(
  sql: LedgerTransaction,
  changes: readonly LoggedChange[],
  foreignKeys: readonly ForeignKey[],
): Promise<ReadonlyMap<string, InsertedRow>> {
  const logged = changes.flatMap(({ inserted }) => inserted)
  const expected = JSON.stringify(logged.map(({ row }) => ({ ...DEFAULTS, ...row })))
  const rows = await sql<{ id: string; differing: { column: string; expected: Found; found: Found }[] }[]>`
    -- read inserted rows
    select
      c.id,
      coalesce(
        (
          select jsonb_agg(jsonb_build_object('column', v.name, 'expected', v.expected, 'found', v.found) order by v.name)
          from (
            values
              ('kilo_user_id', p.kilo_user_id, c.kilo_user_id),
              ('amount_microdollars', p.amount_microdollars::text, c.amount_microdollars::text),
              ('expiration_baseline_microdollars_used', p.expiration_baseline_microdollars_used::text,
                c.expiration_baseline_microdollars_used::text),
              ('original_baseline_microdollars_used', p.original_baseline_microdollars_used::text,
                c.original_baseline_microdollars_used::text),
              ('is_free', p.is_free::text, c.is_free::text),
              ('description', p.description, c.description),
              ('stripe_payment_id', p.stripe_payment_id, c.stripe_payment_id),
              ('coinbase_credit_block_id', p.coinbase_credit_block_id, c.coinbase_credit_block_id),
              ('credit_category', p.credit_category, c.credit_category),
              ('original_transaction_id', p.original_transaction_id::text, c.original_transaction_id::text),
              ('expiry_date', p.expiry_date::text, c.expiry_date::text),
              ('created_at', p.created_at::text, c.created_at::text),
              ('organization_id', p.organization_id::text, c.organization_id::text),
              ('check_category_uniqueness', p.check_category_uniqueness::text, c.check_category_uniqueness::text),
              ('created_by_kilo_user_id', p.created_by_kilo_user_id, c.created_by_kilo_user_id)
          ) as v(name, expected, found)
          where v.expected is distinct from v.found
        ),
        '[]'::jsonb
      ) as differing
    from jsonb_to_recordset(${expected}::text::jsonb) as p(
      id uuid, kilo_user_id text, amount_microdollars bigint, expiration_baseline_microdollars_used bigint,
      original_baseline_microdollars_used bigint, is_free boolean, description text, stripe_payment_id text,
      coinbase_credit_block_id text, credit_category text, original_transaction_id uuid, expiry_date timestamptz,
      created_at timestamptz, organization_id uuid, check_category_uniqueness boolean, created_by_kilo_user_id text
    )
    join credit_transactions c on c.id = p.id
  `
  const references = await findReferences(
    sql,
    rows.map(({ id }) => id),
    foreignKeys,
  )
  return new Map(rows.map(({ id, differing }) => [id, { differing, references: references.get(id) ?? [] }]))
}

/**
 * Locks the rows that are to be deleted, then reads them again in a later statement, with the rows that refer
 * to them: a reference that comes after that waits for this transaction and then fails. Returns the rollbacks
 * whose rows are as inserted, and which nothing refers to.
 */
export async function lockInserted(
  tx: LedgerTransaction,
  rollbacks: readonly Rollback[],
  foreignKeys: readonly ForeignKey[],
): Promise<Rollback[]> {
  const ids = rollbacks.flatMap(({ logged }) => logged.inserted.map(({ id }) => id))
  await tx`
    -- lock inserted rows
    select id
    from credit_transactions
    where id = any (${arrayOf(ids)}::uuid[])
    order by id
    for update
  `
  const changes = rollbacks.map(({ logged }) => logged)
  const now = await readInserted(tx, changes, foreignKeys)
  const isAsInserted = (id: string): boolean => {
    const row = now.get(id)
    return row !== undefined && row.differing.length === 0 && row.references.length === 0
  }
  return rollbacks.filter(({ logged }) => logged.inserted.every(({ id }) => isAsInserted(id)))
}

/**
 * Writes users first, then what depends on those whose guard held: inserted rows are deleted, grants get
 * their values back. microdollars_used is no guard here: what was spent since stays spent. The number of
 * closing rows and corrections is one, since a closing row of 0 moves no total. Returns the users whose guard
 * held.
 */
export async function writeRollbacks(
  tx: LedgerTransaction,
  rollbacks: readonly Rollback[],
): Promise<ReadonlySet<string>> {
  if (rollbacks.length === 0) return new Set()
  const u = arraysOf(rollbacks.map(userParameter), USER_COLUMNS)
  const d = arraysOf(rollbacks.flatMap(deletedParameters), ['userId', 'id'])
  const g = arraysOf(rollbacks.flatMap(grantParameters), GRANT_COLUMNS)
  const [, rows] = await Promise.all([
    forTriggers(tx),
    tx<{ id: string }[]>`
    -- write rollbacks
    with held as (
      update kilocode_users u
      set
        total_microdollars_acquired = p.new_acquired,
        next_credit_expiration_at = p.new_next_expiration,
        updated_at = now()
      from unnest(
        ${u.id}::text[], ${u.acquired}::bigint[], ${u.nextExpiration}::timestamptz[],
        ${u.newAcquired}::bigint[], ${u.newNextExpiration}::timestamptz[], ${u.closings}::int[]
      ) as p(id, acquired, next_expiration, new_acquired, new_next_expiration, closings)
      where u.id = p.id
        and u.total_microdollars_acquired = p.acquired
        and u.next_credit_expiration_at is not distinct from p.next_expiration
        and p.closings = (
          select count(*)
          from credit_transactions c
          where c.kilo_user_id = u.id
            and (c.credit_category = any (${arrayOf(CLOSING_CATEGORIES)}::text[]) or c.credit_category = ${CORRECTION_CATEGORY})
        )
      returning u.id
    ),
    deleted as (
      delete from credit_transactions c
      using unnest(${d.userId}::text[], ${d.id}::uuid[]) as p(user_id, id)
      where (p.user_id in (select id from held)) is true
        and c.id = p.id
    ),
    restored as (
      update credit_transactions c
      set
        expiry_date = g.before_expiry_date,
        expiration_baseline_microdollars_used = g.before_baseline
      from unnest(
        ${g.userId}::text[], ${g.id}::uuid[], ${g.beforeExpiryDate}::timestamptz[], ${g.beforeBaseline}::bigint[],
        ${g.afterExpiryDate}::timestamptz[], ${g.afterBaseline}::bigint[]
      ) as g(user_id, id, before_expiry_date, before_baseline, after_expiry_date, after_baseline)
      where (g.user_id in (select id from held)) is true
        and c.id = g.id
        and (c.kilo_user_id = g.user_id) is true
        and c.organization_id is null
        and c.expiry_date is not distinct from g.after_expiry_date
        and c.expiration_baseline_microdollars_used is not distinct from g.after_baseline
    )
    select id from held
  `,
  ])
  return new Set(rows.map((row) => row.id))
}

const USER_COLUMNS = [
  'id',
  'acquired',
  'nextExpiration',
  'newAcquired',
  'newNextExpiration',
  'closings',
] as const

function userParameter({ user, acquiredMicrodollars, nextCreditExpirationAt, closingsNow }: Rollback) {
  return {
    id: user.id,
    acquired: user.acquiredMicrodollars,
    nextExpiration: user.nextCreditExpirationAt,
    newAcquired: acquiredMicrodollars,
    newNextExpiration: nextCreditExpirationAt,
    closings: closingsNow,
  }
}

function deletedParameters({ user, logged }: Rollback) {
  return logged.inserted.map(({ id }) => ({ userId: user.id, id }))
}

const GRANT_COLUMNS = [
  'userId',
  'id',
  'beforeExpiryDate',
  'beforeBaseline',
  'afterExpiryDate',
  'afterBaseline',
] as const

function grantParameters({ user, logged }: Rollback) {
  return logged.grants.map(({ id, before, after }) => ({
    userId: user.id,
    id,
    beforeExpiryDate: before.expiryDate,
    beforeBaseline: before.expirationBaselineMicrodollars,
    afterExpiryDate: after.expiryDate,
    afterBaseline: after.expirationBaselineMicrodollars,
  }))
}

/** What the ledger must hold for a user after writeRollbacks, as compareWritten compares it. */
export function writtenByRollback(rollback: Rollback): Written {
  const { user, logged } = rollback
  return {
    users: [
      {
        id: user.id,
        used: null,
        acquired: rollback.acquiredMicrodollars,
        nextExpiration: rollback.nextCreditExpirationAt,
      },
    ],
    grants: logged.grants.map(({ id, before }) => ({
      userId: user.id,
      id,
      amount: null,
      expiryDate: before.expiryDate,
      baseline: before.expirationBaselineMicrodollars,
      originalBaseline: null,
    })),
    inserted: [],
    deleted: deletedParameters(rollback),
  }
}

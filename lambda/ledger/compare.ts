import { arraysOf } from './arrays.ts'
import type { LedgerTransaction } from './connection/connect.ts'
import { GuardConflict, LeaseExpired } from './errors.ts'

/** What the ledger must hold after a write. Amounts in microdollars, times as ISO text. */
export type Written = {
  readonly users: readonly {
    readonly id: string
    /** Null where usage may have moved on. */
    readonly used: number | null
    readonly acquired: number
    readonly nextExpiration: string | null
  }[]
  readonly grants: readonly {
    readonly userId: string
    readonly id: string
    /** Null where it is not known. */
    readonly amount: number | null
    readonly expiryDate: string | null
    readonly baseline: number | null
    /** Compared where the amount is known. */
    readonly originalBaseline: number | null
  }[]
  readonly inserted: readonly {
    readonly userId: string
    readonly id: string
    readonly amount: number
    readonly isFree: boolean
    readonly description: string
    readonly category: string
    readonly link: string | null
    readonly createdAt: string
    readonly originalBaseline: number
  }[]
  readonly deleted: readonly { readonly userId: string; readonly id: string }[]
}

type Difference = { user_id: string; table_name: string; row_id: string; found: string | null }

/**
 * Reads again what was written, in a statement later than all writes and their deferred constraints, and
 * compares it field by field: a guard that failed for a grant, and a trigger or rule that rewrites or moves
 * anything, show here, before COMMIT. Then checks the lease by the database's clock: COMMIT goes out only
 * after that reply.
 * @throws GuardConflict naming the user and the row, LeaseExpired
 */
export async function compareWritten(
  tx: LedgerTransaction,
  written: readonly Written[],
  leaseExpiresAt: string,
): Promise<void> {
  const u = arraysOf(
    written.flatMap(({ users }) => users),
    ['id', 'used', 'acquired', 'nextExpiration'],
  )
  const g = arraysOf(
    written.flatMap(({ grants }) => grants),
    ['userId', 'id', 'amount', 'expiryDate', 'baseline', 'originalBaseline'],
  )
  const i = arraysOf(
    written.flatMap(({ inserted }) => inserted),
    ['userId', 'id', 'amount', 'isFree', 'description', 'category', 'link', 'createdAt', 'originalBaseline'],
  )
  const d = arraysOf(
    written.flatMap(({ deleted }) => deleted),
    ['userId', 'id'],
  )
  const [, , differences, clock] = await Promise.all([
    tx`set constraints all immediate`,
    tx`set local row_security = off`,
    tx<Difference[]>`
      -- compare what was written
      select p.id as user_id, 'kilocode_users' as table_name, p.id as row_id,
        concat_ws(', ', u.microdollars_used, u.total_microdollars_acquired, u.next_credit_expiration_at) as found
      from unnest(${u.id}::text[], ${u.used}::bigint[], ${u.acquired}::bigint[], ${u.nextExpiration}::timestamptz[])
        as p(id, used, acquired, next_expiration)
      left join kilocode_users u on u.id = p.id
      where (u.microdollars_used, u.total_microdollars_acquired, u.next_credit_expiration_at)
        is distinct from (coalesce(p.used, u.microdollars_used), p.acquired, p.next_expiration)
      union all
      select p.user_id, 'credit_transactions', p.id::text,
        concat_ws(
          ', ', c.amount_microdollars, c.expiry_date, c.expiration_baseline_microdollars_used,
          c.original_baseline_microdollars_used
        )
      from unnest(
        ${g.userId}::text[], ${g.id}::uuid[], ${g.amount}::bigint[], ${g.expiryDate}::timestamptz[],
        ${g.baseline}::bigint[], ${g.originalBaseline}::bigint[]
      ) as p(user_id, id, amount, expiry_date, baseline, original_baseline)
      left join credit_transactions c on c.id = p.id
      where (c.kilo_user_id, c.amount_microdollars, c.expiry_date, c.expiration_baseline_microdollars_used)
        is distinct from (p.user_id, coalesce(p.amount, c.amount_microdollars), p.expiry_date, p.baseline)
        or (p.amount is not null and c.original_baseline_microdollars_used is distinct from p.original_baseline)
      union all
      select p.user_id, 'credit_transactions', p.id::text,
        concat_ws(
          ', ', c.amount_microdollars, c.credit_category, c.original_transaction_id, c.created_at, c.stripe_payment_id,
          c.coinbase_credit_block_id, c.check_category_uniqueness, c.created_by_kilo_user_id
        )
      from unnest(
        ${i.userId}::text[], ${i.id}::uuid[], ${i.amount}::bigint[], ${i.isFree}::boolean[], ${i.description}::text[],
        ${i.category}::text[], ${i.link}::uuid[], ${i.createdAt}::timestamptz[], ${i.originalBaseline}::bigint[]
      ) as p(user_id, id, amount, is_free, description, category, link, created_at, original_baseline)
      left join credit_transactions c on c.id = p.id
      where (
          c.kilo_user_id, c.amount_microdollars, c.is_free, c.description, c.credit_category, c.original_transaction_id,
          c.created_at, c.original_baseline_microdollars_used, c.expiration_baseline_microdollars_used, c.expiry_date,
          c.organization_id
        ) is distinct from (
          p.user_id, p.amount, p.is_free, p.description, p.category, p.link,
          p.created_at, p.original_baseline, null::bigint, null::timestamptz,
          null::uuid
        )
        or num_nonnulls(c.stripe_payment_id, c.coinbase_credit_block_id, c.created_by_kilo_user_id) > 0
        or c.check_category_uniqueness
      union all
      select p.user_id, 'credit_transactions', p.id::text, 'not deleted'
      from unnest(${d.userId}::text[], ${d.id}::uuid[]) as p(user_id, id)
      join credit_transactions c on c.id = p.id
    `,
    tx<{ in_time: boolean }[]>`
      -- check lease
      select clock_timestamp() < ${leaseExpiresAt}::text::timestamptz as in_time
    `,
  ])
  const [first] = differences
  if (first) {
    throw new GuardConflict(
      `After the write, ${first.table_name} row ${first.row_id} of user ${first.user_id} is not as planned ` +
        `(found: ${first.found === null || first.found === '' ? 'no row' : first.found}). Another writer changed it, or a trigger or ` +
        'rule of the database rewrites what is written. Nothing was committed.',
    )
  }
  if (clock[0]?.in_time !== true)
    throw new LeaseExpired('The lease expired before COMMIT. Nothing of this transaction was committed.')
}

import type { Sql } from 'postgres'

/** How large a bench ledger is; `othersEach` is for users who are not internal. */
export type Size = {
  readonly users: number
  readonly internal: number
  readonly transactionsEach: number
  readonly othersEach: number
}

/**
 * The ledger of 7-targets: 50,000 users, 5,000 of them internal, 8 transactions each, about 32,000 targeted
 * grants.
 */
export const BENCH: Size = { users: 50_000, internal: 5_000, transactionsEach: 8, othersEach: 8 }

/**
 * Fills the two tables with made-up users, internal ones spread evenly among the others. Of the transactions
 * four in five are free, open grants, every other one dated; the rest are paid. Usage covers a part of them.
 * One user in fifty was clawed back. The same for the same size, so that copies can be compared.
 */
export async function seedBenchLedger(sql: Sql, size: Size): Promise<void> {
  const every = Math.floor(size.users / size.internal)
  await sql`
    insert into kilocode_users (
      id, google_user_email, google_user_name, google_user_image_url, stripe_customer_id,
      created_at, updated_at, microdollars_used, total_microdollars_acquired
    )
    select
      'oauth/google:1' || lpad(n::text, 20, '0'),
      'user' || n || case when n % ${every}::int = 0 then '@kilo.ai' else '@example.com' end,
      'User ' || n, 'https://example.com/' || n, 'cus_' || n,
      '2025-01-01', '2025-06-01',
      (n % 40) * 1000000::bigint + n % 1000,
      case when n % 50 = 0 then -20 else 0 end * 1000000::bigint
    from generate_series(1, ${size.users}) as n
  `
  await sql`
    insert into credit_transactions (
      id, kilo_user_id, amount_microdollars, is_free, description, credit_category, created_at,
      original_baseline_microdollars_used, expiration_baseline_microdollars_used, expiry_date
    )
    select
      md5(n || '/' || k)::uuid,
      'oauth/google:1' || lpad(n::text, 20, '0'),
      (1 + (n + k * 7) % 20) * 1000000::bigint,
      free,
      case when free then 'Promotional credit ' || k else 'Top-up' end,
      case when free then 'promo-' || k % 40 end,
      '2025-02-01'::timestamptz + (k % 300) * interval '1 day' + n * interval '1 second',
      0,
      case when k % 2 = 0 and free then 0 end,
      case when k % 2 = 0 and free then '2099-01-01'::timestamptz + k * interval '1 day' end
    from generate_series(1, ${size.users}) as n
    cross join lateral generate_series(
      1, case when n % ${every}::int = 0 then ${size.transactionsEach}::int else ${size.othersEach}::int end
    ) as k
    cross join lateral (select (n / ${every}::int + k) % 5 <> 0 as free) as kind
  `
  await sql`
    update kilocode_users u
    set
      total_microdollars_acquired = u.total_microdollars_acquired + t.amount,
      next_credit_expiration_at = t.next_expiration
    from (
      select kilo_user_id, sum(amount_microdollars) as amount, min(expiry_date) as next_expiration
      from credit_transactions
      group by kilo_user_id
    ) t
    where t.kilo_user_id = u.id
  `
  await sql`vacuum (full, analyze) kilocode_users`
  await sql`vacuum (full, analyze) credit_transactions`
}

/**
 * What the two tables come to, as one hash: times equal to `instant` (however it was chosen) and the ids of
 * inserted rows count as the same. Contenders that do the same work come to the same hash.
 */
export async function stateHash(sql: Sql, instant: string): Promise<string> {
  const rows = await sql<{ hash: string }[]>`
    with lines as (
      select concat_ws('|', 'user', id, microdollars_used, total_microdollars_acquired, next_credit_expiration_at) as line
      from kilocode_users
      union all
      select concat_ws(
        '|', 'row', kilo_user_id, case when credit_category in ('credits_expired', 'accounting_adjustment') then 'new' else id::text end,
        amount_microdollars, is_free, description, credit_category, original_transaction_id,
        original_baseline_microdollars_used, expiration_baseline_microdollars_used,
        case when expiry_date = ${instant}::text::timestamptz then 'instant' else expiry_date::text end,
        case when created_at = ${instant}::text::timestamptz then 'instant' else created_at::text end
      )
      from credit_transactions
    )
    select md5(string_agg(line, E'\n' order by line collate "C")) as hash from lines
  `
  return rows[0]?.hash ?? ''
}

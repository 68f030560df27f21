import type { ISql } from 'postgres'

/**
 * Adds ordinary users, the first `internal` of them internal: each with up to six credits, of which a part is
 * spent, and with the rows by which the application closed those that are past their date. All choices come
 * from hashes of the user's number. Totals are left to setBalances.
 */
export async function addOrdinaryUsers(
  sql: ISql,
  { now, internal, users }: { readonly now: Date; readonly internal: number; readonly users: number },
): Promise<void> {
  const at = now.toISOString()
  await sql`
    insert into kilocode_users (
      id, google_user_email, google_user_name, google_user_image_url, stripe_customer_id,
      created_at, updated_at, microdollars_used, auto_top_up_enabled, email_domain
    )
    select
      case when n % 7 = 0 then md5(n::text)::uuid::text else 'oauth/google:2' || lpad(n::text, 20, '0') end,
      lower(first || '.' || last) || n || '@' || domain,
      first || ' ' || last,
      'https://images.example.com/' || n || '.png',
      'cus_' || left(md5('customer' || n), 14),
      ${at}::timestamptz - interval '700 days',
      ${at}::timestamptz - interval '1 day',
      0,
      get_byte(h, 3) % 20 = 0,
      case when get_byte(h, 4) % 3 = 0 then domain end
    from generate_series(1, ${users}::int) n
    cross join lateral (select sha256(n::text::bytea) as h) hashes
    cross join lateral (
      select
        (array['Amina', 'Anton', 'Aoife', 'Carlos', 'Deepa', 'Emeka', 'Freya', 'Hana', 'Jonas', 'Kaito', 'Lucia',
          'Milan', 'Noor', 'Oskar', 'Ravi', 'Sofia', 'Thandi', 'Wei', 'Xenia'])[1 + get_byte(h, 0) % 19] as first,
        (array['Almeida', 'Bauer', 'Cohen', 'Dubois', 'Eriksen', 'Garcia', 'Hansen', 'Ito', 'Kim', 'Mbeki', 'Nguyen',
          'Okafor', 'Patel', 'Reyes', 'Silva', 'Torres', 'Wang', 'Yilmaz', 'Zhang'])[1 + get_byte(h, 1) % 19] as last,
        case
          when n <= ${internal}::int then (array['kilocode.ai', 'kilo.ai'])[1 + n % 2]
          else (array['gmail.com', 'outlook.com', 'proton.me', 'example.org'])[1 + get_byte(h, 2) % 4]
        end as domain
    ) names
  `
  await sql`
    with grants as (
      select
        md5(u.id || '/' || k)::uuid as id,
        u.id as kilo_user_id,
        amount,
        case when get_byte(h, 2) % 5 = 0 then amount else amount * get_byte(h, 3) / 255 end as spent,
        get_byte(h, 0) % 4 = 0 and k > 1 as paid,
        case
          when k = 1 then 'automatic-welcome-credits'
          when get_byte(h, 0) % 4 = 0 then 'stripe-top-up'
          else (array['conference-booth-2026', 'referral-referring-bonus', 'internal-hackathon',
            'team-testing-credits'])[1 + get_byte(h, 4) % 4]
        end as category,
        granted_at,
        granted_at + make_interval(days => (array[null, null, 30, 90, 365])[1 + get_byte(h, 5) % 5]) as expiry_date,
        k
      from kilocode_users u
      cross join generate_series(1, 6) k
      cross join lateral (select sha256((u.google_user_email || '/' || k)::bytea) as h) hashes
      cross join lateral (
        select
          (array[5, 10, 20, 25, 50, 100])[1 + get_byte(h, 1) % 6]::bigint * 1000000 as amount,
          ${at}::timestamptz - make_interval(days => 690 - k * 100 - get_byte(h, 6) % 90, secs => get_byte(h, 7) * 0.100457)
            as granted_at
      ) chosen
      where u.created_at = ${at}::timestamptz - interval '700 days'
        and k <= get_byte(sha256(u.google_user_email::bytea), 0) % 7
    ),
    placed as (
      select
        *,
        (sum(spent) over (partition by kilo_user_id order by k) - spent)::bigint as used
      from grants
    ),
    added as (
      insert into credit_transactions (
        id, kilo_user_id, amount_microdollars, is_free, description, credit_category, stripe_payment_id, expiry_date,
        created_at, original_baseline_microdollars_used, expiration_baseline_microdollars_used,
        check_category_uniqueness
      )
      select
        id, kilo_user_id, amount, not paid, 'Credits: ' || category, category,
        case when paid then 'pi_' || left(md5(id::text), 24) end,
        expiry_date, granted_at, used, case when expiry_date is not null then used end, k = 1
      from placed
    ),
    closed as (
      insert into credit_transactions (
        id, kilo_user_id, amount_microdollars, is_free, description, credit_category, original_transaction_id,
        created_at, original_baseline_microdollars_used
      )
      select
        md5(id || '/closed')::uuid, kilo_user_id, spent - amount, not paid, 'Expired: Credits: ' || category,
        'credits_expired', id, expiry_date, used + spent
      from placed
      where expiry_date <= ${at}::timestamptz
    )
    update kilocode_users as u
    set microdollars_used = s.used
    from (select kilo_user_id, sum(spent) as used from grants group by kilo_user_id) s
    where u.id = s.kilo_user_id
  `
}

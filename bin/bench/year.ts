import type { Sql } from 'postgres'
import type { ExitCard } from '../../lambda/exit-card.ts'

/** A ledger, the job on it, and how many weeks it runs for. */
export type Year = {
  readonly sql: Sql
  readonly invoke: (event: object) => Promise<ExitCard>
  readonly weeks: number
  /** What else happens at the beginning of a week, from 1. */
  readonly beforeWeek?: (week: number) => Promise<void>
}

/**
 * Weekly runs on a bench ledger: each week every internal user gets a free grant and spends something, then a
 * dry run is made and executed.
 */
export async function runYear({ sql, invoke, weeks, beforeWeek }: Year): Promise<void> {
  for (let week = 1; week <= weeks; week++) {
    await beforeWeek?.(week)
    await grantAndSpend(sql, week)
    const { runId } = await invoke({ reason: `dry run of week ${week}` })
    await invoke({ execute: true, plan: runId, reason: `clean-up of week ${week}` })
  }
}

async function grantAndSpend(sql: Sql, week: number): Promise<void> {
  await sql`
    with granted as (
      insert into credit_transactions (
        id, kilo_user_id, amount_microdollars, is_free, description, credit_category, created_at,
        original_baseline_microdollars_used
      )
      select
        gen_random_uuid(), id, (2 + n % 9) * 1000000::bigint, true,
        'Team credit of week ' || ${week}::int, 'team-testing-credits', clock_timestamp() - interval '2 days',
        microdollars_used
      from (
        select *, row_number() over (order by id) + ${week}::int as n
        from kilocode_users
        where google_user_email like '%@kilo.ai'
      ) internal
      returning kilo_user_id, amount_microdollars
    )
    update kilocode_users u
    set
      total_microdollars_acquired = u.total_microdollars_acquired + granted.amount_microdollars,
      microdollars_used = u.microdollars_used
        + least(granted.amount_microdollars, (1 + ${week}::int % 7) * 700000::bigint)
    from granted
    where granted.kilo_user_id = u.id
  `
}

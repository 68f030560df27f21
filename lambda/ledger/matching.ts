import { CORRECTION_CATEGORY, CORRECTION_DESCRIPTION } from '../rules/grants.ts'
import type { Sql } from './connect.ts'
import { readTransaction } from './transaction.ts'

/**
 * What a face value stops at. It is only ever held against a limit, which so much is over in any case; that the amount
 * itself cannot be worked with is for the plan of that one user to say.
 */
export const MOST_MICRODOLLARS = Number.MAX_SAFE_INTEGER

/** One user who matches, with what an opening has to know: ledger rows, targeted grants, and their face value in microdollars. */
export type MatchingUser = {
  readonly id: string
  readonly email: string
  readonly rows: number
  readonly grants: number
  readonly faceValueMicrodollars: number
}

/** Which users a run is about; `userIds` null means all of these domains. */
export type Selection = { readonly domains: readonly string[]; readonly userIds: readonly string[] | null }

/**
 * Reads every matching user once, in the database's id order, and hands each to `onUser` as it arrives. One scan
 * of the users table, however sparse the internal users are. The e-mail's domain is matched by case-insensitive
 * suffix; the caller checks each row again by the rule (1-ledger-rules, "Who and what").
 * @throws LedgerUnavailable, and whatever `onUser` throws
 */
export async function readMatchingUsers(
  sql: Sql,
  selection: Selection,
  correctionDescriptions: readonly string[],
  onUser: (user: MatchingUser) => void,
): Promise<void> {
  const patterns = JSON.stringify(selection.domains.map((domain) => `%@${domain.replace(/[\\%_]/g, '\\$&')}`))
  const userIds = selection.userIds && JSON.stringify(selection.userIds)
  const descriptions = JSON.stringify([CORRECTION_DESCRIPTION, ...correctionDescriptions])

  await readTransaction(sql, async (tx) => {
    type Row = { id: string; email: string; rows: string; grants: string; face_value: string }
    // No cursor: rows fetched through one forbid a parallel plan, and make PostgreSQL prefer a slow one with a fast first row.
    await tx<Row[]>`
      select
        u.id,
        u.google_user_email as email,
        ledger.rows,
        ledger.grants,
        ledger.face_value
      from kilocode_users u
      cross join lateral (
        select
          count(*) as rows,
          count(*) filter (where t.targeted) as grants,
          coalesce(sum(t.amount_microdollars) filter (where t.targeted), 0) as face_value
        from (
          select
            c.amount_microdollars,
            c.is_free
              and c.organization_id is null
              and c.amount_microdollars > 0
              and not (
                c.credit_category is not distinct from ${CORRECTION_CATEGORY}
                and c.description is not null
                and c.description = any (array(select jsonb_array_elements_text(${descriptions}::text::jsonb)))
              )
              and not exists (
                select from credit_transactions link where link.original_transaction_id = c.id
              ) as targeted
          from credit_transactions c
          where c.kilo_user_id = u.id
        ) t
      ) ledger
      where lower(u.google_user_email collate "C") like any (array(select jsonb_array_elements_text(${patterns}::text::jsonb)))
        and (
          ${userIds}::text is null
          or u.id = any (array(select jsonb_array_elements_text(${userIds}::text::jsonb)))
        )
      order by u.id
    `.forEach((row) =>
      onUser({
        id: row.id,
        email: row.email,
        rows: Number(row.rows),
        grants: Number(row.grants),
        faceValueMicrodollars: Math.min(Number(row.face_value), MOST_MICRODOLLARS),
      }),
    )
  })
}

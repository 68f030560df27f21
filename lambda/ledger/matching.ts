import { CLOSING_CATEGORIES, CORRECTION_CATEGORY, CORRECTION_DESCRIPTION } from '../rules/grants.ts'
import { foldAscii } from '../rules/internal.ts'
import type { RuleSettings } from '../rules/types.ts'
import type { Sql, LedgerTransaction } from './connection/connect.ts'
import { DEFAULT_PATIENCE, type Patience, readInTime, withRetriedRead } from './connection/transaction.ts'

/**
 * The highest face value that is reported. It is compared with a limit, and exceeds any; that the amount
 * itself cannot be worked with is an error of that one user, found when the user is planned.
 */
export const MOST_MICRODOLLARS = Number.MAX_SAFE_INTEGER

/**
 * One user who matches, with what opening a run needs: ledger rows, targeted grants, and their face value in
 * microdollars.
 */
export type MatchingUser = {
  readonly id: string
  readonly email: string
  readonly rows: number
  readonly grants: number
  readonly faceValueMicrodollars: number
}

/** Which users a run is about; `userIds` null means all of these domains. */
export type UserSelection = {
  readonly domains: readonly string[]
  readonly userIds: readonly string[] | null
}

/** What of the rules decides which grants are targeted. */
export type TargetSettings = Pick<
  RuleSettings,
  'correctionDescriptions' | 'categories' | 'excludedCategories'
>

/** These statements go through the whole table of users, which may be large, and not in memory yet. */
const SCAN = { statementMs: 120_000 }

/**
 * Reads every matching user once, in the database's id order, and hands each to `onUser` as it arrives. One
 * scan of the users table, however sparse the internal users are. The e-mail's domain is matched as a suffix,
 * with ASCII letters folded under the "C" collation, whatever the collation of the database: code folds the
 * same way, and the caller checks each row again by the rule (1-ledger-rules, "Who and what").
 * @throws LedgerUnavailable, and whatever `onUser` throws
 */
export async function readMatchingUsers(
  sql: Sql,
  selection: UserSelection,
  settings: TargetSettings,
  onUser: (user: MatchingUser) => void,
  patience: Patience = DEFAULT_PATIENCE,
): Promise<void> {
  const suffixes = JSON.stringify(selection.domains.map((domain) => `%@${escapeLike(domain)}`))
  const userIds = selection.userIds && JSON.stringify(selection.userIds)
  const descriptions = JSON.stringify([CORRECTION_DESCRIPTION, ...settings.correctionDescriptions])
  const closing = JSON.stringify(CLOSING_CATEGORIES)
  const categories = settings.categories && JSON.stringify(settings.categories.map(likeOf))
  const excluded = JSON.stringify(settings.excludedCategories.map(likeOf))

  await readInTime(
    sql,
    async (tx) => {
      type Row = { id: string; email: string; rows: string; grants: string; face_value: string }
      // No cursor: rows fetched through one forbid a parallel plan, and make PostgreSQL prefer a slow one with
      // a fast first row. Materialized: beside what the grants of so many users cost by its estimate, PostgreSQL
      // takes no notice of the scan, and walks the whole primary key, alone, for the order that it gives. Ordered
      // in there too: from version 17 on, it need not sort again, and users arrive while others are counted.
      await tx<Row[]>`
      -- match users
      with internal as materialized (
        select u.id, u.google_user_email
        from kilocode_users u
        where lower(u.google_user_email collate "C")
            like any (array(select jsonb_array_elements_text(${suffixes}::text::jsonb)))
          and (
            ${userIds}::text is null
            or u.id = any (array(select jsonb_array_elements_text(${userIds}::text::jsonb)))
          )
        order by u.id
      )
      select
        u.id,
        u.google_user_email as email,
        ledger.rows,
        ledger.grants,
        ledger.face_value
      from internal u
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
              and not coalesce(
                c.credit_category = any (array(select jsonb_array_elements_text(${closing}::text::jsonb)))
                or c.credit_category collate "C"
                  like any (array(select jsonb_array_elements_text(${excluded}::text::jsonb))),
                false
              )
              and (
                ${categories}::text is null
                or coalesce(
                  c.credit_category collate "C"
                    like any (array(select jsonb_array_elements_text(${categories}::text::jsonb))),
                  false
                )
              )
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
    },
    patience,
    SCAN,
  )
}

/** A category pattern (exact, or ending in `*`) as a pattern of LIKE. */
function likeOf(pattern: string): string {
  return pattern.endsWith('*') ? `${escapeLike(pattern.slice(0, -1))}%` : escapeLike(pattern)
}

function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&')
}

/** A user that a payload or the configuration names; `place` is the index in the list given. */
export type NamedUser = { readonly place: number; readonly id: string; readonly email: string }

/**
 * Finds the users that a list names by id or by e-mail (ASCII letters in any case), in the order of the list.
 * A text that names no user has no row; an e-mail that several users have in different case has one for each.
 * @throws LedgerUnavailable
 */
export async function findNamedUsers(
  sql: Sql,
  idsOrEmails: readonly string[],
  patience: Patience = DEFAULT_PATIENCE,
): Promise<NamedUser[]> {
  const names = JSON.stringify(
    idsOrEmails.map((name, place) => ({
      place,
      id: name,
      email: name.includes('@') ? foldAscii(name) : null,
    })),
  )
  const find = async (tx: LedgerTransaction): Promise<NamedUser[]> => {
    // Two joins: one over the primary key, one that scans the users table once. A join with "or" would scan
    // it per name.
    const rows = await tx<NamedUser[]>`
      -- find named users
      with named as (
        select * from jsonb_to_recordset(${names}::text::jsonb) as n(place int, id text, email text)
      )
      select named.place, u.id, u.google_user_email as email
      from named
      join kilocode_users u on u.id = named.id
      union
      select named.place, u.id, u.google_user_email
      from named
      join kilocode_users u on lower(u.google_user_email collate "C") = named.email collate "C"
      order by place, id
    `
    return [...rows]
  }
  return withRetriedRead(sql, find, patience, SCAN)
}

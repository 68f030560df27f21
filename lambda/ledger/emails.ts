import { arrayOf } from './arrays.ts'
import type { Sql } from './connect.ts'
import { type Patience, withRetriedRead } from './transaction.ts'

/**
 * The ids of users by their e-mail address, ASCII letters compared in lower case: several users may differ in case only.
 * @throws LedgerUnavailable, LedgerBusy
 */
export async function findUsersByEmail(
  sql: Sql,
  foldedEmails: readonly string[],
  patience: Patience,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await withRetriedRead(
    sql,
    async (tx) => tx<{ id: string; email: string }[]>`
      select id, lower(google_user_email collate "C") as email
      from kilocode_users
      where lower(google_user_email collate "C") = any (${arrayOf(foldedEmails)}::text[])
    `,
    patience,
  )
  return new Map(
    foldedEmails.map((wanted) => [wanted, rows.filter(({ email }) => email === wanted).map(({ id }) => id)]),
  )
}

import type { Sql } from '../../lambda/ledger/connect.ts'
import { readTransaction } from '../../lambda/ledger/transaction.ts'
import { isInternal } from '../../lambda/rules/internal.ts'
import type { Tools } from '../../lambda/run/tools.ts'
import { UsageError } from './options.ts'

/**
 * The ids of the users that `--user-ids` names by id or e-mail address; every one of them is internal.
 * @throws UsageError that repeats the value as typed, LedgerUnavailable
 */
export async function userIds(typed: readonly string[], tools: Tools): Promise<readonly string[]> {
  const found = await readSelected(tools.ledger.reader, typed)
  return typed.map((value) => userId(value, found, tools.config.domains))
}

function userId(typed: string, users: readonly Found[], domains: readonly string[]): string {
  const exact = users.filter(({ id, email }) => id === typed || email === typed)
  const matches = exact.length > 0 ? exact : users.filter(({ email }) => fold(email) === fold(typed))
  const [user, another] = matches
  if (user === undefined)
    throw new UsageError(`--user-ids: no user has the id or e-mail address ${typed}. Nothing was done.`)
  if (another !== undefined) {
    const ids = matches.map(({ id }) => id).join(' and ')
    throw new UsageError(`--user-ids: ${typed} fits the users ${ids}. Nothing was done. Give the id.`)
  }
  if (isInternal(user.email, domains)) return user.id
  throw new UsageError(
    `--user-ids: ${typed} is not an internal user. Internal domains are ${domains.join(' and ')} (INTERNAL_DOMAINS). Nothing was done.`,
  )
}

function fold(email: string): string {
  return email.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())
}

type Found = { readonly id: string; readonly email: string }

/**
 * The users whose id, or e-mail address apart from the case of ASCII letters, is one of `values`.
 * @throws LedgerUnavailable
 */
async function readSelected(sql: Sql, values: readonly string[]): Promise<readonly Found[]> {
  return readTransaction(
    sql,
    async (tx) => tx<Found[]>`
      select id, google_user_email as email
      from kilocode_users
      where id = any (array(select jsonb_array_elements_text(${JSON.stringify(values)}::text::jsonb)))
        or lower(google_user_email collate "C") = any (
          array(select lower(value collate "C") from jsonb_array_elements_text(${JSON.stringify(values)}::text::jsonb) value)
        )
    `,
  )
}

import { findNamedUsers, type NamedUser } from '../../lambda/ledger/matching.ts'
import { foldAscii, isInternal } from '../../lambda/rules/internal.ts'
import type { Tools } from '../../lambda/run/tools.ts'
import { UsageError } from './options.ts'

/**
 * The ids of the users that `--user-ids` names by id or e-mail address; every one of them is internal.
 * @throws UsageError that repeats the value as typed, LedgerUnavailable
 */
export async function userIds(typed: readonly string[], tools: Tools): Promise<readonly string[]> {
  const found = await findNamedUsers(tools.ledger.reader, typed)
  return typed.map((value) => userId(value, found, tools.config.domains))
}

function userId(typed: string, users: readonly NamedUser[], domains: readonly string[]): string {
  const exact = users.filter(({ id, email }) => id === typed || email === typed)
  const matches =
    exact.length > 0 ? exact : users.filter(({ email }) => foldAscii(email) === foldAscii(typed))
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

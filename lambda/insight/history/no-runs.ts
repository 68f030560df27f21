import { isInternal } from '../../rules/internal.ts'
import type { Tools } from '../../run/tools.ts'
import type { Period } from './when.ts'
import { findInLedger } from './which-user.ts'

/** A user without a run: the address that the ledger has, and why there is no run. */
export type NoRuns = { readonly email: string | null; readonly why: string }

/**
 * Says why there is nothing to tell of a user: the period, a spelling, or an address that is not internal.
 * A ledger that does not answer leaves the reason out.
 */
export async function noRuns(
  userId: string,
  { from, to, dryRuns }: Period & { readonly dryRuns: boolean },
  tools: Tools,
): Promise<NoRuns> {
  const period = [...bound('from', from), ...bound('to', to)].join('')
  const none = `No run${dryRuns ? '' : ' that wrote to the ledger'} matched this user${period}`
  const found = await findInLedger(userId, tools)
  if (found === null) return { email: null, why: `${none}.` }
  const [user] = found
  if (!user) return { email: null, why: `${none}, and the ledger has no such user: check the spelling.` }
  const { domains } = tools.config
  const outside = `, whose e-mail address is not internal (${domains.join(', ')})`
  return { email: user.email, why: `${none}${isInternal(user.email, domains) ? '' : outside}.` }
}

function bound(name: string, time: string | undefined): string[] {
  return time === undefined ? [] : [` ${name} ${time}`]
}

import { findNamedUsers } from '../../ledger/matching.ts'
import { isInternal } from '../../rules/internal.ts'
import type { Tools } from '../../run/tools.ts'
import type { Period } from './when.ts'

/** What is known of a user whom no run matched: the address in the ledger, and why there is no run. */
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
  const period =
    from === undefined && to === undefined ? '' : ` ${[...bound('from', from), ...bound('to', to)].join(' ')}`
  const none = `No run${dryRuns ? '' : ' that wrote to the ledger'} matched this user${period}`
  const { domains } = tools.config
  try {
    const [user] = await findNamedUsers(tools.ledger.reader, [userId])
    if (!user) return { email: null, why: `${none}, and the ledger has no such user: check the spelling.` }
    const isOutside = !isInternal(user.email, domains)
    const outside = `, whose e-mail address is not internal (${domains.join(', ')})`
    return { email: user.email, why: `${none}${isOutside ? outside : ''}.` }
  } catch (error) {
    tools.log('the ledger did not answer; whether it has the user is not known', {
      cause: error instanceof Error ? error.message : 'unknown',
    })
    return { email: null, why: `${none}.` }
  }
}

function bound(name: string, time: string | undefined): string[] {
  return time === undefined ? [] : [`${name} ${time}`]
}

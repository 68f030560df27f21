import { RunRefused } from '../../errors.ts'
import { findNamedUsers } from '../../ledger/matching.ts'
import type { Tools } from '../../run/tools.ts'
import { findInLogs } from './logged-emails.ts'

/**
 * The user id that an id or an e-mail address means. An address is looked up in the ledger; one that the
 * ledger does not have (any more) is looked for in the logs of these runs, the newest first.
 * @throws RunRefused where an address names no user, or several
 */
export async function whichUser(asked: string, runIds: readonly string[], tools: Tools): Promise<string> {
  if (!asked.includes('@')) return asked
  const inLedger = await findInLedger(asked, tools)
  const ids = inLedger.length > 0 ? inLedger : await findInLogs(asked, runIds, tools)
  const [id, ...others] = ids
  if (id === undefined) {
    throw new RunRefused(
      'No user has this e-mail address, neither in the ledger nor in the logs that could be read in ' +
        'time. Nothing was done. Correct it, or send {"history": "<user id>"}.',
    )
  }
  if (others.length === 0) return id
  throw new RunRefused(
    `Several users have this e-mail address: ${ids.join(', ')}. Nothing was done. Send {"history": "<user id>"} for one ` +
      'of them.',
  )
}

/** A ledger that cannot be reached is no reason to fail: the logs hold the address too. */
async function findInLedger(email: string, tools: Tools): Promise<string[]> {
  try {
    return [...new Set((await findNamedUsers(tools.ledger.reader, [email])).map(({ id }) => id))]
  } catch (error) {
    tools.log('the ledger did not answer; the e-mail address is looked for in the logs', {
      cause: error instanceof Error ? error.message : 'unknown',
    })
    return []
  }
}

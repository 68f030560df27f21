import { RunRefused } from '../../errors.ts'
import { findNamedUsers, type NamedUser } from '../../ledger/matching.ts'
import type { Tools } from '../../run/tools.ts'
import { findInLogs } from './logged-emails.ts'

/**
 * The user id that an id or an e-mail address means. An address is looked up in the ledger; one that the
 * ledger does not have (any more) is looked for in the logs of these runs, the newest first.
 * @throws RunRefused where an address names no user, or several
 */
export async function whichUser(asked: string, runIds: readonly string[], tools: Tools): Promise<string> {
  if (!asked.includes('@')) return asked
  const inLedger = new Set((await findInLedger(asked, tools))?.map((user) => user.id))
  const ids = inLedger.size > 0 ? [...inLedger] : await findInLogs(asked, runIds, tools)
  const [id, ...others] = ids
  if (id === undefined) {
    throw new RunRefused(
      'No user has this e-mail address, neither in the ledger nor in the logs that could be read. ' +
        'Nothing was done. Correct it, or send {"history": "<user id>"}.',
    )
  }
  if (others.length === 0) return id
  throw new RunRefused(
    `Several users have this e-mail address: ${ids.join(', ')}. Nothing was done. Send {"history": "<user id>"} for one ` +
      'of them.',
  )
}

/**
 * The users that the ledger has by this id or e-mail address; null where it does not answer, which is no reason
 * to fail: the story comes from the logs.
 */
export async function findInLedger(idOrEmail: string, tools: Tools): Promise<NamedUser[] | null> {
  try {
    return await findNamedUsers(tools.ledger.reader, [idOrEmail], tools)
  } catch (error) {
    tools.log('the ledger did not answer; only the logs are searched for the user', {
      cause: error instanceof Error ? error.message : 'unknown',
    })
    return null
  }
}

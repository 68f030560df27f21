import * as z from 'zod'
import { type NamedPage, readCursor } from '../../archive/cursor.ts'
import { parseDocument } from '../../archive/documents.ts'
import { partKey } from '../../archive/keys.ts'
import { getVerified } from '../../archive/s3/objects.ts'
import type { Store } from '../../archive/s3/store.ts'
import { RunRefused } from '../../errors.ts'
import { findNamedUsers } from '../../ledger/matching.ts'
import { foldAscii } from '../../rules/internal.ts'
import type { Tools } from '../../run/tools.ts'

/** What is left of the invocation for the story itself. */
const RESERVE_MS = 20_000
const RUNS_AT_A_TIME = 8

/**
 * The user id that an id or an e-mail address means. An address is looked up in the ledger; one that the
 * ledger does not have (any more) is looked for in the logs of these runs, the first one that has it counts.
 * @throws RunRefused where an address names no user, or several
 */
export async function whichUser(asked: string, runIds: readonly string[], tools: Tools): Promise<string> {
  if (!asked.includes('@')) return asked
  const inLedger = await findInLedger(asked, tools)
  const ids = inLedger.length > 0 ? inLedger : await findInLogs(asked, runIds, tools)
  const [id, ...others] = ids
  if (id === undefined) {
    throw new RunRefused(
      'No user has this e-mail address, neither in the ledger nor in the logs that could be read in time. Nothing was ' +
        'done. Correct it, or send {"history": "<user id>"}.',
    )
  }
  if (others.length === 0) return id
  throw new RunRefused(
    `Several users have this e-mail address: ${ids.join(', ')}. Nothing was done. Send {"history": "<user id>"} for one ` +
      'of them.',
  )
}

/** A ledger that cannot be reached is no reason to fail: the logs know the address too. */
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

async function findInLogs(email: string, runIds: readonly string[], tools: Tools): Promise<string[]> {
  const folded = foldAscii(email)
  for (let at = 0; at < runIds.length; at += RUNS_AT_A_TIME) {
    const some = runIds.slice(at, at + RUNS_AT_A_TIME)
    const found = await Promise.all(some.map(async (runId) => idsInRun(folded, runId, tools)))
    const first = found.find((ids) => ids.length > 0)
    if (first) return first
  }
  return []
}

/** A run that cannot be read keeps no other away: the story itself says what is wrong with it. */
async function idsInRun(folded: string, runId: string, tools: Tools): Promise<string[]> {
  const ids = new Set<string>()
  try {
    const { document: cursor } = await readCursor(tools.store, runId)
    for (const named of cursor.pages) {
      if (tools.timeLeft() < RESERVE_MS) return []
      for (const id of await idsInPart(folded, runId, named, tools.store)) ids.add(id)
    }
  } catch (error) {
    tools.log('a run could not be searched for the e-mail address', {
      runId,
      cause: error instanceof Error ? error.message : 'unknown',
    })
  }
  return [...ids]
}

/** @throws ArchiveCorrupt, ArchiveUnavailable */
async function idsInPart(folded: string, runId: string, named: NamedPage, store: Store): Promise<string[]> {
  const key = partKey(runId, 'users', named.page, named.epoch)
  const { body } = await getVerified(store, key, named.users)
  return body
    .split('\n')
    .filter((line) => foldAscii(emailOf(line) ?? '') === folded)
    .map((line) => parseDocument(ofUser, key, line).user_id)
}

const ofUser = z.object({ user_id: z.string() })

/** Keys come in the order in which the line was written, so the first one is the user's own. */
const EMAIL = /"email":("(?:[^"\\]|\\.)*")/

function emailOf(line: string): string | null {
  const text = EMAIL.exec(line)?.[1]
  return text === undefined ? null : z.string().parse(JSON.parse(text))
}

import { type Intent, listAttempts, readIntent } from '../../archive/intents.ts'
import { intentKey } from '../../archive/keys.ts'
import { databaseClock } from '../../ledger/preflight/clock.ts'
import type { LedgerTransaction } from '../../ledger/connection/connect.ts'
import { CommitUncertain, toLedgerError } from '../../ledger/errors.ts'
import { findUsers, lockUsers } from '../../ledger/rows.ts'
import { isWorthRetrying, writeTransaction } from '../../ledger/connection/transaction.ts'
import { AttemptOpen, PlannedByOtherVersion } from '../errors.ts'
import type { Tools } from '../tools.ts'
import { type AttemptedUser, type Candidate, digestOf, type PageMode } from './modes/mode.ts'
import { recoveredResult, type UserResult } from './outcome.ts'

/** Settled attempts: each committed user's attempt, and the users whose attempts may still commit. */
export type Settled = { readonly done: ReadonlyMap<string, string>; readonly open: readonly string[] }

const TRIES = 8
const PAUSE_MS = 250

/**
 * Finds out which attempts were committed (2-run-protocol, "Crashes and stalls"). A user is done where the
 * database shows what the attempt wrote. Not done takes a lock on the user's row and a later statement that
 * finds nothing: an attempt under way would hold that lock, and one statement that both locks and looks
 * misses a row committed while it waited. A user without a row counts as locked. Users that another
 * transaction keeps locked stay open.
 * @throws LedgerUnavailable after many tries
 */
export async function settleAttempts(
  tools: Pick<Tools, 'ledger' | 'pause' | 'timeLeft'>,
  mode: PageMode,
  attempts: readonly AttemptedUser[],
): Promise<Settled> {
  const done = new Map<string, string>()
  let open = [...new Set(attempts.map(({ candidate }) => candidate.userId))]
  for (let tries = 1; open.length > 0 && tries <= TRIES; tries++) {
    if (tries > 1) await tools.pause(PAUSE_MS)
    const ids = new Set(open)
    const asked = attempts.filter(({ candidate }) => ids.has(candidate.userId))
    try {
      const settled = await settleUnlocked(tools, mode, open, asked)
      for (const [userId, attempt] of settled.done) done.set(userId, attempt)
      open = settled.open.filter((userId) => !done.has(userId))
    } catch (error) {
      // Nothing is written here, so a COMMIT without a reply is a lost connection and no more.
      const cause = error instanceof CommitUncertain ? error.cause : error
      if (tries === TRIES || !isWorthRetrying(cause, PAUSE_MS, tools)) throw toLedgerError(cause)
    }
  }
  return { done, open }
}

async function settleUnlocked(
  tools: Pick<Tools, 'ledger' | 'timeLeft'>,
  mode: PageMode,
  userIds: readonly string[],
  attempts: readonly AttemptedUser[],
): Promise<Settled> {
  const settle = async (tx: LedgerTransaction): Promise<Settled> => {
    const locked = await lockUsers(tx, userIds, 'skip')
    const [present, done] = await Promise.all([findUsers(tx, userIds), mode.findDone(tx, attempts)])
    return { done, open: userIds.filter((userId) => present.has(userId) && !locked.has(userId)) }
  }
  return writeTransaction(tools.ledger.writer, settle, tools)
}

/**
 * Only after its lease can an attempt of a holder that did not release it no longer pass its clock check. The
 * lease was taken over after that moment, so this holds unless the database's clock was set back since. It is
 * not enough to look at the intents: that of a holder that stalls may still be on its way.
 * @throws AttemptOpen, LedgerUnavailable
 */
export async function refuseUnexpired(unreleasedUntil: string | null, tools: Tools): Promise<void> {
  if (unreleasedUntil === null || unreleasedUntil < (await databaseClock(tools.ledger.writer, tools))) return
  throw new AttemptOpen(
    `An attempt of another invocation may commit until ${unreleasedUntil}, by the clock of the database.`,
  )
}

/** The results that earlier invocations committed on one page that the cursor does not name. */
export type Recovered = ReadonlyMap<string, UserResult>

/**
 * Settles all attempts of one page that the cursor does not name. A user who was committed gets the result
 * planned again from that attempt's inputs, marked `recovered`; the other users may be planned again from the
 * ledger.
 * @throws AttemptOpen when some users stay locked; PlannedByOtherVersion, ArchiveCorrupt, LedgerUnavailable
 */
export async function settlePage(
  runId: string,
  page: number,
  modeOf: () => Promise<PageMode>,
  tools: Tools,
): Promise<Recovered> {
  const names = await listAttempts(tools.store, runId, page)
  if (names.length === 0) return new Map()
  const mode = await modeOf()
  const candidatesOf = async (name: string): Promise<readonly Candidate[]> =>
    planIntentAgain(mode, await readIntent(tools.store, runId, name))

  // One intent after the other, and of each only what settling asks for: a page may have dozens of them, and
  // the lines of each take as much memory as the page itself.
  const attempts: AttemptedUser[] = []
  for (const attempt of names) {
    for (const { userId, rowIds } of await candidatesOf(attempt))
      attempts.push({ attempt, candidate: { userId, rowIds } })
  }
  const settled = await settleAttempts(tools, mode, attempts)
  if (settled.open.length > 0) {
    throw new AttemptOpen(
      `${settled.open.length} users of page ${page} are locked, so it is not known yet whether they ` +
        'were committed.',
    )
  }
  const recovered = new Map<string, UserResult>()
  for (const attempt of new Set(settled.done.values())) {
    for (const { userId, result } of await candidatesOf(attempt))
      if (settled.done.get(userId) === attempt) recovered.set(userId, recoveredResult(result))
  }
  return recovered
}

/**
 * Plans the users of an intent again.
 * @throws PlannedByOtherVersion when that gives other log lines than it had
 */
export function planIntentAgain(mode: PageMode, { head, users }: Intent): Candidate[] {
  const candidates = users.map((user) => mode.planAgain(user, head.attempt))
  if (digestOf(candidates) === head.digest) return candidates
  throw new PlannedByOtherVersion(
    `${intentKey(head.run_id, head.attempt)} was planned by version ${head.software_version}, whose ` +
      'rules differ from those of this version. Nothing was done. Finish the run with version ' +
      `${head.software_version}: deploy it, then send {"resume": "${head.run_id}"}.`,
  )
}

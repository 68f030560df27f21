import { ArchiveUnavailable } from '../../archive/errors.ts'
import { toLedgerError, sqlStateOf } from '../../ledger/errors.ts'
import { CorrectionsLimit } from '../errors.ts'
import type { UserFailure } from '../lines/error-line.ts'
import { attemptName } from '../../archive/keys.ts'
import type { PageWork, Refusal } from './apply.ts'
import { attempt } from './attempt.ts'
import { bareResult, failedResult, type PageOutcome, pageOutcome } from './outcome.ts'
import { contextOf } from '../lines/run-rules.ts'

/** Users a transaction locks at a time; a gentle run locks fewer. */
const USERS_A_TRANSACTION = 100
const GENTLE_USERS_A_TRANSACTION = 20
/** Rounds of many users before what is left is taken one user at a time, and tries of one user. */
const ROUNDS = 3
const TRIES = 5
const PAUSE_MS = 50
/** A page that has been tried for this long tries each remaining user once: a table may be locked. */
const PATIENCE_MS = 60_000

/**
 * One page of a writing run: 2-run-protocol, "One page of an execute run", steps 1 to 5. When it returns,
 * every attempt is settled and every user has a result. `stop` says why no further page may begin.
 * @throws OutOfTime, AttemptOpen, LeaseLost, LedgerUnavailable, ArchiveUnavailable: the page has no outcome
 * then, and
 *   what was committed of it is in its intents
 */
export async function writePage(
  work: PageWork,
): Promise<{ readonly outcome: PageOutcome; readonly stop: string | null }> {
  const { run, page, epoch, tools } = work
  const began = performance.now()
  const context = contextOf(run, attemptName(page.page, epoch, 0))
  let stop: string | null = null
  try {
    await writeTogether(work)
    for (const userId of usersLeft(work)) await writeAlone(work, userId, began)
  } catch (error) {
    if (!(error instanceof CorrectionsLimit)) throw error
    stop = error.message
    for (const userId of usersLeft(work))
      work.results.set(userId, bareResult(context, userId, null, 'not_reached'))
  }
  return { outcome: pageOutcome(context, page, work.results, tools.now()), stop }
}

function usersLeft({ page, results }: PageWork): string[] {
  return page.userIds.filter((userId) => !results.has(userId))
}

/**
 * Rounds of all users that are left, in smaller and smaller transactions where something refuses a
 * transaction.
 */
async function writeTogether(work: PageWork): Promise<void> {
  let atATime = work.run.settings.gentle ? GENTLE_USERS_A_TRANSACTION : USERS_A_TRANSACTION
  for (let round = 1; usersLeft(work).length > 0; round++) {
    if (round > 1) await work.tools.pause(PAUSE_MS * 2 ** Math.min(round, ROUNDS))
    const refusals = await attempt(work, usersLeft(work), { users: 'together', atATime })
    const lost = refusals.find(({ failure }) => failure === 'lost')
    if (lost && round >= ROUNDS) throw toLedgerError(lost.error)
    const refused = Math.max(0, ...refusals.map(({ candidates }) => candidates.length))
    const isHopeless = refusals.some(({ failure }) => failure === 'data')
    if (refused <= 1 && (round >= ROUNDS || isHopeless)) return
    if (refused > 1 && (round >= ROUNDS || isHopeless)) atATime = Math.ceil(refused / 2)
  }
}

/** One user, locked before the read; who stays refused is failed, with the reason. */
async function writeAlone(work: PageWork, userId: string, began: number): Promise<void> {
  const { run, page, epoch, tools } = work
  let refusal: Refusal | undefined
  let tries = 0
  do {
    if (++tries > 1) await tools.pause(PAUSE_MS * 2 ** tries)
    ;[refusal] = await attempt(work, [userId], { users: 'alone' })
    if (work.results.has(userId)) return
  } while (refusal?.failure !== 'data' && tries < TRIES && performance.now() - began < PATIENCE_MS)
  if (refusal && (refusal.failure === 'lost' || refusal.error instanceof ArchiveUnavailable))
    throw toLedgerError(refusal.error)
  const context = contextOf(run, attemptName(page.page, epoch, work.attempts))
  const planned = work.lastPlans.get(userId) ?? { email: null }
  work.results.set(userId, failedResult(context, userId, planned, failureOfUser(refusal, tries)))
}

function failureOfUser(refusal: Refusal | undefined, attempts: number): UserFailure {
  if (!refusal) {
    return {
      stage: 'apply',
      error: 'GuardConflict',
      sqlState: null,
      message: 'The row changed between its read and its write, although it was locked.',
      attempts,
    }
  }
  const error = toLedgerError(refusal.error)
  return {
    stage: refusal.stage,
    error: error instanceof Error ? error.name : 'Unknown',
    sqlState: sqlStateOf(refusal.error),
    message: error instanceof Error ? error.message : 'No reason was given.',
    attempts,
  }
}

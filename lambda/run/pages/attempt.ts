import { createIntent } from '../../archive/intents.ts'
import { attemptName } from '../../archive/keys.ts'
import { lockUsers } from '../../ledger/rows.ts'
import { isTimeForATry, withRetriedRead } from '../../ledger/connection/transaction.ts'
import { OutOfTime } from '../errors.ts'
import type { ErrorStage } from '../lines/error-line.ts'
import { SOFTWARE_VERSION } from '../version.ts'
import { commit, type PageWork, type Refusal, writeCompared } from './apply.ts'
import type { Amounts } from './gate.ts'
import { type Candidate, digestOf, type Observed } from './modes/mode.ts'
import { planUsers } from './plan-users.ts'

/**
 * Below the idle-in-transaction timeout, which is 10 s and shorter where little time is left, since the user's
 * row is locked meanwhile.
 */
const INTENT_UNDER_LOCK_MS = 5_000
const INTENT_SHARE = 1 / 10
/** A transaction writes about this many rows, so that users are locked for a fraction of a second. */
const ROWS_A_TRANSACTION = 800

/**
 * How users are locked: many at once, after they were planned, leaving out those that another transaction has
 * locked; or one user, waited for and locked before the read, so that usage every few milliseconds cannot
 * come in between.
 */
export type Locking = { readonly users: 'together'; readonly atATime: number } | { readonly users: 'alone' }

/**
 * One attempt at users of a page: read, plan, intent, then short transactions (lock, write, compare, commit).
 * Users without a result afterwards are in a refusal, were locked, or changed since they were read.
 * @throws OutOfTime, CorrectionsLimit, AttemptOpen, LeaseLost, LedgerUnavailable, ArchiveUnavailable
 */
export async function attempt(
  work: PageWork,
  userIds: readonly string[],
  locking: Locking,
): Promise<Refusal[]> {
  const { page, epoch, tools } = work
  if (work.attempts > 0 && !isTimeForATry(tools)) throw outOfTime(work)
  work.attempts += 1
  const name = attemptName(page.page, epoch, work.attempts)
  const sql = tools.ledger.writer

  if (locking.users === 'together') {
    const observed = await withRetriedRead(sql, async (tx) => work.mode.read(tx, userIds), tools)
    const candidates = await work.planning.take(async () => planAll(work, userIds, observed, name))
    if (candidates.length === 0) return []
    return reserving(work, candidates, async () => {
      await writeIntent(work, name, candidates)
      return inShortTransactions(work, name, candidates, locking.atATime)
    })
  }

  let candidates: Candidate[] = []
  let stage: ErrorStage = 'read'
  const refusal = await commit(
    work,
    name,
    () => ({ stage, candidates }),
    async (tx) => {
      await lockUsers(tx, userIds, 'wait')
      candidates = await planAll(work, userIds, await work.mode.read(tx, userIds), name)
      if (candidates.length === 0) return candidates
      stage = 'intent'
      work.gate.reserve(amountsOf(candidates))
      const intentMs = Math.min(INTENT_UNDER_LOCK_MS, tools.timeLeft() * INTENT_SHARE)
      await writeIntent(work, name, candidates, AbortSignal.timeout(Math.max(1, Math.round(intentMs))))
      stage = 'apply'
      return writeCompared(work, tx, candidates)
    },
  )
  leaveUndone(work, candidates)
  return refusal ? [refusal] : []
}

function outOfTime({ page }: PageWork): OutOfTime {
  return new OutOfTime(`This invocation ran out of time in the middle of page ${page.page}.`)
}

/** Plans users; who has a result by that gets it, the others are returned. */
async function planAll(
  { mode, results, takenLinks }: PageWork,
  userIds: readonly string[],
  observed: Observed,
  name: string,
): Promise<Candidate[]> {
  const candidates: Candidate[] = []
  for (const [userId, planning] of await planUsers(mode, userIds, observed, name, takenLinks)) {
    if ('result' in planning) results.set(userId, planning.result)
    else candidates.push(planning.candidate)
  }
  return candidates
}

/** Nothing of an attempt is written to the database before its record is in S3. */
async function writeIntent(
  { run, page, epoch, leaseExpiresAt, tools }: PageWork,
  name: string,
  candidates: readonly Candidate[],
  signal?: AbortSignal,
): Promise<void> {
  const head = {
    run_id: run.runId,
    attempt: name,
    page: page.page,
    epoch,
    lease_expires_at: leaseExpiresAt,
    software_version: SOFTWARE_VERSION,
    users: candidates.length,
    digest: digestOf(candidates),
  }
  const users = candidates.map(({ userId, inputs }) => ({ user_id: userId, inputs }))
  await createIntent(tools.store, { head, users }, signal)
}

async function inShortTransactions(
  work: PageWork,
  name: string,
  candidates: readonly Candidate[],
  atATime: number,
): Promise<Refusal[]> {
  const { run, tools } = work
  const refusals: Refusal[] = []
  for (const [nth, some] of chunksOf(candidates, atATime).entries()) {
    if (nth > 0 && !isTimeForATry(tools)) throw outOfTime(work)
    const began = performance.now()
    const refusal = await commit(
      work,
      name,
      () => ({ stage: 'apply', candidates: some }),
      async (tx) => {
        const ids = some.map(({ userId }) => userId)
        const locked = await lockUsers(tx, ids, 'skip')
        return writeCompared(
          work,
          tx,
          some.filter(({ userId }) => locked.has(userId)),
        )
      },
    )
    if (refusal) refusals.push(refusal)
    if (refusal?.failure === 'lost') break
    if (run.settings.gentle) await tools.pause(performance.now() - began)
  }
  return refusals
}

function chunksOf(candidates: readonly Candidate[], atATime: number): Candidate[][] {
  const chunks: Candidate[][] = []
  let rows = 0
  for (const candidate of candidates) {
    const last = chunks.at(-1)
    if (last && last.length < atATime && rows + candidate.rows <= ROWS_A_TRANSACTION) last.push(candidate)
    else {
      chunks.push([candidate])
      rows = 0
    }
    rows += candidate.rows
  }
  return chunks
}

function amountsOf(candidates: readonly Candidate[]): Amounts {
  return {
    correctedMicrodollars: candidates.reduce((sum, one) => sum + one.correctedMicrodollars, 0),
    expiredMicrodollars: candidates.reduce((sum, one) => sum + one.expiredMicrodollars, 0),
  }
}

/**
 * Holds the amounts of candidates against the limits while they are written. What may still commit stays
 * reserved.
 */
async function reserving<T>(
  work: PageWork,
  candidates: readonly Candidate[],
  write: () => Promise<T>,
): Promise<T> {
  work.gate.reserve(amountsOf(candidates))
  try {
    const result = await write()
    leaveUndone(work, candidates)
    return result
  } catch (error) {
    // Between two transactions nothing is under way, and other pages may need the room.
    if (error instanceof OutOfTime) leaveUndone(work, candidates)
    throw error
  }
}

/** Of who was not done, the amounts are free again, and what was planned from is kept: the user may fail. */
function leaveUndone({ gate, results, lastPlans }: PageWork, candidates: readonly Candidate[]): void {
  const undone = candidates.filter(({ userId, result }) => results.get(userId) !== result)
  gate.release(amountsOf(undone))
  for (const { userId, email, inputs } of undone) lastPlans.set(userId, { email, inputs })
}

import { ArchiveUnavailable, LeaseLost } from '../../archive/errors.ts'
import { createIntent } from '../../archive/intents.ts'
import { attemptName } from '../../archive/keys.ts'
import type { Page } from '../../archive/pages.ts'
import type { Run } from '../../archive/runs.ts'
import { compareWritten } from '../../ledger/compare.ts'
import type { Transaction } from '../../ledger/connect.ts'
import {
  CommitUncertain,
  explain,
  type Failure,
  failureOf,
  isUniqueViolation,
  LeaseExpired,
} from '../../ledger/errors.ts'
import { writtenByRollback } from '../../ledger/rollback.ts'
import { findTakenLinks, lockUsers } from '../../ledger/rows.ts'
import { withRetriedRead, writeTransaction } from '../../ledger/transaction.ts'
import { writtenBy } from '../../ledger/write.ts'
import { AttemptOpen, OutOfTime } from '../errors.ts'
import type { ErrorStage } from '../lines/error-line.ts'
import type { Tools } from '../tools.ts'
import { SOFTWARE_VERSION } from '../version.ts'
import type { Amounts, Gate } from './gate.ts'
import { type AttemptedUser, type Candidate, digestOf, type PageMode } from './mode.ts'
import type { UserResult } from './outcome.ts'
import { settleAttempts } from './settle.ts'

/** Under this, no further attempt: outcome and cursor have to be written yet. */
const LAST_MOMENT_MS = 4_000
/** Below the idle-in-transaction timeout of 10 s, since the user's row is locked meanwhile. */
const INTENT_UNDER_LOCK_MS = 5_000
/** A transaction writes about this many rows, so that users are locked for a fraction of a second. */
const ROWS_A_TRANSACTION = 800

/** A page that is being written: what it works with, and what is known so far. */
export type PageWork = {
  readonly run: Run
  readonly page: Page
  readonly epoch: number
  readonly leaseExpiresAt: string
  readonly gate: Gate
  readonly mode: PageMode
  readonly tools: Tools
  /**
   * The users who are done, with their results; those that an earlier invocation committed are here from the
   * start.
   */
  readonly results: Map<string, UserResult>
  /** Grants whose link the database reported as taken. */
  readonly takenLinks: Set<string>
  /** The number of attempts so far. It never repeats within page and epoch. */
  attempts: number
}

/** Users of one transaction that did not go through, with nothing of them committed, and why. */
export type Refusal = {
  readonly failure: Failure
  readonly stage: ErrorStage
  readonly error: unknown
  readonly candidates: readonly Candidate[]
}

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
  if (work.attempts > 0 && tools.timeLeft() < LAST_MOMENT_MS)
    throw new OutOfTime(`This invocation ran out of time in the middle of page ${page.page}.`)
  work.attempts += 1
  const name = attemptName(page.page, epoch, work.attempts)
  const sql = tools.ledger.writer

  if (locking.users === 'together') {
    const observed = await withRetriedRead(sql, async (tx) => work.mode.read(tx, userIds), tools)
    const candidates = planAll(work, userIds, observed, name)
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
      candidates = planAll(work, userIds, await work.mode.read(tx, userIds), name)
      if (candidates.length === 0) return candidates
      stage = 'intent'
      work.gate.reserve(amountsOf(candidates))
      await writeIntent(work, name, candidates, AbortSignal.timeout(INTENT_UNDER_LOCK_MS))
      stage = 'apply'
      return writeCompared(work, tx, candidates)
    },
  )
  releaseUndone(work, candidates)
  return refusal ? [refusal] : []
}

/** Plans users; those that planning leads to a result for get it, the others are returned. */
function planAll(
  { mode, results, takenLinks }: PageWork,
  userIds: readonly string[],
  observed: Parameters<PageMode['plan']>[1],
  name: string,
): Candidate[] {
  const candidates: Candidate[] = []
  for (const userId of userIds) {
    const planning = mode.plan(userId, observed, name, takenLinks)
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
  for (const some of chunksOf(candidates, atATime)) {
    const began = tools.now().getTime()
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
    if (run.settings.gentle) await tools.pause(tools.now().getTime() - began)
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

/**
 * Writes locked users and compares what the ledger then holds with the plan; returns those whose guard held.
 */
async function writeCompared(
  { mode, leaseExpiresAt }: PageWork,
  tx: Transaction,
  candidates: readonly Candidate[],
): Promise<readonly Candidate[]> {
  if (candidates.length === 0) return []
  const held = await mode.write(tx, candidates)
  const written = candidates.filter(({ userId }) => held.has(userId))
  const expected = written.map(({ change }) =>
    change.kind === 'expiration' ? writtenBy(change.planned) : writtenByRollback(change.rollback),
  )
  if (written.length > 0) await compareWritten(tx, expected, leaseExpiresAt)
  return written
}

/**
 * Runs one transaction until it is settled. Stores the results of its users, or returns why it did not
 * commit.
 */
async function commit(
  work: PageWork,
  name: string,
  progress: () => { readonly stage: ErrorStage; readonly candidates: readonly Candidate[] },
  write: (tx: Transaction) => Promise<readonly Candidate[]>,
): Promise<Refusal | null> {
  try {
    const { run, tools } = work
    const waits = { lockMs: run.settings.lockTimeoutMs }
    const written = await writeTransaction(tools.ledger.writer, write, waits).catch(
      async (error: unknown) => {
        if (!(error instanceof CommitUncertain)) throw error
        return committedOf(work, name, progress().candidates, error)
      },
    )
    for (const { userId, result } of written) work.results.set(userId, result)
    return null
  } catch (error) {
    if (error instanceof AttemptOpen) throw error
    return refusalOf(work, progress(), error)
  }
}

/** After a COMMIT without a reply, only the database tells which users it committed. */
async function committedOf(
  { mode, page, tools }: PageWork,
  name: string,
  candidates: readonly Candidate[],
  uncertain: CommitUncertain,
): Promise<readonly Candidate[]> {
  const attempted = candidates.map((candidate): AttemptedUser => ({ attempt: name, candidate }))
  const open = (users: number, cause: unknown) =>
    new AttemptOpen(`It is not known yet whether ${users} users of page ${page.page} were committed.`, {
      cause,
    })
  const settled = await settleAttempts(tools, mode, attempted).catch((cause: unknown) => {
    throw open(attempted.length, cause)
  })
  if (settled.open.length > 0) throw open(settled.open.length, uncertain)
  return candidates.filter(({ userId }) => settled.done.has(userId))
}

async function refusalOf(
  work: PageWork,
  { stage, candidates }: { readonly stage: ErrorStage; readonly candidates: readonly Candidate[] },
  error: unknown,
): Promise<Refusal> {
  if (error instanceof LeaseExpired) throw new LeaseLost(error.message, { cause: error })
  if (error instanceof ArchiveUnavailable) return { failure: 'busy', stage, error, candidates }
  const failure = failureOf(error)
  if (failure === undefined || failure === 'broken') throw explain(error)
  if (isUniqueViolation(error)) {
    const closes = candidates.flatMap((candidate) => candidate.closes)
    const { ledger } = work.tools
    const taken = await withRetriedRead(ledger.writer, async (tx) => findTakenLinks(tx, closes), work.tools)
    for (const id of taken) work.takenLinks.add(id)
  }
  return { failure, stage, error, candidates }
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
  const result = await write()
  releaseUndone(work, candidates)
  return result
}

function releaseUndone({ gate, results }: PageWork, candidates: readonly Candidate[]): void {
  gate.release(amountsOf(candidates.filter(({ userId, result }) => results.get(userId) !== result)))
}

import { ArchiveUnavailable, LeaseLost } from '../../archive/errors.ts'
import type { Page } from '../../archive/pages.ts'
import type { Run } from '../../archive/runs.ts'
import { compareWritten } from '../../ledger/compare.ts'
import type { LedgerTransaction } from '../../ledger/connection/connect.ts'
import {
  CommitUncertain,
  toLedgerError,
  type Failure,
  failureOf,
  isUniqueViolation,
  LeaseExpired,
} from '../../ledger/errors.ts'
import { writtenByRollback } from '../../ledger/rollback.ts'
import { findTakenLinks } from '../../ledger/rows.ts'
import { isTimeForATry, withRetriedRead, writeTransaction } from '../../ledger/connection/transaction.ts'
import { writtenBy } from '../../ledger/write.ts'
import { AttemptOpen } from '../errors.ts'
import type { ErrorStage } from '../lines/error-line.ts'
import type { Tools } from '../tools.ts'
import type { Gate } from './gate.ts'
import type { AttemptedUser, Candidate, PageMode } from './modes/mode.ts'
import type { PlannedFrom, UserResult } from './outcome.ts'
import type { Turns } from './plan-users.ts'
import { settleAttempts } from './settle.ts'

/** A page that is being written: what it works with, and what is known so far. */
export type PageWork = {
  readonly run: Run
  readonly page: Page
  readonly epoch: number
  readonly leaseExpiresAt: string
  readonly gate: Gate
  readonly planning: Turns
  readonly mode: PageMode
  readonly tools: Tools
  /**
   * The users who are done, with their results; those that an earlier invocation committed are here from the
   * start.
   */
  readonly results: Map<string, UserResult>
  /** Of users who were planned and not written: what the line of who fails says of the last plan. */
  readonly lastPlans: Map<string, PlannedFrom>
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
 * Writes locked users and compares what the ledger then holds with the plan; returns those whose guard held.
 */
export async function writeCompared(
  { mode, leaseExpiresAt }: PageWork,
  tx: LedgerTransaction,
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
export async function commit(
  work: PageWork,
  name: string,
  progress: () => { readonly stage: ErrorStage; readonly candidates: readonly Candidate[] },
  write: (tx: LedgerTransaction) => Promise<readonly Candidate[]>,
): Promise<Refusal | null> {
  try {
    const { run, tools } = work
    const waits = { lockMs: run.settings.lockTimeoutMs }
    const written = await writeTransaction(tools.ledger.writer, write, tools, waits).catch(
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
  if (!isTimeForATry(tools)) throw open(attempted.length, uncertain)
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
  if (failure === undefined || failure === 'broken') throw toLedgerError(error)
  if (isUniqueViolation(error)) {
    const closes = candidates.flatMap((candidate) => candidate.closes)
    const { ledger } = work.tools
    const taken = await withRetriedRead(ledger.writer, async (tx) => findTakenLinks(tx, closes), work.tools)
    for (const id of taken) work.takenLinks.add(id)
  }
  return { failure, stage, error, candidates }
}

import { ArchiveUnavailable, LeaseLost } from '../archive/errors.ts'
import type { PageList, Run } from '../archive/documents.ts'
import {
  CommitUncertain,
  explain,
  type Failure,
  failureOf,
  isUniqueViolation,
  LeaseExpired,
} from '../ledger/errors.ts'
import { findTakenLinks } from '../ledger/links.ts'
import { settleAttempts } from '../ledger/settle.ts'
import { type AttemptName, type Candidate, rowsMeaningDone, writeIntent } from './attempt.ts'
import type { CorrectionsGate } from './brakes.ts'
import { AttemptOpen, OutOfTime } from './errors.ts'
import type { UserResult } from './page.ts'
import type { ErrorStage } from './records.ts'
import type { Tools } from './tools.ts'

/** Under this, no more tries: outcomes and the cursor have to be written yet. */
const LAST_MOMENT_MS = 4_000
/** Below the idle-in-transaction timeout of 10 s, since the user's row is locked meanwhile. */
const INTENT_UNDER_LOCK_MS = 5_000

/** What planning a user comes to: something to write, or a result already. */
export type Planning<C extends Candidate> = { readonly candidate: C } | { readonly result: UserResult }

/** What is known about a page beside its users, when they are planned. */
export type Known = { readonly name: AttemptName; readonly takenLinks: ReadonlySet<string> }

/**
 * What a writing mode does to users: how they are read and planned, and how the plans are applied. Everything else
 * about a page (intent, retries, settling) is the same for all modes.
 */
export type Writing<C extends Candidate> = {
  /** Reads users without locks and plans each. @throws LedgerUnavailable */
  plan(userIds: readonly string[], known: Known): Promise<ReadonlyMap<string, Planning<C>>>
  /** Applies plans in one transaction; returns for whom it committed. @throws as writeGuarded */
  apply(candidates: readonly C[], leaseExpiresAt: string): Promise<ReadonlySet<string>>
  /**
   * Reads and plans one user under a lock, lets `declare` make the plan durable, and applies what it returns.
   * @throws as writeUnderLock
   */
  applyUnderLock(
    userId: string,
    known: Known,
    leaseExpiresAt: string,
    declare: (planning: Planning<C>) => Promise<C | null>,
  ): Promise<boolean>
  /** The result of a user whose rows another table's foreign key holds fast, where that is an answer and not a failure. */
  refusedByOthers?(candidate: C, message: string): UserResult
}

export type PageWork<C extends Candidate> = {
  readonly run: Run
  readonly list: PageList
  readonly epoch: number
  readonly leaseExpiresAt: string
  readonly corrections: CorrectionsGate
  /** Users who are settled already, by an invocation that was cut off. */
  readonly recovered: ReadonlyMap<string, UserResult>
  readonly writing: Writing<C>
  readonly tools: Tools
}

/** A page on its way: the results so far, the attempts made, and the links that a unique violation told of. */
export type Progress<C extends Candidate> = {
  readonly work: PageWork<C>
  readonly began: number
  readonly results: Map<string, UserResult>
  readonly takenLinks: Set<string>
  attempts: number
}

/** Why an attempt did not go through, with nothing of it committed. */
export type Refusal<C extends Candidate> = {
  readonly failure: Failure
  readonly stage: ErrorStage
  readonly error: unknown
  readonly candidates: readonly C[]
}

/** One attempt on its way: the users it is to change, how far it got, and the corrections it holds at the gate. */
type Attempt<C extends Candidate> = {
  readonly name: AttemptName
  readonly underLock: boolean
  readonly candidates: C[]
  stage: ErrorStage
  reservedMicrodollars: number
}

/**
 * Steps 1 to 4 for many users at once. Users without a result afterwards were locked, or changed since they were read.
 * @throws OutOfTime, CorrectionsLimit, AttemptOpen, LeaseLost, LedgerUnavailable, ArchiveUnavailable
 */
export async function attemptGroup<C extends Candidate>(
  progress: Progress<C>,
  userIds: readonly string[],
): Promise<Refusal<C> | null> {
  const { writing, leaseExpiresAt } = progress.work
  const attempt = nextAttempt(progress, false)
  return conclude(progress, attempt, async () => {
    const plans = await writing.plan(userIds, { name: attempt.name, takenLinks: progress.takenLinks })
    for (const [userId, planning] of plans) admit(progress, attempt, userId, planning)
    if (attempt.candidates.length === 0) return new Set()
    await declare(progress, attempt)
    return writing.apply(attempt.candidates, leaseExpiresAt)
  })
}

/**
 * Steps 1 to 4 for one user whose row is locked before it is read, so that usage every few milliseconds cannot come in
 * between. @throws as attemptGroup
 */
export async function attemptAlone<C extends Candidate>(
  progress: Progress<C>,
  userId: string,
): Promise<Refusal<C> | null> {
  const { writing, leaseExpiresAt } = progress.work
  const attempt = nextAttempt(progress, true)
  return conclude(progress, attempt, async () => {
    const known = { name: attempt.name, takenLinks: progress.takenLinks }
    const applied = await writing.applyUnderLock(userId, known, leaseExpiresAt, async (planning) => {
      const candidate = admit(progress, attempt, userId, planning)
      if (candidate) await declare(progress, attempt, AbortSignal.timeout(INTENT_UNDER_LOCK_MS))
      return candidate
    })
    return new Set(applied ? [userId] : [])
  })
}

/** Every page gets one attempt; further ones only while there is time. */
function nextAttempt<C extends Candidate>(progress: Progress<C>, underLock: boolean): Attempt<C> {
  const { list, epoch, leaseExpiresAt, tools } = progress.work
  if (progress.attempts > 0 && tools.timeLeft() < LAST_MOMENT_MS)
    throw new OutOfTime(`The time is up in the middle of page ${list.page}.`)
  progress.attempts++
  const name = { page: list.page, epoch, n: progress.attempts, leaseExpiresAt }
  return { name, underLock, candidates: [], stage: 'read', reservedMicrodollars: 0 }
}

/** Takes a planned user into the attempt, unless planning came to a result already. */
function admit<C extends Candidate>(
  progress: Progress<C>,
  attempt: Attempt<C>,
  userId: string,
  planning: Planning<C>,
): C | null {
  if ('result' in planning) {
    progress.results.set(userId, planning.result)
    return null
  }
  attempt.candidates.push(planning.candidate)
  return planning.candidate
}

/** Step 3. Nothing is written to the database before this has resolved. */
async function declare<C extends Candidate>(
  { work }: Progress<C>,
  attempt: Attempt<C>,
  signal?: AbortSignal,
): Promise<void> {
  attempt.stage = 'intent'
  const microdollars = correctedBy(attempt.candidates)
  work.corrections.reserve(microdollars)
  attempt.reservedMicrodollars = microdollars
  await writeIntent(work.tools.store, work.run, attempt.name, attempt.candidates, signal)
  attempt.stage = 'apply'
}

function correctedBy(candidates: readonly Candidate[]): number {
  return candidates.reduce((sum, { correctionMicrodollars }) => sum + correctionMicrodollars, 0)
}

/** Runs an attempt to a settled end: the results of those for whom it committed, or why it did not. */
async function conclude<C extends Candidate>(
  progress: Progress<C>,
  attempt: Attempt<C>,
  run: () => Promise<ReadonlySet<string>>,
): Promise<Refusal<C> | null> {
  const { corrections } = progress.work
  try {
    const held = await run().catch(async (error: unknown) => settle(progress, attempt, error))
    const applied = attempt.candidates.filter(({ userId }) => held.has(userId))
    for (const { userId, result } of applied) progress.results.set(userId, result)
    corrections.release(attempt.reservedMicrodollars - correctedBy(applied))
    return null
  } catch (error) {
    // What may still be committed stays reserved.
    if (error instanceof AttemptOpen) throw error
    corrections.release(attempt.reservedMicrodollars)
    return await refusalOf(progress, attempt, error)
  }
}

/** After a commit that nobody answered, only the database tells for whom it took effect; any other error had no effect. */
async function settle<C extends Candidate>(
  { work }: Progress<C>,
  { candidates }: Attempt<C>,
  error: unknown,
): Promise<ReadonlySet<string>> {
  if (!(error instanceof CommitUncertain)) throw error
  const attempted = candidates.map(({ userId, rowIds }) => ({ userId, attempt: '', rowIds }))
  const settled = await settleAttempts(
    work.tools.ledger.writer,
    attempted,
    rowsMeaningDone(work.run.mode),
    work.tools.pause,
  ).catch((cause: unknown) => {
    throw stillOpen(work.list, attempted.length, cause)
  })
  if (settled.size < attempted.length) throw stillOpen(work.list, attempted.length - settled.size, error)
  return new Set([...settled].filter(([, { doneBy }]) => doneBy !== null).map(([userId]) => userId))
}

function stillOpen(list: PageList, users: number, cause: unknown): AttemptOpen {
  return new AttemptOpen(`It is not known yet whether ${users} users of page ${list.page} were committed.`, {
    cause,
  })
}

async function refusalOf<C extends Candidate>(
  progress: Progress<C>,
  attempt: Attempt<C>,
  error: unknown,
): Promise<Refusal<C>> {
  if (error instanceof LeaseExpired) throw new LeaseLost(error.message, { cause: error })
  const { stage } = attempt
  if (error instanceof ArchiveUnavailable && attempt.underLock)
    return { failure: 'busy', stage, error, candidates: attempt.candidates }
  const failure = failureOf(error)
  if (failure === undefined || failure === 'broken') throw explain(error)
  if (isUniqueViolation(error)) {
    const taken = await findTakenLinks(
      progress.work.tools.ledger.writer,
      attempt.candidates.flatMap(({ closes }) => closes),
    )
    for (const id of taken) progress.takenLinks.add(id)
  }
  return { failure, stage, error, candidates: attempt.candidates }
}

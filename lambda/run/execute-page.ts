import { ArchiveUnavailable, LeaseLost } from '../archive/errors.ts'
import type { PageList, Run } from '../archive/documents.ts'
import { applyPlans, applyUnderLock } from '../ledger/apply.ts'
import { CommitUncertain, explain, type Failure, failureOf, isUniqueViolation, LeaseExpired, sqlStateOf } from '../ledger/errors.ts'
import { findTakenLinks } from '../ledger/links.ts'
import { type Reading, readUsers } from '../ledger/read.ts'
import { settleAttempts } from '../ledger/settle.ts'
import { type AttemptName, type AttemptUser, prepare, rowIdsOf, writeIntent } from './attempt.ts'
import { type CorrectionsGate, CorrectionsLimit } from './brakes.ts'
import { AttemptOpen } from './errors.ts'
import { bareResult, failedResult, type PageResult, pageResult, type UserResult } from './page.ts'
import { planReading } from './planning.ts'
import type { ErrorStage } from './records.ts'
import type { Tools } from './tools.ts'

/** Rounds of a whole group before its users are taken one at a time, and tries of one user. Pauses grow between them. */
const GROUP_ROUNDS = 3
const ALONE_TRIES = 5
const PAUSE_MS = 50
/** Under this, no more tries: the outcome and the cursor have to be written yet. */
const LAST_MOMENT_MS = 4_000
/** Below the idle-in-transaction timeout of 10 s, since the user's row is locked meanwhile. */
const INTENT_UNDER_LOCK_MS = 5_000

export type PageWork = {
  readonly run: Run
  readonly list: PageList
  readonly epoch: number
  readonly leaseExpiresAt: string
  readonly corrections: CorrectionsGate
  /** Users who are settled already, by an invocation that was cut off. */
  readonly recovered: ReadonlyMap<string, UserResult>
  readonly tools: Tools
}

/** A page on its way: the results so far, the attempts made, and the links that a unique violation told of. */
type Progress = {
  readonly work: PageWork
  readonly results: Map<string, UserResult>
  readonly takenLinks: Set<string>
  attempts: number
}

/** Why an attempt did not go through, with nothing of it committed. */
type Refusal = { readonly failure: Failure; readonly stage: ErrorStage; readonly error: unknown }

/**
 * One page of an execute run: 2-run-protocol, "One page of an execute run", steps 1 to 5. When it returns, every
 * attempt is settled and every user has a result. `stop` says why no further page may be begun.
 * @throws AttemptOpen, LeaseLost, LedgerUnavailable, ArchiveUnavailable: the page is not finished, and what was
 *   committed of it stands in its intents
 */
export async function executePage(work: PageWork): Promise<{ result: PageResult; stop: string | null }> {
  const progress: Progress = { work, results: new Map(work.recovered), takenLinks: new Set(), attempts: 0 }
  let stop: string | null = null
  try {
    await applyGroup(progress, open(progress, work.list.userIds))
  } catch (error) {
    if (!(error instanceof CorrectionsLimit)) throw error
    stop = error.message
    for (const userId of open(progress, work.list.userIds)) {
      progress.results.set(userId, bareResult(work.run, userId, null, 'not_reached'))
    }
  }
  return { result: pageResult(work.run, work.list, progress.results, work.tools.now()), stop }
}

function open(progress: Progress, userIds: readonly string[]): string[] {
  return userIds.filter((userId) => !progress.results.has(userId))
}

/** Step 5: rounds of the whole group; then halves, where something refuses the group; else one user at a time. */
async function applyGroup(progress: Progress, userIds: readonly string[]): Promise<void> {
  let refusal: Refusal | null = null
  let pending = userIds
  if (pending.length === 0) return
  for (let round = 1; round <= GROUP_ROUNDS; round++) {
    if (round > 1) await progress.work.tools.pause(PAUSE_MS * 2 ** round)
    refusal = await attemptGroup(progress, pending)
    pending = open(progress, pending)
    if (pending.length === 0) return
    if (refusal?.failure === 'data' || progress.work.tools.timeLeft() < LAST_MOMENT_MS) break
  }
  if (refusal?.failure === 'lost') throw explain(refusal.error)
  if (refusal && pending.length > 1) {
    const middle = Math.ceil(pending.length / 2)
    await applyGroup(progress, pending.slice(0, middle))
    await applyGroup(progress, pending.slice(middle))
    return
  }
  for (const userId of pending) await applyAlone(progress, userId)
}

async function applyAlone(progress: Progress, userId: string): Promise<void> {
  const { run, tools } = progress.work
  let refusal: Refusal | null = null
  let tries = 0
  do {
    if (++tries > 1) await tools.pause(PAUSE_MS * 2 ** tries)
    refusal = await attemptAlone(progress, userId)
    if (progress.results.has(userId)) return
  } while (refusal?.failure !== 'data' && tries < ALONE_TRIES && tools.timeLeft() > LAST_MOMENT_MS)
  if (refusal?.failure === 'lost' || refusal?.error instanceof ArchiveUnavailable) throw explain(refusal.error)
  progress.results.set(userId, failedResult(run, userId, null, failureRecord(refusal, tries)))
}

function failureRecord(refusal: Refusal | null, attempts: number) {
  const error = refusal?.error
  return {
    stage: refusal?.stage ?? 'apply',
    error: error instanceof Error ? error.name : 'Unknown',
    sqlState: sqlStateOf(error),
    message: error instanceof Error ? error.message : 'no reason was given',
    attempts,
  }
}

/** One attempt on its way: the users it is to change, how far it got, and the corrections it holds at the gate. */
type Attempt = {
  readonly name: AttemptName
  readonly underLock: boolean
  readonly users: AttemptUser[]
  stage: ErrorStage
  reservedMicrodollars: number
}

/** Steps 1 to 4 for many users at once. Users without a result afterwards were locked, or changed since they were read. */
function attemptGroup(progress: Progress, userIds: readonly string[]): Promise<Refusal | null> {
  const { tools, leaseExpiresAt } = progress.work
  const attempt = nextAttempt(progress, false)
  return conclude(progress, attempt, async () => {
    const readings = await readUsers(tools.ledger.writer, userIds)
    for (const userId of userIds) planInto(progress, attempt, userId, readings.get(userId))
    if (attempt.users.length === 0) return new Set()
    await declare(progress, attempt)
    return applyPlans(tools.ledger.writer, attempt.users.map(({ planned }) => planned), leaseExpiresAt)
  })
}

/** Steps 1 to 4 for one user whose row is locked before it is read, so that usage every few milliseconds cannot come in between. */
function attemptAlone(progress: Progress, userId: string): Promise<Refusal | null> {
  const { tools, leaseExpiresAt } = progress.work
  const attempt = nextAttempt(progress, true)
  return conclude(progress, attempt, async () => {
    const applied = await applyUnderLock(tools.ledger.writer, userId, leaseExpiresAt, async (reading) => {
      planInto(progress, attempt, userId, reading ?? undefined)
      const user = attempt.users[0]
      if (!user) return null
      await declare(progress, attempt, AbortSignal.timeout(INTENT_UNDER_LOCK_MS))
      return user.planned
    })
    return new Set(applied ? [userId] : [])
  })
}

function nextAttempt(progress: Progress, underLock: boolean): Attempt {
  const { list, epoch, leaseExpiresAt } = progress.work
  progress.attempts++
  const name = { page: list.page, epoch, n: progress.attempts, leaseExpiresAt }
  return { name, underLock, users: [], stage: 'read', reservedMicrodollars: 0 }
}

function planInto(progress: Progress, attempt: Attempt, userId: string, reading: Reading | undefined): void {
  attempt.stage = 'plan'
  const planning = planReading(progress.work.run, userId, reading, progress.takenLinks)
  if ('result' in planning) progress.results.set(userId, planning.result)
  else attempt.users.push(prepare(progress.work.run, attempt.name, planning.planned))
}

/** Step 3. Nothing is written to the database before this has resolved. */
async function declare({ work }: Progress, attempt: Attempt, signal?: AbortSignal): Promise<void> {
  attempt.stage = 'intent'
  const microdollars = correctedBy(attempt.users)
  work.corrections.reserve(microdollars)
  attempt.reservedMicrodollars = microdollars
  await writeIntent(work.tools.store, work.run, attempt.name, attempt.users, signal)
  attempt.stage = 'apply'
}

function correctedBy(users: readonly AttemptUser[]): number {
  return users.reduce((sum, { planned }) => sum + (planned.plan.change.correction?.amountMicrodollars ?? 0), 0)
}

/** Runs an attempt to a settled end: the results of those for whom it committed, or why it did not. */
async function conclude(progress: Progress, attempt: Attempt, run: () => Promise<ReadonlySet<string>>): Promise<Refusal | null> {
  let applied: AttemptUser[] = []
  try {
    const held = await run().catch(async (error: unknown) => settle(progress, attempt, error))
    applied = attempt.users.filter(({ planned }) => held.has(planned.plan.user.id))
    for (const { planned, result } of applied) progress.results.set(planned.plan.user.id, result)
    return null
  } catch (error) {
    return await refusalOf(progress, attempt, error)
  } finally {
    progress.work.corrections.release(attempt.reservedMicrodollars - correctedBy(applied))
  }
}

/** After a commit that nobody answered, only the database tells for whom it took effect; any other error had no effect. */
async function settle({ work }: Progress, { users }: Attempt, error: unknown): Promise<ReadonlySet<string>> {
  if (!(error instanceof CommitUncertain)) throw error
  const attempted = users.map(({ planned }) => ({ userId: planned.plan.user.id, attempt: '', rowIds: rowIdsOf(planned) }))
  const settled = await settleAttempts(work.tools.ledger.writer, attempted, work.tools.pause).catch((cause: unknown) => {
    throw stillOpen(work.list, attempted.length, cause)
  })
  if (settled.size < attempted.length) throw stillOpen(work.list, attempted.length - settled.size, error)
  return new Set([...settled].filter(([, { doneBy }]) => doneBy !== null).map(([userId]) => userId))
}

function stillOpen(list: PageList, users: number, cause: unknown): AttemptOpen {
  return new AttemptOpen(`It is not known yet whether ${users} users of page ${list.page} were committed.`, { cause })
}

async function refusalOf(progress: Progress, attempt: Attempt, error: unknown): Promise<Refusal> {
  if (error instanceof LeaseExpired) throw new LeaseLost(error.message, { cause: error })
  const { stage } = attempt
  if (error instanceof ArchiveUnavailable && attempt.underLock) return { failure: 'busy', stage, error }
  const failure = failureOf(error)
  if (failure === undefined || failure === 'broken') throw explain(error)
  if (isUniqueViolation(error)) {
    const grantIds = attempt.users.flatMap(({ planned }) => planned.plan.change.closings.map((closing) => closing.grant.id))
    const taken = await findTakenLinks(progress.work.tools.ledger.writer, grantIds)
    for (const id of taken) progress.takenLinks.add(id)
  }
  return { failure, stage, error }
}

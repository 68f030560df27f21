import { ArchiveUnavailable } from '../archive/errors.ts'
import { explain, sqlStateOf } from '../ledger/errors.ts'
import type { Candidate } from './attempt.ts'
import { CorrectionsLimit } from './brakes.ts'
import { attemptAlone, attemptGroup, type PageWork, type Progress, type Refusal } from './one-attempt.ts'
import { bareResult, failedResult, type PageResult, pageResult, type UserResult } from './page.ts'

/** Rounds of a whole group before its users are taken one at a time, and tries of one user. Pauses grow between them. */
const GROUP_ROUNDS = 3
const ALONE_TRIES = 5
const PAUSE_MS = 50
/** A page that has been tried for so long tries each of its remaining users once: a table may be locked, and all of them with it. */
const PATIENCE_MS = 60_000

/**
 * One page of a writing run: 2-run-protocol, "One page of an execute run", steps 1 to 5. When it returns, every
 * attempt is settled and every user has a result. `stop` says why no further page may be begun.
 * @throws OutOfTime, AttemptOpen, LeaseLost, LedgerUnavailable, ArchiveUnavailable: the page is not finished, and what was
 *   committed of it stands in its intents
 */
export async function writePage<C extends Candidate>(
  work: PageWork<C>,
): Promise<{ result: PageResult; stop: string | null }> {
  const began = work.tools.now().getTime()
  const progress: Progress<C> = {
    work,
    began,
    results: new Map(work.recovered),
    takenLinks: new Set(),
    attempts: 0,
  }
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

function open(progress: Progress<Candidate>, userIds: readonly string[]): string[] {
  return userIds.filter((userId) => !progress.results.has(userId))
}

/** Step 5: rounds of the whole group; then halves, where something refuses the group; else one user at a time. */
async function applyGroup<C extends Candidate>(
  progress: Progress<C>,
  userIds: readonly string[],
): Promise<void> {
  let refusal: Refusal<C> | null = null
  let pending = userIds
  if (pending.length === 0) return
  for (let round = 1; round <= GROUP_ROUNDS; round++) {
    if (round > 1) await progress.work.tools.pause(PAUSE_MS * 2 ** round)
    refusal = await attemptGroup(progress, pending)
    pending = open(progress, pending)
    if (pending.length === 0) return
    if (refusal?.failure === 'data') break
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

async function applyAlone<C extends Candidate>(progress: Progress<C>, userId: string): Promise<void> {
  const { run, tools } = progress.work
  let refusal: Refusal<C> | null = null
  let tries = 0
  do {
    if (++tries > 1) await tools.pause(PAUSE_MS * 2 ** tries)
    refusal = await attemptAlone(progress, userId)
    if (progress.results.has(userId)) return
  } while (
    refusal?.failure !== 'data' &&
    tries < ALONE_TRIES &&
    tools.now().getTime() - progress.began < PATIENCE_MS
  )
  if (refusal?.failure === 'lost' || refusal?.error instanceof ArchiveUnavailable)
    throw explain(refusal.error)
  progress.results.set(
    userId,
    heldFast(progress, userId, refusal) ?? failedResult(run, userId, null, failureRecord(refusal, tries)),
  )
}

/** A foreign key of another table that refuses a deletion: NO ACTION, and RESTRICT since PostgreSQL 18. */
const HELD_FAST = new Set(['23503', '23001'])

function heldFast<C extends Candidate>(
  progress: Progress<C>,
  userId: string,
  refusal: Refusal<C> | null,
): UserResult | null {
  const { writing } = progress.work
  const candidate = refusal?.candidates.find((one) => one.userId === userId)
  if (!refusal || !candidate || !HELD_FAST.has(sqlStateOf(refusal.error) ?? '')) return null
  return (
    writing.refusedByOthers?.(candidate, refusal.error instanceof Error ? refusal.error.message : '') ?? null
  )
}

function failureRecord(refusal: Refusal<Candidate> | null, attempts: number) {
  const error = refusal?.error
  return {
    stage: refusal?.stage ?? 'apply',
    error: error instanceof Error ? error.name : 'Unknown',
    sqlState: sqlStateOf(error),
    message: error instanceof Error ? error.message : 'no reason was given',
    attempts,
  }
}

import { listRollbacks } from '../../archive/control.ts'
import { isWritingRun, listRunIds, type Run } from '../../archive/runs.ts'
import type { Outcome } from '../../run/lines/user-line.ts'
import { OUTCOMES } from '../../run/lines/glossary.ts'
import type { Tools } from '../../run/tools.ts'
import { READS_AT_A_TIME } from '../chunks.ts'
import type { LoggedLine } from '../logged-line.ts'
import { type FindIn, finderOf, type LoggedError } from './find.ts'
import { grantsOf, type HistoryGrant } from './grants.ts'
import { noRuns } from './no-runs.ts'
import { instantOf, isWithin, type Period } from './when.ts'
import { whichUser } from './which-user.ts'

/** What one run did to one user. Amounts in microdollars. */
export type HistoryRun = {
  readonly runId: string
  readonly mode: Run['mode']
  readonly at: string
  /** The final status of the run, or `open`. */
  readonly status: string
  readonly by: string
  readonly via: string
  readonly reason: string | null
  readonly plan: string | null
  readonly rollsBack: string | null
  /** The run that rolled this one back for this user. */
  readonly rolledBackBy: string | null
  /** Why a rollback of this run could not be read, so that it is open whether it was for this user. */
  readonly rollbackProblem: string | null
  readonly email: string | null
  readonly outcome: string
  readonly meaning: string
  readonly todo: string
  readonly balanceBeforeMicrodollars: number | null
  readonly usedMicrodollars: number | null
  readonly expiredMicrodollars: number
  readonly duePaidMicrodollars: number
  readonly correctionMicrodollars: number
  readonly finalBalanceMicrodollars: number | null
  readonly nextCreditExpirationAt: string | null
  readonly flags: readonly string[]
  readonly grants: readonly HistoryGrant[]
  /** The rows because of which the user or a grant was skipped or a flag is set, and what differs. */
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly error: Pick<LoggedError, 'stage' | 'error' | 'message'> | null
}

/** A run that could not be read: its entry says what is wrong with it. */
export type UnreadableHistory = { readonly runId: string; readonly at: string; readonly problem: string }

export type HistoryAnswer = {
  readonly answer: 'history'
  readonly result: {
    readonly user: { readonly id: string; readonly email: string | null }
    /** Oldest first. */
    readonly runs: readonly (HistoryRun | UnreadableHistory)[]
    /** Why there is no run to tell of; null where there is one, or not all were read. */
    readonly none: string | null
  }
  /**
   * Runs for which there was no time, the oldest ones; `athena` is the query that gives the same of all runs.
   */
  readonly runsNotRead: number
  readonly athena: string
  readonly next: { readonly text: string; readonly payload: Record<string, unknown> } | null
}

/** A user by id or e-mail address; `dryRuns` adds the runs that wrote nothing. */
type Asked = Period & { readonly user: string; readonly dryRuns?: boolean | undefined }

/** What is left of the invocation for the answer itself. */
const RESERVE_MS = 5_000

/**
 * One story of one user over all runs, from S3: who, when, why, and each grant explained. Real runs only,
 * unless `dryRuns`. The newest runs are read first; where time ends, the answer says from where to ask again.
 * @throws RunRefused where an e-mail address names no user, or several; ArchiveUnavailable
 */
export async function history(
  { user: asked, from, to, dryRuns = false }: Asked,
  tools: Tools,
): Promise<HistoryAnswer> {
  const [all, rollbacks] = await Promise.all([listRunIds(tools.store), listRollbacks(tools.store)])
  const ids = all
    .filter((id) => (dryRuns || isWritingRun(id)) && isWithin(instantOf(id), { from, to }))
    .toReversed()
  const userId = await whichUser(asked, ids, tools)
  const find = finderOf(userId, tools.store)
  const entries = new Map<string, HistoryRun | UnreadableHistory | null>()
  const waiting = ids.values()
  const worker = async (): Promise<void> => {
    while (tools.timeLeft() > RESERVE_MS) {
      const { value: id } = waiting.next()
      if (id === undefined) return
      entries.set(id, await entryOf(id, rollbacks.get(id) ?? [], find))
    }
  }
  await Promise.all(Array.from({ length: READS_AT_A_TIME }, worker))
  const runs = ids.toReversed().flatMap((id) => entries.get(id) ?? [])
  const notRead = ids.filter((id) => !entries.has(id))
  const isNone = runs.length === 0 && notRead.length === 0
  const none = isNone ? await noRuns(userId, { from, to, dryRuns }, tools) : null
  const email = none ? none.email : lastEmail(runs)
  return {
    answer: 'history',
    result: { user: { id: userId, email }, runs, none: none && none.why },
    runsNotRead: notRead.length,
    athena: athenaQuery(userId, dryRuns),
    next: nextOf(notRead, {
      history: userId,
      ...(from !== undefined && { from }),
      ...(dryRuns && { dryRuns }),
    }),
  }
}

function lastEmail(runs: readonly (HistoryRun | UnreadableHistory)[]): string | null {
  return runs.flatMap((run) => ('email' in run && run.email !== null ? run.email : [])).at(-1) ?? null
}

function nextOf([newest]: readonly string[], asked: object): HistoryAnswer['next'] {
  if (newest === undefined) return null
  return { text: 'read the runs before these', payload: { ...asked, to: instantOf(newest) } }
}

function athenaQuery(userId: string, dryRuns: boolean): string {
  const modes = dryRuns ? '' : " AND mode IN ('execute', 'rollback')"
  return `SELECT * FROM users WHERE user_id = '${userId.replaceAll("'", "''")}'${modes} ORDER BY run_id`
}

/**
 * What a run did to a user; null where it did not match the user. One damaged run never keeps the others
 * away.
 */
async function entryOf(
  runId: string,
  rollbacks: readonly string[],
  find: FindIn,
): Promise<HistoryRun | UnreadableHistory | null> {
  try {
    const found = await find(runId)
    if (found === null) return null
    const { run, status, line, error } = found
    return line
      ? historyRun(run, status, line, error, await rolledBackIn(rollbacks, find))
      : notDone(run, status)
  } catch (error) {
    return { runId, at: instantOf(runId), problem: messageOf(error) }
  }
}

type RolledBack = Pick<HistoryRun, 'rolledBackBy' | 'rollbackProblem'>

const NOT_ROLLED_BACK: RolledBack = { rolledBackBy: null, rollbackProblem: null }

/**
 * The rollback, of those of a run, that rolled this user back: it may have been for some users only. One that
 * cannot be read leaves that open.
 */
async function rolledBackIn(rollbacks: readonly string[], find: FindIn): Promise<RolledBack> {
  let rollbackProblem: string | null = null
  for (const id of rollbacks) {
    try {
      const found = await find(id)
      if (found?.line?.outcome === 'rolled_back') return { rolledBackBy: id, rollbackProblem: null }
    } catch (error) {
      rollbackProblem = messageOf(error)
    }
  }
  return { ...NOT_ROLLED_BACK, rollbackProblem }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'an unknown error'
}

function headOf({ runId, mode, instant, asked, selection }: Run, status: string) {
  const { by, via, reason } = asked
  const { plan, rollback: rollsBack } = selection
  return { runId, mode, at: instant, status, by, via, reason, plan, rollsBack }
}

function historyRun(
  run: Run,
  status: string,
  line: LoggedLine,
  error: LoggedError | null,
  rolledBack: RolledBack,
): HistoryRun {
  const entry = isOutcome(line.outcome) ? OUTCOMES[line.outcome] : { meaning: '', todo: '' }
  return {
    ...headOf(run, status),
    ...rolledBack,
    email: line.email,
    outcome: line.outcome,
    meaning: entry.meaning,
    todo: entry.todo,
    balanceBeforeMicrodollars: line.balance_before_microdollars,
    usedMicrodollars: line.used_microdollars,
    expiredMicrodollars: line.expired_microdollars,
    duePaidMicrodollars: line.due_paid_microdollars,
    correctionMicrodollars: line.correction_microdollars,
    finalBalanceMicrodollars: line.final_balance_microdollars,
    nextCreditExpirationAt: line.next_credit_expiration_at,
    flags: line.flags,
    grants: grantsOf(run, line),
    rows: [line.excluded, line.review, line.exceeds, line.changed, line.flag_details].flatMap(
      (rows) => rows ?? [],
    ),
    error: error && { stage: error.stage, error: error.error, message: error.message },
  }
}

function isOutcome(text: string): text is Outcome {
  return Object.hasOwn(OUTCOMES, text)
}

/** A user of a page without an outcome: of an open run, or of one that was stopped before. */
function notDone(run: Run, status: string): HistoryRun {
  const { meaning, todo } = OUTCOMES.not_reached
  return {
    ...headOf(run, status),
    ...NOT_ROLLED_BACK,
    email: null,
    outcome: 'not_reached',
    meaning: status === 'open' ? 'The run is open and has not processed the user yet.' : meaning,
    todo: status === 'open' ? 'Resume the run.' : todo,
    balanceBeforeMicrodollars: null,
    usedMicrodollars: null,
    expiredMicrodollars: 0,
    duePaidMicrodollars: 0,
    correctionMicrodollars: 0,
    finalBalanceMicrodollars: null,
    nextCreditExpirationAt: null,
    flags: [],
    grants: [],
    rows: [],
    error: null,
  }
}

import type { PageList, Run } from '../archive/documents.ts'
import { attemptId } from '../archive/keys.ts'
import type { Sql } from '../ledger/connect.ts'
import { applyUndos, applyUndoUnderLock, readForUndo, type UndoReading } from '../ledger/undo.ts'
import { UnusableValue } from '../rules/amounts.ts'
import { type LoggedChange, planRollback, type Rollback as Undo } from '../rules/rollback.ts'
import type { AttemptName, Candidate } from './attempt.ts'
import { readLoggedChanges } from './logged-changes.ts'
import { bareResult, failedResult, type PageResult, pageResult, resultOf, type UserResult } from './page.ts'
import { rulesOf } from './planning.ts'
import { closingsBefore } from './records.ts'
import { undoLine, undoMutations, untouchedLine } from './rollback-records.ts'
import type { Tools } from './tools.ts'
import type { Known, Planning, Writing } from './one-attempt.ts'

export type UndoCandidate = Candidate & { readonly undo: Undo }

/** What the run to be undone logged of the users of one page. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function loggedChangesOf(
  run: Run,
  list: PageList,
  tools: Tools,
): Promise<ReadonlyMap<string, LoggedChange>> {
  if (run.selection.rollback === null || list.bytes === null)
    throw new Error(`Page ${list.page} of ${run.runId} is no page of a rollback.`)
  return readLoggedChanges(tools.store, run.selection.rollback, list.bytes)
}

/** What a rollback does to users: takes back what the log says, all of one user or nothing. */
export function rollingBack(
  run: Run,
  sql: Sql,
  changes: ReadonlyMap<string, LoggedChange>,
): Writing<UndoCandidate> {
  const changesOf = (userIds: readonly string[]) => userIds.flatMap((userId) => changes.get(userId) ?? [])
  return {
    async plan(userIds, known) {
      const reading = await readForUndo(sql, changesOf(userIds))
      return new Map(
        userIds.map((userId) => [userId, planOne(run, userId, changes.get(userId), reading, known.name)]),
      )
    },
    apply: async (candidates, leaseExpiresAt) =>
      applyUndos(
        sql,
        candidates.map(({ undo }) => undo),
        leaseExpiresAt,
      ),
    async applyUnderLock(userId, { name }: Known, leaseExpiresAt, declare) {
      const change = changes.get(userId)
      if (!change) throw new Error(`The log says nothing of the user ${userId}.`)
      return applyUndoUnderLock(sql, change, leaseExpiresAt, async (reading) => {
        const candidate = await declare(planOne(run, userId, change, reading, name))
        return candidate && candidate.undo
      })
    },
    refusedByOthers: (candidate, error) =>
      resultOf(
        untouchedLine(run, candidate.undo.user, 'changed_since', [
          { table: 'unknown', row: 'unknown', column: 'unknown', expected: null, found: error },
        ]),
      ),
  }
}

/** One page of a rollback's dry run, in a READ ONLY transaction. @throws LedgerUnavailable, ArchiveCorrupt, ArchiveUnavailable */
export async function rollbackDryPage(
  run: Run,
  list: PageList,
  epoch: number,
  tools: Tools,
): Promise<PageResult> {
  const changes = await loggedChangesOf(run, list, tools)
  const reading = await readForUndo(tools.ledger.reader, [...changes.values()])
  const name = { page: list.page, epoch, n: 1, leaseExpiresAt: '' }
  const results = list.userIds.map((userId): [string, UserResult] => {
    const planning = planOne(run, userId, changes.get(userId), reading, name)
    return [userId, 'result' in planning ? planning.result : planning.candidate.result]
  })
  return pageResult(run, list, new Map(results), tools.now())
}

function planOne(
  run: Run,
  userId: string,
  change: LoggedChange | undefined,
  { readings, inserted }: UndoReading,
  name: AttemptName,
): Planning<UndoCandidate> {
  const reading = readings.get(userId)
  if (!change || !reading) return { result: bareResult(run, userId, null, 'gone') }
  if ('unusable' in reading) return { result: unusable(run, userId, reading.email, reading.unusable) }
  const { user, rows } = reading
  const ours = new Set(change.inserted.map(({ id }) => id))
  const others = rows.filter(({ id }) => !ours.has(id))
  try {
    const { closings_count: count, closings_sha256: sha256 } = closingsBefore(others, rulesOf(run))
    const states = new Map([...inserted].filter(([id]) => ours.has(id)))
    const plan = planRollback(change, { user, rows, inserted: states, closings: { count, sha256 } })
    if (plan.outcome !== 'rolled_back') {
      const changed = plan.outcome === 'changed_since' ? plan.changed : []
      return { result: resultOf(untouchedLine(run, user, plan.outcome, changed)) }
    }
    return { candidate: prepareUndo(run, name, plan.rollback, rows) }
  } catch (error) {
    if (error instanceof UnusableValue) return { result: unusable(run, userId, user.email, error) }
    throw error
  }
}

function prepareUndo(
  run: Run,
  name: AttemptName,
  undo: Undo,
  rows: Parameters<typeof undoLine>[2],
): UndoCandidate {
  const attempt = attemptId(name.page, name.epoch, name.n)
  return {
    userId: undo.user.id,
    rowIds: undo.logged.inserted.map(({ id }) => id),
    result: resultOf(undoLine(run, undo, rows), undoMutations(run, attempt, undo)),
    correctionMicrodollars: 0,
    closes: [],
    undo,
  }
}

function unusable(run: Run, userId: string, email: string, error: UnusableValue): UserResult {
  return failedResult(run, userId, email, {
    stage: 'plan',
    error: error.name,
    sqlState: null,
    message: error.message,
    attempts: 1,
  })
}

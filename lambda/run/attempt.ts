import { attemptId } from '../archive/keys.ts'
import { putIntent } from '../archive/segments.ts'
import type { Run } from '../archive/documents.ts'
import type { Store } from '../archive/store.ts'
import type { PlannedUser } from '../ledger/apply.ts'
import { rowId } from './ids.ts'
import type { UserResult } from './page.ts'
import { type Planned, rulesOf } from './planning.ts'
import { closingsBefore, mutationLines, planLine } from './records.ts'

/** One user of an attempt: what goes to the database, and the result that is theirs once that has committed. */
export type AttemptUser = { readonly planned: PlannedUser; readonly result: UserResult }

/** Which attempt it is, and until when it may commit. */
export type AttemptName = { readonly page: number; readonly epoch: number; readonly n: number; readonly leaseExpiresAt: string }

/** A planned user with the ids that this attempt gives to the rows to insert, and the log lines they come to. */
export function prepare(run: Run, name: AttemptName, { plan, rows }: Planned): AttemptUser {
  const attempt = attemptId(name.page, name.epoch, name.n)
  const planned: PlannedUser = {
    plan,
    closingIds: plan.change.closings.map((closing) => rowId(run.runId, attempt, closing.grant.id)),
    correctionId: plan.change.correction && rowId(run.runId, attempt, plan.user.id),
  }
  const mutations = mutationLines(run, attempt, planned, closingsBefore(rows, rulesOf(run)))
  return { planned, result: { line: planLine(run, plan), mutations, failure: null } }
}

/**
 * Makes an attempt durable before anything of it is written to the database: a head that says what follows, then
 * one line a user with the whole planned outcome. Whoever settles the attempt after a crash needs nothing else.
 * @throws ArchiveUnavailable, ArchiveCorrupt
 */
export async function writeIntent(
  store: Store,
  run: Run,
  name: AttemptName,
  users: readonly AttemptUser[],
  signal?: AbortSignal,
): Promise<void> {
  const attempt = attemptId(name.page, name.epoch, name.n)
  const head = {
    run_id: run.runId,
    attempt,
    page: name.page,
    epoch: name.epoch,
    lease_expires_at: name.leaseExpiresAt,
    users: users.length,
  }
  const lines = users.map(({ planned, result }) =>
    JSON.stringify({
      user_id: planned.plan.user.id,
      row_ids: rowIdsOf(planned),
      line: result.line,
      mutations: result.mutations,
    }),
  )
  await putIntent(store, run.runId, attempt, [JSON.stringify(head), ...lines], signal)
}

/** The ids of all rows that an attempt inserts for one user: where one of them is, the attempt was committed. */
export function rowIdsOf({ closingIds, correctionId }: PlannedUser): string[] {
  return correctionId === null ? [...closingIds] : [...closingIds, correctionId]
}

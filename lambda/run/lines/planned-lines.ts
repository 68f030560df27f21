import type { Run } from '../../archive/runs.ts'
import type { PlannedUser } from '../../ledger/write.ts'
import { packInputs } from '../../rules/inputs.ts'
import { type InsertedRow, type LoggedChange, planRollback, type RollbackPlan } from '../../rules/rollback.ts'
import type { ChangePlan, LedgerUser, Transaction } from '../../rules/types.ts'
import { rowId } from '../ids.ts'
import { closingsOf, mutationLines } from './mutation-lines.ts'
import { notRolledBackLine, rollbackLine, rollbackMutations } from './rollback-lines.ts'
import { settingsOf } from './run-rules.ts'
import { type LineContext, planLine, type UserLine } from './user-line.ts'

/** A user to be changed, with what the plan was made from. */
export type Planned = {
  readonly plan: ChangePlan
  readonly rows: readonly Transaction[]
  readonly inputs: unknown
}

/** The lines of a user in the users log and in the mutation log. */
export type Lines = { readonly line: UserLine; readonly mutations: readonly string[] }

/**
 * The lines of a planned user, with the ids that the attempt gives to the rows to insert. A pure function:
 * settling and verify make the same lines again from the same inputs.
 */
export function linesOfChange(
  run: Run,
  context: LineContext,
  { plan, rows, inputs }: Planned,
): Lines & { readonly planned: PlannedUser } {
  const { user, change } = plan
  const closingIds = change.closings.map(({ grant }) => rowId(run.runId, context.attempt, grant.id))
  const correctionId = change.correction && rowId(run.runId, context.attempt, user.id)
  const planned = { plan, closingIds, correctionId }
  const mutations = mutationLines(context, planned, closingsOf(rows, settingsOf(run)))
  return { planned, line: planLine(context, plan, inputs), mutations }
}

/**
 * The plan and the lines of one user of a rollback; `inserted` is how the rows to delete are now. Pure, as
 * linesOfChange.
 * @throws UnusableValue
 */
export function linesOfRollback(
  run: Run,
  context: LineContext,
  change: LoggedChange,
  { user, rows }: { readonly user: LedgerUser; readonly rows: readonly Transaction[] },
  inserted: ReadonlyMap<string, InsertedRow>,
): Lines & { readonly plan: RollbackPlan; readonly inputs: unknown } {
  const ids = new Set(change.inserted.map(({ id }) => id))
  const others = rows.filter(({ id }) => !ids.has(id))
  const { closings_count: count, closings_sha256: sha256 } = closingsOf(others, settingsOf(run))
  const plan = planRollback(change, { user, rows, inserted, closings: { count, sha256 } })
  const inputs = packInputs(user, rows, NO_CIRCUMSTANCES)
  if (plan.outcome !== 'rolled_back') {
    const changed = plan.outcome === 'changed_since' ? plan.changed : []
    return {
      plan,
      inputs,
      line: notRolledBackLine(context, user, plan.outcome, changed, inputs),
      mutations: [],
    }
  }
  return {
    plan,
    inputs,
    line: rollbackLine(context, plan.rollback, rows, inputs),
    mutations: rollbackMutations(context, plan.rollback),
  }
}

const NO_CIRCUMSTANCES = { named: false, excluded: false, takenLinks: new Set<string>() }

/** An intent is written only where every inserted row was as inserted, and nothing referred to it. */
export function asInserted({ inserted }: LoggedChange): ReadonlyMap<string, InsertedRow> {
  return new Map(inserted.map(({ id }) => [id, { differing: [], references: [] }]))
}

import type { Run } from '../archive/documents.ts'
import { attemptId } from '../archive/keys.ts'
import { applyPlans, applyPlanUnderLock, type PlannedUser } from '../ledger/apply.ts'
import type { Sql } from '../ledger/connect.ts'
import { type Reading, readUsers } from '../ledger/read.ts'
import type { AttemptName, Candidate } from './attempt.ts'
import { exceedsPlan, type PlanShown } from './bound.ts'
import { rowId } from './ids.ts'
import { resultOf } from './page.ts'
import { type Planned, planReading, rulesOf } from './planning.ts'
import { closingsBefore, exceedsPlanLine, mutationLines, planLine } from './records.ts'
import type { Known, Planning, Writing } from './one-attempt.ts'

export type ExecuteCandidate = Candidate & { readonly planned: PlannedUser }

/**
 * What an execute run does to users: the rules' plan of each, within what the approved plan showed, if there is one.
 */
export function executing(run: Run, sql: Sql, shown: PlanShown | null): Writing<ExecuteCandidate> {
  const planOne = (
    userId: string,
    reading: Reading | undefined,
    { name, takenLinks }: Known,
  ): Planning<ExecuteCandidate> => {
    const planning = planReading(run, userId, reading, takenLinks)
    if ('result' in planning) return planning
    const { planned } = planning
    if (shown && exceedsPlan(planned.plan, shown.get(userId))) {
      return { result: resultOf(exceedsPlanLine(run, planned.plan)) }
    }
    return { candidate: prepare(run, name, planned) }
  }
  return {
    async plan(userIds, known) {
      const readings = await readUsers(sql, userIds)
      return new Map(userIds.map((userId) => [userId, planOne(userId, readings.get(userId), known)]))
    },
    apply: async (candidates, leaseExpiresAt) =>
      applyPlans(
        sql,
        candidates.map(({ planned }) => planned),
        leaseExpiresAt,
      ),
    applyUnderLock: async (userId, known, leaseExpiresAt, declare) =>
      applyPlanUnderLock(sql, userId, leaseExpiresAt, async (reading) => {
        const candidate = await declare(planOne(userId, reading, known))
        return candidate && candidate.planned
      }),
  }
}

/** A planned user with the ids that this attempt gives to the rows to insert, and the log lines they come to. */
export function prepare(run: Run, name: AttemptName, { plan, rows }: Planned): ExecuteCandidate {
  const attempt = attemptId(name.page, name.epoch, name.n)
  const closingIds = plan.change.closings.map((closing) => rowId(run.runId, attempt, closing.grant.id))
  const correctionId = plan.change.correction && rowId(run.runId, attempt, plan.user.id)
  const planned = { plan, closingIds, correctionId }
  const mutations = mutationLines(run, attempt, planned, closingsBefore(rows, rulesOf(run)))
  return {
    userId: plan.user.id,
    rowIds: correctionId === null ? closingIds : [...closingIds, correctionId],
    result: resultOf(planLine(run, plan), mutations),
    correctionMicrodollars: plan.change.correction?.amountMicrodollars ?? 0,
    closes: plan.change.closings.map((closing) => closing.grant.id),
    planned,
  }
}

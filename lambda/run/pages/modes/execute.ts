import * as z from 'zod'
import { readPart } from '../../../archive/logs.ts'
import type { PageSource } from '../../../archive/pages.ts'
import type { Run } from '../../../archive/runs.ts'
import type { Store } from '../../../archive/s3/store.ts'
import { type Reading, readUsers } from '../../../ledger/read.ts'
import { findTakenLinks, findTransactions } from '../../../ledger/rows.ts'
import { writeExpirations } from '../../../ledger/write.ts'
import { unpackInputs } from '../../../rules/inputs.ts'
import { exceeds, type ShownPlan } from '../../../rules/within-plan.ts'
import { PlannedByOtherVersion } from '../../errors.ts'
import { linesOfChange, type Planned } from '../../lines/planned-lines.ts'
import { contextOf } from '../../lines/run-rules.ts'
import { exceededRecord, type LineContext, untouchedLine } from '../../lines/user-line.ts'
import type { Candidate, PageMode, Planning } from './mode.ts'
import { resultOf } from '../outcome.ts'
import { planInputs, planReading } from './planning.ts'

/** What an approved dry run showed, by user. */
export type PlanShown = ReadonlyMap<string, ShownPlan & { readonly inputs?: unknown }>

/** The rows that a user was planned from. */
function rowIdsIn(inputs: unknown): ReadonlySet<string> {
  return new Set(inputs === undefined ? [] : unpackInputs(inputs).rows.map(({ id }) => id))
}

/**
 * What an execute does to users: the rules' plan of each, within what the approved dry run showed, if there
 * is one.
 */
export function executeMode(run: Run, shown: PlanShown | null): PageMode {
  return {
    async read(sql, userIds) {
      const readings = await readUsers(sql, userIds)
      const takenLinks = shown ? await findTakenLinks(sql, unlinkedGrants(readings)) : new Set<string>()
      return { readings, inserted: new Map(), takenLinks }
    },
    plan(userId, { readings, takenLinks: found = [] }, attempt, known): Planning {
      const context = contextOf(run, attempt)
      const takenLinks = new Set([...known, ...found])
      const seen = shown && (() => rowIdsIn(shown.get(userId)?.inputs))
      const planning = planReading(run, context, userId, readings.get(userId), takenLinks, seen)
      if ('result' in planning) return planning
      const { plan, inputs } = planning.planned
      const exceeded = shown ? exceeds(plan, shown.get(userId) ?? null) : []
      if (exceeded.length === 0) return { candidate: candidateOf(run, context, planning.planned) }
      const why = { outcome: 'exceeds_plan' as const, exceeds: exceeded.map(exceededRecord) }
      return { result: resultOf(untouchedLine(context, plan, why, inputs)) }
    },
    planAgain({ user_id: userId, inputs }, attempt): Candidate {
      const context = contextOf(run, attempt)
      const { user, rows, circumstances } = unpackInputs(inputs)
      const planning = planInputs(run, context, user, rows, circumstances)
      if ('planned' in planning) return candidateOf(run, context, planning.planned)
      throw new PlannedByOtherVersion(
        `The intent ${attempt} changes user ${userId}, but the rules of this version would not. ` +
          'Nothing was done. Finish the run with the version of credit-expiry that wrote the intent.',
      )
    },
    write: async (tx, candidates) =>
      writeExpirations(
        tx,
        candidates.flatMap(({ change }) => (change.kind === 'expiration' ? change.planned : [])),
      ),
    async findDone(tx, attempts) {
      const present = await findTransactions(
        tx,
        attempts.flatMap(({ candidate }) => candidate.rowIds),
      )
      const done = attempts.filter(({ candidate }) => candidate.rowIds.some((id) => present.has(id)))
      return new Map(done.map(({ attempt, candidate }) => [candidate.userId, attempt]))
    },
  }
}

/** Positive rows that no row of their own user links to. */
function unlinkedGrants(readings: ReadonlyMap<string, Reading>): string[] {
  const rows = [...readings.values()].flatMap((reading) => ('rows' in reading ? reading.rows : []))
  const linked = new Set(rows.map(({ originalTransactionId }) => originalTransactionId))
  return rows
    .filter(({ id, amountMicrodollars }) => amountMicrodollars > 0 && !linked.has(id))
    .map(({ id }) => id)
}

/**
 * A planned user with the ids that the attempt gives to the rows to insert, and the log lines that result.
 */
export function candidateOf(run: Run, context: LineContext, user: Planned): Candidate {
  const { planned, line, mutations } = linesOfChange(run, context, user)
  const { plan, closingIds, correctionId } = planned
  return {
    userId: plan.user.id,
    email: plan.user.email,
    inputs: user.inputs,
    change: { kind: 'expiration', planned },
    rowIds: correctionId === null ? closingIds : [...closingIds, correctionId],
    rows: mutations.length,
    result: resultOf(line, mutations),
    correctedMicrodollars: plan.change.correction?.amountMicrodollars ?? 0,
    expiredMicrodollars: plan.expiredMicrodollars + plan.duePaidMicrodollars,
    closes: plan.change.closings.map(({ grant }) => grant.id),
  }
}

const shownSchema = z.object({
  user_id: z.string(),
  expired_microdollars: z.int(),
  due_paid_microdollars: z.int(),
  correction_microdollars: z.int(),
  inputs: z.unknown().optional(),
  credits: z.array(
    z.object({ id: z.string(), targeted: z.boolean(), expired_microdollars: z.int().nullable() }),
  ),
})

/**
 * Reads what a dry run showed of the users of one of its pages, compared with what its writer recorded.
 * @throws ArchiveCorrupt when the part was edited, ArchiveUnavailable
 */
export async function readPlanShown(store: Store, dryRunId: string, source: PageSource): Promise<PlanShown> {
  const lines = await readPart(store, dryRunId, 'users', source, shownSchema)
  return new Map(
    lines.map((line) => [
      line.user_id,
      {
        expiredMicrodollars: line.expired_microdollars,
        duePaidMicrodollars: line.due_paid_microdollars,
        correctionMicrodollars: line.correction_microdollars,
        inputs: line.inputs,
        credits: line.credits.map(({ id, targeted, expired_microdollars }) => ({
          id,
          targeted,
          expiredMicrodollars: expired_microdollars,
        })),
      },
    ]),
  )
}

import { ArchiveCorrupt } from '../../../archive/errors.ts'
import { compareAttempts } from '../../../archive/keys.ts'
import { readPart } from '../../../archive/logs.ts'
import type { PageSource } from '../../../archive/pages.ts'
import type { Run } from '../../../archive/runs.ts'
import type { Store } from '../../../archive/s3/store.ts'
import { readUsers } from '../../../ledger/read.ts'
import type { ForeignKey } from '../../../ledger/preflight/references.ts'
import { lockInserted, readInserted, writeRollbacks } from '../../../ledger/rollback.ts'
import { findExpiryDates, findTransactions, findUsers } from '../../../ledger/rows.ts'
import { UnusableValue } from '../../../rules/amounts.ts'
import { unpackInputs } from '../../../rules/inputs.ts'
import { type InsertedRow, isRolledBack, type LoggedChange, type Rollback } from '../../../rules/rollback.ts'
import type { LedgerUser, Transaction } from '../../../rules/types.ts'
import { PlannedByOtherVersion } from '../../errors.ts'
import { type Mutation, mutationSchema, toLoggedChange } from '../../lines/logged-change.ts'
import { asInserted, linesOfRollback } from '../../lines/planned-lines.ts'
import { contextOf } from '../../lines/run-rules.ts'
import type { LineContext } from '../../lines/user-line.ts'
import type { Candidate, Observed, PageMode, Planning } from './mode.ts'
import { bareResult, resultOf } from '../outcome.ts'
import { unusable } from './planning.ts'

export type LoggedChanges = ReadonlyMap<string, LoggedChange>

/** What a rollback does to users: everything that the run wrote for one user, or nothing. */
export function rollbackMode(run: Run, changes: LoggedChanges, foreignKeys: readonly ForeignKey[]): PageMode {
  const changeOf = (userId: string): LoggedChange => {
    const change = changes.get(userId)
    if (change) return change
    throw new ArchiveCorrupt(`The mutation log of ${run.selection.rollback} has no lines of user ${userId}.`)
  }
  return {
    async read(sql, userIds): Promise<Observed> {
      const readings = await readUsers(sql, userIds)
      return { readings, inserted: await readInserted(sql, userIds.map(changeOf), foreignKeys) }
    },
    plan: (userId, observed, attempt) => planOne(run, contextOf(run, attempt), changeOf(userId), observed),
    planAgain({ user_id: userId, inputs }, attempt): Candidate {
      const change = changeOf(userId)
      const { user, rows } = unpackInputs(inputs)
      const planning = planWith(run, contextOf(run, attempt), change, user, rows, asInserted(change))
      if ('candidate' in planning) return planning.candidate
      throw new PlannedByOtherVersion(
        `The intent ${attempt} rolls user ${userId} back, but the rules of this version would not. ` +
          'Nothing was done. Finish the run with the version of credit-expiry that wrote the intent.',
      )
    },
    async write(tx, candidates) {
      return writeRollbacks(tx, await lockInserted(tx, rollbacksOf(candidates), foreignKeys))
    },
    async findDone(tx, attempts) {
      const present = await findTransactions(
        tx,
        attempts.flatMap(({ candidate }) => candidate.rowIds),
      )
      const absent = attempts.filter(({ candidate }) => !candidate.rowIds.some((id) => present.has(id)))
      const grants = absent.flatMap(({ candidate }) => changeOf(candidate.userId).grants)
      const userIds = absent.map(({ candidate }) => candidate.userId)
      const [dates, users] = await Promise.all([
        findExpiryDates(
          tx,
          grants.map(({ id }) => id),
        ),
        findUsers(tx, userIds),
      ])
      const done = absent.filter(({ candidate: { userId } }) => {
        const change = changeOf(userId)
        const rows = change.grants.flatMap(({ id }) => {
          const expiryDate = dates.get(id)
          return expiryDate === undefined ? [] : [{ id, expiryDate }]
        })
        // The grants show what happened, also where the user is gone. Where the grants of a user are gone, other
        // writers deleted them, and perhaps the inserted rows too.
        return (
          (rows.length > 0 || (change.grants.length === 0 && users.has(userId))) && isRolledBack(change, rows)
        )
      })
      // Several attempts delete the same rows: the latest one did it.
      const byAttempt = done.toSorted((a, b) => compareAttempts(a.attempt, b.attempt))
      return new Map(byAttempt.map(({ attempt, candidate }) => [candidate.userId, attempt]))
    },
  }
}

function rollbacksOf(candidates: readonly Candidate[]): Rollback[] {
  return candidates.flatMap(({ change }) => (change.kind === 'rollback' ? change.rollback : []))
}

/** Plans the rollback of one user. Data of one user never makes it throw. */
export function planOne(
  run: Run,
  context: LineContext,
  change: LoggedChange,
  { readings, inserted }: Observed,
): Planning {
  const { userId } = change
  const reading = readings.get(userId)
  if (!reading) return { result: bareResult(context, userId, null, 'gone') }
  if ('unusable' in reading)
    return { result: unusable(context, userId, reading.email, 'read', reading.unusable) }
  const ids = new Set(change.inserted.map(({ id }) => id))
  const present = new Map([...inserted].filter(([id]) => ids.has(id)))
  try {
    return planWith(run, context, change, reading.user, reading.rows, present)
  } catch (error) {
    if (error instanceof UnusableValue)
      return { result: unusable(context, userId, reading.user.email, 'plan', error) }
    throw error
  }
}

function planWith(
  run: Run,
  context: LineContext,
  change: LoggedChange,
  user: LedgerUser,
  rows: readonly Transaction[],
  inserted: ReadonlyMap<string, InsertedRow>,
): Planning {
  const { plan, inputs, line, mutations } = linesOfRollback(run, context, change, { user, rows }, inserted)
  if (plan.outcome !== 'rolled_back') return { result: resultOf(line) }
  return {
    candidate: {
      userId: user.id,
      email: user.email,
      inputs,
      change: { kind: 'rollback', rollback: plan.rollback },
      rowIds: change.inserted.map(({ id }) => id),
      rows: mutations.length,
      result: resultOf(line, mutations),
      correctedMicrodollars: 0,
      expiredMicrodollars: 0,
      closes: [],
    },
  }
}

/**
 * What a run logged of the users of one of its pages, compared with what its writer recorded.
 * @throws ArchiveCorrupt when the part is missing or was edited, ArchiveUnavailable
 */
export async function readLoggedChanges(
  store: Store,
  runId: string,
  source: PageSource,
): Promise<LoggedChanges> {
  const byUser = new Map<string, Mutation[]>()
  for (const mutation of await readPart(store, runId, 'mutations', source, mutationSchema)) {
    const mutations = byUser.get(mutation.user_id)
    if (mutations) mutations.push(mutation)
    else byUser.set(mutation.user_id, [mutation])
  }
  return new Map([...byUser].map(([userId, mutations]) => [userId, toLoggedChange(userId, mutations)]))
}

import type { Line, Run } from './bucket.ts'
import type { Change, Input } from './toy-ledger.ts'

/**
 * The rules of the toy: a pure function of the inputs, the run and the attempt, so that settling plans again.
 */

/** A user's outcome if the change is committed; no change means that the user is not touched. */
export type Planned = { readonly line: Line; readonly change: Change | null }

const FACE_VALUE = 1000

export function plan(run: Run, page: number, attempt: string, input: Input): Planned {
  return run.mode === 'execute' ? planUser(run, attempt, input) : planRollback(run, page, attempt, input)
}

function planUser(run: Run, attempt: string, input: Input): Planned {
  const { user, used, date, baseline } = input
  if (input.row) return untouched(user, 'no_targeted_grant', attempt)
  const amount = FACE_VALUE - used
  const row = { runId: run.runId, attempt, amount }
  const change = { input, attempt, amount, after: { date: run.runId, baseline: baseline + 1, row } }
  const before = { date, baseline }
  return { line: { user, outcome: 'expired', changed: true, attempt, amount, before }, change }
}

function planRollback(run: Run, page: number, attempt: string, input: Input): Planned {
  const { user, date, baseline, row } = input
  const { before, attempt: inserted, amount } = loggedLine(run, page, user)
  if (!row) return untouched(user, date === run.target ? 'changed_since' : 'already_rolled_back', attempt)
  const asInserted = row.runId === run.target && row.attempt === inserted
  const asLeft = before !== null && date === run.target && baseline === before.baseline + 1
  if (!asInserted || !asLeft) return untouched(user, 'changed_since', attempt)
  const change = { input, attempt, amount, after: { ...before, row: null } }
  return { line: { user, outcome: 'rolled_back', changed: true, attempt, amount, before }, change }
}

/** The line of the mutation log that a rollback works from. */
export function loggedLine(run: Run, page: number, user: number): Line {
  const line = run.pages[page]?.find((frozen) => frozen.user === user)?.line
  if (!line) throw new Error(`The run ${run.runId} has no line of user ${user}.`)
  return line
}

function untouched(user: number, outcome: Line['outcome'], attempt: string): Planned {
  return { line: { user, outcome, changed: false, attempt, amount: 0, before: null }, change: null }
}

/** The line of a user who got nothing: `failed`, or `not_reached` when the run ended before. */
export function bareLine(user: number, outcome: 'failed' | 'not_reached'): Line {
  return { user, outcome, changed: false, attempt: null, amount: 0, before: null }
}

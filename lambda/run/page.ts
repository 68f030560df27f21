import type { PageList, Totals } from '../archive/documents.ts'
import { type OutcomeLines, toLines } from '../archive/segments.ts'
import { bareLine, errorLine, type ErrorStage, type Outcome, type RunName } from './records.ts'
import { addUserLine, type Counted, noTotals } from './totals.ts'

/** A user's line as it stands in the log, and what of it counts. */
export type LoggedLine = { readonly bytes: Uint8Array; readonly counted: Counted }

/** Why a user failed, as the error log shows it. */
export type UserFailure = {
  readonly stage: ErrorStage
  readonly error: string
  readonly sqlState: string | null
  readonly message: string
  readonly attempts: number
}

/** How one user of a page ended. `line` is null for a user without grants and flags, who is counted only. */
export type UserResult = {
  readonly line: LoggedLine | null
  /** The lines of the mutations, how many there are. */
  readonly mutations: { readonly bytes: Uint8Array; readonly lines: number }
  readonly failure: UserFailure | null
}

/** A page's outcome: its log lines, its totals, and the errors of its users in order (null for those who did not fail). */
export type PageResult = {
  readonly page: number
  readonly lines: OutcomeLines
  readonly totals: Totals
  readonly errors: readonly (string | null)[]
  readonly lastUserId: string
}

/** How a user ended who did not fail: their line, and one of each row that was changed, inserted or deleted. */
export function resultOf(line: Counted, mutations: readonly string[] = []): UserResult {
  const {
    outcome,
    flags,
    grants_targeted,
    expired_microdollars,
    due_paid_microdollars,
    correction_microdollars,
  } = line
  // A copy: of the whole line only the bytes need stay in memory.
  const counted = {
    outcome,
    flags,
    grants_targeted,
    expired_microdollars,
    due_paid_microdollars,
    correction_microdollars,
  }
  return {
    line: { bytes: toLines([JSON.stringify(line)]), counted },
    mutations: { bytes: toLines(mutations), lines: mutations.length },
    failure: null,
  }
}

/** How a user ended of whom there is nothing to say. */
export function silentResult(): UserResult {
  return { line: null, mutations: { bytes: toLines([]), lines: 0 }, failure: null }
}

/** A user about whom there is no plan: gone, no longer internal, or not reached. */
export function bareResult(run: RunName, userId: string, email: string | null, outcome: Outcome): UserResult {
  return resultOf(bareLine(run, userId, email, outcome))
}

/** A user who failed; everybody else goes on. */
export function failedResult(
  run: RunName,
  userId: string,
  email: string | null,
  failure: UserFailure,
): UserResult {
  return { ...bareResult(run, userId, email, 'failed'), failure }
}

/** Puts the results of all users of a page together, in the order of its list, so that the lines of one user stand together. */
export function pageResult(
  run: RunName,
  list: PageList,
  results: ReadonlyMap<string, UserResult>,
  now: Date,
): PageResult {
  const lines = { users: [] as Uint8Array[], mutations: [] as Uint8Array[], errors: [] as Uint8Array[] }
  const errors: (string | null)[] = []
  let totals = noTotals()
  for (const userId of list.userIds) {
    const result = results.get(userId)
    if (!result) throw new Error(`The user ${userId} of page ${list.page} has no result.`)
    const { line, mutations, failure } = result
    if (line) {
      totals = addUserLine(totals, line.counted)
      lines.users.push(line.bytes)
    } else totals = { ...totals, usersWithoutGrants: totals.usersWithoutGrants + 1 }
    totals.mutationLines += mutations.lines
    lines.mutations.push(mutations.bytes)
    if (failure)
      lines.errors.push(
        toLines([JSON.stringify(errorLine(run, { userId, page: list.page, ...failure }, now))]),
      )
    errors.push(failure && `${failure.error}: ${failure.message}`)
  }
  return {
    page: list.page,
    lines,
    totals: { ...totals, errorLines: lines.errors.length },
    errors,
    lastUserId: list.userIds.at(-1) ?? '',
  }
}

import type { PageList, Totals } from '../archive/documents.ts'
import type { OutcomeLines } from '../archive/segments.ts'
import { bareLine, errorLine, type ErrorStage, type Outcome, type RunName } from './records.ts'
import { addUserLine, type Counted, noTotals } from './totals.ts'

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
  readonly line: (Counted & object) | null
  /** As JSON text: they go into the intent and into the outcome, and making the text once is cheaper. */
  readonly mutations: readonly string[]
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

/** A user about whom there is no plan: gone, no longer internal, or not reached. */
export function bareResult(run: RunName, userId: string, email: string | null, outcome: Outcome): UserResult {
  return { line: bareLine(run, userId, email, outcome), mutations: [], failure: null }
}

/** A user who failed; everybody else goes on. */
export function failedResult(run: RunName, userId: string, email: string | null, failure: UserFailure): UserResult {
  return { line: bareLine(run, userId, email, 'failed'), mutations: [], failure }
}

/** Puts the results of all users of a page together, in the order of its list, so that the lines of one user stand together. */
export function pageResult(run: RunName, list: PageList, results: ReadonlyMap<string, UserResult>, now: Date): PageResult {
  const lines = { users: [] as string[], mutations: [] as string[], errors: [] as string[] }
  const errors: (string | null)[] = []
  let totals = noTotals()
  for (const userId of list.userIds) {
    const result = results.get(userId)
    if (!result) throw new Error(`The user ${userId} of page ${list.page} has no result.`)
    const { line, mutations, failure } = result
    if (line) {
      totals = addUserLine(totals, line)
      lines.users.push(JSON.stringify(line))
    } else totals = { ...totals, usersWithoutGrants: totals.usersWithoutGrants + 1 }
    for (const mutation of mutations) lines.mutations.push(mutation)
    if (failure) lines.errors.push(JSON.stringify(errorLine(run, { userId, page: list.page, ...failure }, now)))
    errors.push(failure && `${failure.error}: ${failure.message}`)
  }
  return {
    page: list.page,
    lines,
    totals: { ...totals, mutationLines: lines.mutations.length, errorLines: lines.errors.length },
    errors,
    lastUserId: list.userIds.at(-1) ?? '',
  }
}

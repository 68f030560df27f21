import type { Totals } from '../../archive/cursor.ts'
import type { PartBytes } from '../../archive/logs.ts'
import type { Page } from '../../archive/pages.ts'
import { errorLine, type UserFailure } from '../lines/error-line.ts'

import { addUserLine, noTotals } from '../lines/totals.ts'
import type { Counted } from '../lines/totals.ts'
import { bareLine, type LineContext, type Outcome, type UserLine } from '../lines/user-line.ts'

/**
 * How one user of a page ended: the line of the users log, those of the mutation log, and why it failed, if
 * it did.
 */
export type UserResult = {
  readonly line: Uint8Array
  readonly counted: Counted
  readonly mutations: { readonly bytes: Uint8Array; readonly lines: number }
  readonly failure: UserFailure | null
}

/**
 * A page's outcome: its log parts, its totals, and the errors of its users in order (null for those who did
 * not fail).
 */
export type PageOutcome = {
  readonly page: number
  readonly bytes: PartBytes
  readonly totals: Totals
  readonly errors: readonly (string | null)[]
  readonly lastUserId: string
}

/** JSON texts as the bytes of JSONL lines. */
export function toBytes(texts: readonly string[]): Uint8Array {
  // Joined in one step: a line break appended afterwards would copy the whole text once more.
  return Buffer.from([...texts, ''].join('\n'))
}

/** The result of a user who did not fail. */
export function resultOf(line: UserLine, mutations: readonly string[] = []): UserResult {
  return {
    line: toBytes([JSON.stringify(line)]),
    // A copy: of the whole line only the bytes need to stay in memory.
    counted: countedOf(line),
    mutations: { bytes: toBytes(mutations), lines: mutations.length },
    failure: null,
  }
}

function countedOf(line: UserLine): Counted {
  const { user_id, outcome, flags, flag_details, grants_targeted, credits, review } = line
  const { expired_microdollars, due_paid_microdollars, correction_microdollars } = line
  return {
    user_id,
    outcome,
    flags,
    flag_details,
    grants_targeted,
    expired_microdollars,
    due_paid_microdollars,
    correction_microdollars,
    credits,
    ...(review && { review }),
  }
}

/** The result of a user without a plan: gone, no longer internal, excluded or not reached. */
export function bareResult(
  context: LineContext,
  userId: string,
  email: string | null,
  outcome: Outcome,
): UserResult {
  return resultOf(bareLine(context, userId, email, outcome))
}

/** What is known of a user who failed; without `inputs`, there was no plan. */
export type PlannedFrom = { readonly email: string | null; readonly inputs?: unknown }

/** The result of a user who failed; the other users continue. */
export function failedResult(
  context: LineContext,
  userId: string,
  { email, inputs }: PlannedFrom,
  failure: UserFailure,
): UserResult {
  return { ...resultOf({ ...bareLine(context, userId, email, 'failed'), inputs }), failure }
}

/** The same result, marked as found by an invocation that settled it for another one. */
export function recoveredResult(result: UserResult): UserResult {
  const line = Buffer.from(result.line).toString('utf8').trimEnd()
  return { ...result, line: toBytes([`${line.slice(0, -1)},"recovered":true}`]) }
}

const IDS_AND_NUMBERS = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<!SQLSTATE )\b\d+\b/gi

/** What failures have in common where the same thing is wrong: ids and amounts are each user's own. */
function kindOf({ error, message }: UserFailure): string {
  return `${error}: ${message.replace(IDS_AND_NUMBERS, '…')}`
}

/**
 * Puts the results of a page's users together, in the order of the page, so that the lines of one user are
 * adjacent.
 * @throws UnusableValue when a sum leaves the safe integers
 */
export function pageOutcome(
  context: LineContext,
  page: Page,
  results: ReadonlyMap<string, UserResult>,
  now: Date,
): PageOutcome {
  const users: Uint8Array[] = []
  const mutations: Uint8Array[] = []
  const errorTexts: string[] = []
  const errors: (string | null)[] = []
  const totals = noTotals()
  for (const userId of page.userIds) {
    const result = results.get(userId)
    if (!result) throw new Error(`User ${userId} of page ${page.page} has no result.`)
    const { failure } = result
    addUserLine(totals, result.counted)
    totals.mutationLines += result.mutations.lines
    users.push(result.line)
    mutations.push(result.mutations.bytes)
    if (failure) errorTexts.push(JSON.stringify(errorLine(context, userId, page.page, failure, now)))
    errors.push(failure && kindOf(failure))
  }
  totals.errorLines = errorTexts.length
  return {
    page: page.page,
    bytes: {
      users: Buffer.concat(users),
      mutations: Buffer.concat(mutations),
      errors: errorTexts.length > 0 ? toBytes(errorTexts) : new Uint8Array(),
    },
    totals,
    errors,
    lastUserId: page.userIds.at(-1) ?? '',
  }
}

import type { Run } from '../archive/documents.ts'
import type { Reading } from '../ledger/read.ts'
import { UnusableValue } from '../rules/amounts.ts'
import { isInternal } from '../rules/internal.ts'
import { planUser } from '../rules/plan.ts'
import { DEFAULT_REVIEW_CATEGORIES } from '../rules/review.ts'
import { instantToLedgerTime } from '../rules/times.ts'
import type { ChangePlan, RuleSettings, Transaction } from '../rules/types.ts'
import { bareResult, failedResult, resultOf, silentResult, type UserResult } from './page.ts'
import { planLine } from './records.ts'

/** A user to be changed, with the rows that the plan was made from. */
export type Planned = { readonly plan: ChangePlan; readonly rows: readonly Transaction[] }

/** What planning a user comes to: something to write, or a result already. */
export type Planning = { readonly planned: Planned } | { readonly result: UserResult }

/** The rules of a run, as it fixed them at its opening. */
export function rulesOf(run: Run): RuleSettings {
  return {
    instant: instantToLedgerTime(run.instant),
    minGrantAgeSeconds: run.settings.minGrantAgeSeconds,
    correctionDescriptions: run.settings.correctionDescriptions,
    reviewCategories: DEFAULT_REVIEW_CATEGORIES,
    categories: null,
    excludedCategories: [],
  }
}

/** Plans one user from what was read; `undefined` means that the user is gone. Never throws for one user's data. */
export function planReading(
  run: Run,
  userId: string,
  reading: Reading | undefined,
  takenLinks: ReadonlySet<string>,
): Planning {
  if (!reading) return { result: bareResult(run, userId, null, 'gone') }
  if ('unusable' in reading) return { result: unusable(run, userId, reading.email, 'read', reading.unusable) }
  const { user, rows } = reading
  if (!isInternal(user.email, run.selection.domains))
    return { result: bareResult(run, userId, user.email, 'not_internal') }
  try {
    const named = run.selection.userIds?.includes(userId) ?? false
    const plan = planUser(user, rows, rulesOf(run), { named, excluded: false, takenLinks })
    if (plan.change) return { planned: { plan, rows } }
    const silent = plan.outcome === 'no_targeted_grant' && plan.flags.length === 0
    return { result: silent ? silentResult() : resultOf(planLine(run, plan)) }
  } catch (error) {
    if (error instanceof UnusableValue) return { result: unusable(run, userId, user.email, 'plan', error) }
    throw error
  }
}

function unusable(
  run: Run,
  userId: string,
  email: string,
  stage: 'read' | 'plan',
  error: UnusableValue,
): UserResult {
  return failedResult(run, userId, email, {
    stage,
    error: error.name,
    sqlState: null,
    message: error.message,
    attempts: 1,
  })
}

import type { Run } from '../../../archive/runs.ts'
import type { Reading } from '../../../ledger/read.ts'
import { UnusableValue } from '../../../rules/amounts.ts'
import { packInputs } from '../../../rules/inputs.ts'
import { foldAscii, isInternal } from '../../../rules/internal.ts'
import { planUser } from '../../../rules/plan.ts'
import { hasNewReviewRow } from '../../../rules/review.ts'
import type { Circumstances, LedgerUser, Transaction } from '../../../rules/types.ts'
import { type LineContext, planLine } from '../../lines/user-line.ts'
import type { ErrorStage } from '../../lines/error-line.ts'
import type { Planned } from '../../lines/planned-lines.ts'
import { settingsOf } from '../../lines/run-rules.ts'
import { bareResult, failedResult, resultOf, type UserResult } from '../outcome.ts'

/**
 * Plans one user from what was read; `undefined` means that the user is gone. Data of one user never makes it
 * throw. `seen` gives the rows that an approved plan was made from, if there is one: who named a user has looked
 * at no others.
 */
export function planReading(
  run: Run,
  context: LineContext,
  userId: string,
  reading: Reading | undefined,
  takenLinks: ReadonlySet<string>,
  seen: (() => ReadonlySet<string>) | null,
): { readonly planned: Planned } | { readonly result: UserResult } {
  if (!reading) return { result: bareResult(context, userId, null, 'gone') }
  if ('unusable' in reading) {
    const { email } = reading
    if (isExcluded(run, { id: userId, email }))
      return { result: bareResult(context, userId, email, 'excluded') }
    return { result: unusable(context, userId, email, 'read', reading.unusable) }
  }
  const { user, rows } = reading
  if (!isInternal(user.email, run.selection.domains))
    return { result: bareResult(context, userId, user.email, 'not_internal') }
  try {
    return planInputs(run, context, user, rows, circumstancesOf(run, user, rows, takenLinks, seen))
  } catch (error) {
    if (error instanceof UnusableValue)
      return { result: unusable(context, userId, user.email, 'plan', error) }
    throw error
  }
}

/** Plans one user from inputs, read just now or kept in an intent. @throws UnusableValue */
export function planInputs(
  run: Run,
  context: LineContext,
  user: LedgerUser,
  rows: readonly Transaction[],
  circumstances: Circumstances,
): { readonly planned: Planned } | { readonly result: UserResult } {
  const inputs = packInputs(user, rows, circumstances)
  const plan = planUser(user, rows, settingsOf(run), circumstances)
  if (plan.change) return { planned: { plan, rows, inputs } }
  return { result: resultOf(planLine(context, plan, inputs)) }
}

/** Only taken links of the user's own rows matter to the plan, and are kept with its inputs. */
function circumstancesOf(
  run: Run,
  user: LedgerUser,
  rows: readonly Transaction[],
  takenLinks: ReadonlySet<string>,
  seen: (() => ReadonlySet<string>) | null,
): Circumstances {
  return {
    named:
      (run.selection.userIds?.includes(user.id) ?? false) &&
      !(seen && hasNewReviewRow(rows, settingsOf(run), seen())),
    excluded: isExcluded(run, user),
    takenLinks:
      takenLinks.size === 0
        ? takenLinks
        : new Set(rows.map(({ id }) => id).filter((id) => takenLinks.has(id))),
  }
}

type Named = Pick<LedgerUser, 'id' | 'email'>

function isExcluded({ selection, settings }: Run, user: Named): boolean {
  return (
    selection.exceptUserIds.includes(user.id) ||
    settings.excludedIds.includes(user.id) ||
    isListed(user, settings.excludedUserIds)
  )
}

/** The configuration names users by id or by e-mail address. */
function isListed({ id, email }: Named, list: readonly string[]): boolean {
  return list.some((item) => item === id || foldAscii(item) === foldAscii(email))
}

/** The result of a user with a value that the rules cannot work with. */
export function unusable(
  context: LineContext,
  userId: string,
  email: string,
  stage: ErrorStage,
  error: UnusableValue,
): UserResult {
  const { name, message } = error
  return failedResult(
    context,
    userId,
    { email },
    { stage, error: name, sqlState: null, message, attempts: 1 },
  )
}

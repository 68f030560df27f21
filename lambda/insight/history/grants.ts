import type { Run } from '../../archive/runs.ts'
import { dollars } from '../../exit-card.ts'
import { explain, type GrantExplanation, type Raise } from '../../rules/explain.ts'
import { type Inputs, unpackInputs } from '../../rules/inputs.ts'
import { settingsOf } from '../../run/lines/run-rules.ts'
import type { LoggedCredit, LoggedLine } from '../logged-line.ts'
import { shown } from '../report/page/text.ts'

/** One grant of a user in one run. Amounts in microdollars; `why` says in a sentence how they came about. */
export type HistoryGrant = {
  readonly id: string
  readonly category: string | null
  readonly description: string | null
  readonly createdAt: string
  readonly isFree: boolean
  readonly targeted: boolean
  readonly amountMicrodollars: number
  /** What of it had been used; null where nothing was planned. */
  readonly usedMicrodollars: number | null
  readonly expiredMicrodollars: number | null
  readonly why: string
  /** How the figures came about, step by step; null where nothing expired by this run's own plan. */
  readonly explanation: GrantExplanation | null
}

/**
 * The grants of a line, each explained by the same rules from the line's own inputs.
 * @throws UnreadableInputs for a line of another version, UnusableValue
 */
export function grantsOf(run: Run, line: LoggedLine): HistoryGrant[] {
  const isPlanned = line.outcome === 'expired' || line.outcome === 'nothing_to_expire'
  const inputs = isPlanned ? unpackInputs(line.inputs) : null
  const steps = inputs ? explain(inputs, settingsOf(run)) : []
  const byId = new Map(steps.map((step) => [step.id, step]))
  const names = namesOf(inputs?.rows ?? [])
  return line.credits.map((credit): HistoryGrant => {
    const { id, amount_microdollars: amount, expired_microdollars: expired } = credit
    const explanation = byId.get(id) ?? null
    return {
      id,
      category: credit.credit_category,
      description: credit.description,
      createdAt: credit.created_at,
      isFree: credit.is_free,
      targeted: credit.targeted,
      amountMicrodollars: amount,
      usedMicrodollars: explanation?.claimedMicrodollars ?? null,
      expiredMicrodollars: expired,
      why: explanation ? sentences(explanation, names) : whyWithout(line, credit),
      explanation,
    }
  })
}

/** What grants are called, by id: `Welcome credits of 2025-01-01`. */
type Names = ReadonlyMap<string, string>

const LONGEST_NAME = 60

function namesOf(rows: Inputs['rows']): Names {
  return new Map(
    rows.map(({ id, description, creditCategory, createdAt }) => [
      id,
      `${shown(description ?? creditCategory ?? 'a grant', LONGEST_NAME)} of ${createdAt.slice(0, 10)}`,
    ]),
  )
}

function sentences(step: GrantExplanation, names: Names): string {
  const { baselineMicrodollars: baseline, claimedMicrodollars: claimed, expiredMicrodollars: expired } = step
  const { balanceBeforeMicrodollars: before, balanceAfterMicrodollars: after } = step
  return [
    ...earlierClaims(step, names),
    claimed === 0
      ? `No usage after ${dollars(baseline)} was left for it to cover.`
      : `It covered ${dollars(claimed)} of usage, from ${dollars(baseline)} to ${dollars(baseline + claimed)}.`,
    expired === 0
      ? `Nothing was left; the balance stayed at ${dollars(before)}.`
      : `${dollars(expired)} was left and expired; the balance went from ${dollars(before)} to ${dollars(after)}.`,
  ].join(' ')
}

const RAISES_NAMED = 3

function earlierClaims(
  { startBaselineMicrodollars: start, ...step }: GrantExplanation,
  names: Names,
): string[] {
  if (step.raisedByMicrodollars === 0) return []
  const moved = `Its baseline moved from ${dollars(start)} to ${dollars(step.baselineMicrodollars)}`
  const named = step.raisedBy.slice(0, RAISES_NAMED).map((raise) => claimText(raise, names))
  if (named.length === 0) return [`${moved}.`]
  const more = step.raisedBy.length - named.length
  const all = `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
  return [`${moved}, because other grants had covered that usage: ${all}.`]
}

function claimText({ id, when, claimedMicrodollars }: Raise, names: Names): string {
  const then = when === 'before' ? 'closed before this run' : 'closed in this run'
  return `${names.get(id) ?? id} ${dollars(claimedMicrodollars)} (${then})`
}

/** Why a grant of a user was not expired, or came back. */
function whyWithout({ outcome }: LoggedLine, { expired_microdollars: expired }: LoggedCredit): string {
  if (outcome === 'rolled_back') return `${dollars(-(expired ?? 0))} that had expired came back.`
  if (outcome === 'failed') return 'Nothing expired: the user failed.'
  return `Nothing expired: the user was skipped (${outcome}).`
}

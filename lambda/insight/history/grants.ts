import type { Run } from '../../archive/runs.ts'
import { dollars } from '../../exit-card.ts'
import { explain, type GrantExplanation, type Raise } from '../../rules/explain.ts'
import { unpackInputs } from '../../rules/inputs.ts'
import { settingsOf } from '../../run/lines/run-rules.ts'
import type { LoggedCredit, LoggedLine } from '../logged-line.ts'

/** One grant of a user in one run. Amounts in microdollars; `why` says the same in a sentence, in dollars. */
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
  const steps = isPlanned ? explain(unpackInputs(line.inputs), settingsOf(run)) : []
  const byId = new Map(steps.map((step) => [step.id, step]))
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
      why: explanation ? sentence(explanation) : whyWithout(line, credit),
      explanation,
    }
  })
}

function sentence(step: GrantExplanation): string {
  const { baselineMicrodollars: baseline, claimedMicrodollars: claimed, expiredMicrodollars: expired } = step
  const covered =
    claimed === 0
      ? `no usage after ${dollars(baseline)} was left for it to cover`
      : `it covered ${dollars(claimed)} of usage, from ${dollars(baseline)} to ${dollars(baseline + claimed)}`
  const left = expired === 0 ? 'it was fully spent' : `${dollars(expired)} was left and expired`
  const { balanceBeforeMicrodollars: before, balanceAfterMicrodollars: after } = step
  return [
    `${dollars(step.amountMicrodollars)} granted`,
    ...earlierClaims(step),
    covered,
    left,
    `balance ${dollars(before)} before, ${dollars(after)} after`,
  ].join('; ')
}

function earlierClaims({ startBaselineMicrodollars: start, ...step }: GrantExplanation): string[] {
  if (step.raisedByMicrodollars === 0) return []
  const moved = `its baseline moved from ${dollars(start)} to ${dollars(step.baselineMicrodollars)}`
  const shown = step.raisedBy.slice(0, 3).map(claimText).join(', ')
  const more = step.raisedBy.length > 3 ? ` and ${step.raisedBy.length - 3} more` : ''
  return [shown === '' ? moved : `${moved} because other grants had claimed before: ${shown}${more}`]
}

function claimText({ id, when, claimedMicrodollars }: Raise): string {
  const then = when === 'before' ? 'closed before this run' : 'expired in this run'
  return `${id} ${dollars(claimedMicrodollars)} (${then})`
}

/** Why a grant of a user was not expired, or came back. */
function whyWithout({ outcome }: LoggedLine, { expired_microdollars: expired }: LoggedCredit): string {
  if (outcome === 'rolled_back') return `${dollars(-(expired ?? 0))} that had expired came back`
  return `nothing expired: the user is ${outcome}`
}

import { rowText } from '../row-text.ts'
import type { GrantLogEntry, ReportGrant, ReportUser, UserLogLine } from './input.ts'
import { shown } from './page/text.ts'

/** A user's own limits, so that one user of 50,000 grants or of 10 kB descriptions costs what others do. */
const MOST_GRANTS = 50
const MOST_REASONS = 5
const LONGEST = { word: 40, id: 80, email: 120, category: 60, description: 120, reason: 240 }

/**
 * A line of the users log as the report shows it. Amounts moved are magnitudes: a rollback's lines are
 * negative.
 */
export function reportUser(line: UserLogLine): ReportUser {
  const grants = line.credits.toSorted((a, b) => weight(b) - weight(a))
  return {
    id: shown(line.user_id, LONGEST.id),
    email: line.email === null ? null : shown(line.email, LONGEST.email),
    outcome: shown(line.outcome, LONGEST.word),
    grantsTargeted: line.grants_targeted,
    targetedMicrodollars: targetedMicrodollars(line.credits),
    beforeMicrodollars: line.balance_before_microdollars,
    movedMicrodollars: Math.abs(line.expired_microdollars),
    otherMicrodollars: Math.abs(line.due_paid_microdollars),
    correctedMicrodollars: Math.abs(line.correction_microdollars),
    finalMicrodollars: line.final_balance_microdollars,
    nextExpiration: line.next_credit_expiration_at && dayOf(line.next_credit_expiration_at),
    flags: line.flags.slice(0, MOST_REASONS).map((flag) => shown(flag, LONGEST.word)),
    reasons: reasonsOf(line),
    recovered: line.recovered === true,
    grants: grants.slice(0, MOST_GRANTS).map(reportGrant),
    grantsOmitted: Math.max(0, grants.length - MOST_GRANTS),
  }
}

function targetedMicrodollars(grants: readonly GrantLogEntry[]): number {
  return grants.reduce((sum, grant) => sum + (grant.targeted ? grant.amount_microdollars : 0), 0)
}

function weight(grant: GrantLogEntry): number {
  return Math.max(Math.abs(grant.expired_microdollars ?? 0), grant.targeted ? grant.amount_microdollars : 0)
}

function reportGrant(grant: GrantLogEntry): ReportGrant {
  return {
    category: grant.credit_category === null ? null : shown(grant.credit_category, LONGEST.category),
    description: grant.description === null ? null : shown(grant.description, LONGEST.description),
    created: dayOf(grant.created_at),
    free: grant.is_free,
    targeted: grant.targeted,
    amountMicrodollars: grant.amount_microdollars,
    movedMicrodollars: grant.expired_microdollars === null ? null : Math.abs(grant.expired_microdollars),
  }
}

/** The day of a time as the ledger writes it; `infinity` as it is. */
function dayOf(time: string): string {
  return shown(time.slice(0, 10), 10)
}

function reasonsOf({ review = [], changed = [], exceeds = [], flag_details }: UserLogLine): string[] {
  const all = [...review, ...changed, ...exceeds, ...flag_details]
  const reasons = all.slice(0, MOST_REASONS).map((reason) => shown(rowText(reason), LONGEST.reason))
  const more = all.length - reasons.length
  return more > 0 ? [...reasons, `and ${more} more in the users log`] : reasons
}

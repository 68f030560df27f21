import * as z from 'zod'
import { ArchiveCorrupt } from '../../archive/errors.ts'
import type { GrantValues, LoggedChange, LoggedGrant, LoggedRow } from '../../rules/rollback.ts'

const next = { next_credit_expiration_at: z.string().nullable() }
const values = z.object({
  expiry_date: z.string().nullable(),
  expiration_baseline_microdollars_used: z.int().nullable(),
})
const row = z.looseObject({
  id: z.string(),
  amount_microdollars: z.int(),
  original_transaction_id: z.string().nullable(),
})
const common = { user_id: z.string(), row_id: z.string() }

/** One line of an execute run's mutation log, as far as a rollback reads it. */
export const mutationSchema = z.discriminatedUnion('type', [
  z.object({
    ...common,
    type: z.literal('user_update'),
    before: z.object({ ...next, closings_count: z.int(), closings_sha256: z.string() }),
    after: z.object(next),
  }),
  z.object({ ...common, type: z.literal('credit_dated'), before: values, after: values }),
  z.object({ ...common, type: z.literal('baseline_raised'), before: values, after: values }),
  z.object({ ...common, type: z.literal('credits_expired_insert'), after: row }),
  z.object({ ...common, type: z.literal('accounting_adjustment_insert'), after: row }),
])
export type Mutation = z.infer<typeof mutationSchema>

/**
 * What the lines of one user in a run's mutation log say.
 * @throws ArchiveCorrupt when the user's own line is missing
 */
export function toLoggedChange(userId: string, mutations: readonly Mutation[]): LoggedChange {
  const user = mutations.find((mutation) => mutation.type === 'user_update')
  if (!user) throw new ArchiveCorrupt(`The mutation log has no user_update line of user ${userId}.`)
  return {
    userId,
    nextCreditExpirationAt: {
      before: user.before.next_credit_expiration_at,
      after: user.after.next_credit_expiration_at,
    },
    closingsBefore: { count: user.before.closings_count, sha256: user.before.closings_sha256 },
    grants: mutations.flatMap(toGrant),
    inserted: mutations.flatMap(toRow),
  }
}

function toGrant(mutation: Mutation): LoggedGrant[] {
  if (mutation.type !== 'credit_dated' && mutation.type !== 'baseline_raised') return []
  const { row_id: id, type, before, after } = mutation
  return [{ id, targeted: type === 'credit_dated', before: toValues(before), after: toValues(after) }]
}

function toValues(logged: z.infer<typeof values>): GrantValues {
  return {
    expiryDate: logged.expiry_date,
    expirationBaselineMicrodollars: logged.expiration_baseline_microdollars_used,
  }
}

function toRow(mutation: Mutation): LoggedRow[] {
  if (mutation.type !== 'credits_expired_insert' && mutation.type !== 'accounting_adjustment_insert')
    return []
  const { after } = mutation
  const { id, amount_microdollars: amountMicrodollars, original_transaction_id: closes } = after
  return [{ id, amountMicrodollars, closes, row: after }]
}

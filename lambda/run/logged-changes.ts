import * as z from 'zod'
import { parseDocument } from '../archive/documents.ts'
import { ArchiveCorrupt } from '../archive/errors.ts'
import { logKey } from '../archive/keys.ts'
import { readJsonLines } from '../archive/logs.ts'
import type { Store } from '../archive/store.ts'
import type { GrantValues, LoggedChange, LoggedGrant, LoggedRow } from '../rules/rollback.ts'

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
const mutationSchema = z.discriminatedUnion('type', [
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
type Mutation = z.infer<typeof mutationSchema>

/** Reads one line of a mutation log. @throws ArchiveCorrupt naming the log */
export function parseMutation(key: string, line: string): Mutation {
  return parseDocument(mutationSchema, key, line)
}

/** What the lines in a range of a run's mutation log say, by user. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function readLoggedChanges(
  store: Store,
  runId: string,
  range: { from: number; to: number },
): Promise<Map<string, LoggedChange>> {
  const key = logKey(runId, 'mutations')
  const byUser = new Map<string, Mutation[]>()
  for await (const mutation of readJsonLines(store, key, mutationSchema, range)) {
    const mutations = byUser.get(mutation.user_id)
    if (mutations) mutations.push(mutation)
    else byUser.set(mutation.user_id, [mutation])
  }
  return new Map([...byUser].map(([userId, mutations]) => [userId, toChange(key, userId, mutations)]))
}

function toChange(key: string, userId: string, mutations: readonly Mutation[]): LoggedChange {
  const user = mutations.find((mutation) => mutation.type === 'user_update')
  if (!user) throw new ArchiveCorrupt(`${key} holds no user_update of the user ${userId}.`)
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
  return [
    {
      id: after.id,
      amountMicrodollars: after.amount_microdollars,
      closes: after.original_transaction_id,
      row: after,
    },
  ]
}

import { describe, expect, test } from 'vitest'
import { instantToLedgerTime } from '../../lambda/rules/times.ts'
import { planUser } from '../../lambda/rules/plan.ts'
import type { LedgerTime, Plan, Transaction } from '../../lambda/rules/types.ts'
import { type Vector, type VectorRow, vectorsOf } from '../support/places/vectors.ts'
import { SETTINGS } from './examples.ts'

/** The vectors write times with three or six decimals; the ledger always has six. */
function time(text: string): LedgerTime
function time(text: string | null): LedgerTime | null
function time(text: string | null): LedgerTime | null {
  return text === null ? null : instantToLedgerTime(text)
}

const transaction = (row: VectorRow): Transaction => ({
  id: row.id,
  amountMicrodollars: row.amount_microdollars,
  expirationBaselineMicrodollars: row.expiration_baseline_microdollars_used,
  originalBaselineMicrodollars: row.original_baseline_microdollars_used,
  isFree: row.is_free,
  description: row.description,
  creditCategory: row.credit_category,
  originalTransactionId: row.original_transaction_id,
  expiryDate: time(row.expiry_date),
  createdAt: time(row.created_at),
  organizationId: row.organization_id,
})

const planOf = (vector: Vector, rows = vector.transactions): Plan =>
  planUser(
    {
      id: 'user',
      email: 'ada@kilo.ai',
      usedMicrodollars: vector.user.microdollars_used,
      acquiredMicrodollars: vector.user.total_microdollars_acquired,
      nextCreditExpirationAt: time(vector.user.next_credit_expiration_at),
      autoTopUpEnabled: false,
    },
    rows.map(transaction),
    { ...SETTINGS, instant: time(vector.instant) },
    { named: false, excluded: false, takenLinks: new Set() },
  )

/** A plan in the words of the vectors. */
function asExpected(plan: Plan): Vector['expected'] {
  if (plan.change === null) return null
  return {
    targeted: plan.grantsTargeted,
    closing_rows: plan.change.closings.map((row) => ({
      original_transaction_id: row.grant.id,
      amount_microdollars: row.amountMicrodollars,
      is_free: row.grant.isFree,
      description: row.description,
      created_at: row.createdAt,
      original_baseline_microdollars_used: row.originalBaselineMicrodollars,
    })),
    changed_grants: plan.change.grants
      .map((grant) => ({
        id: grant.grant.id,
        expiry_date: grant.expiryDate,
        expiration_baseline_microdollars_used: grant.expirationBaselineMicrodollars,
      }))
      .toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    expired_microdollars: plan.expiredMicrodollars,
    due_paid_microdollars: plan.duePaidMicrodollars,
    correction_microdollars: plan.change.correction?.amountMicrodollars ?? 0,
    total_microdollars_acquired: plan.change.acquiredMicrodollars,
    next_credit_expiration_at: plan.change.nextCreditExpirationAt,
  }
}

function withSixDecimals(expected: Vector['expected']): Vector['expected'] {
  return (
    expected && {
      ...expected,
      closing_rows: expected.closing_rows.map((row) => ({ ...row, created_at: time(row.created_at) })),
      changed_grants: expected.changed_grants
        .map((grant) => ({ ...grant, expiry_date: time(grant.expiry_date) }))
        .toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      next_credit_expiration_at: time(expected.next_credit_expiration_at),
    }
  )
}

describe.each([
  ['expiration.json', 138],
  ['drift.json', 14],
])('the vectors of %s', (file, count) => {
  const vectors = vectorsOf(file)

  test(`are all ${count} present`, () => expect(vectors).toHaveLength(count))

  test.each(vectors.map((vector) => [vector.name, vector] as const))('%s', (_, vector) => {
    const plan = planOf(vector)
    expect(plan.change === null ? plan.outcome : null).toBe(vector.left_alone)
    expect(asExpected(plan)).toEqual(withSixDecimals(vector.expected))
    expect(planOf(vector, vector.transactions.toReversed())).toEqual(plan)
  })
})

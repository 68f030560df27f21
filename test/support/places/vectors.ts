import { readFileSync } from 'node:fs'

/** A row of a user before a run, as a vector has it. */
export type VectorRow = {
  id: string
  amount_microdollars: number
  expiration_baseline_microdollars_used: number | null
  original_baseline_microdollars_used: number | null
  is_free: boolean
  description: string | null
  original_transaction_id: string | null
  credit_category: string | null
  expiry_date: string | null
  created_at: string
  organization_id: string | null
}

/** One user of a vector file: the state before, and what must come of it. */
export type Vector = {
  name: string
  instant: string
  user: {
    microdollars_used: number
    total_microdollars_acquired: number
    next_credit_expiration_at: string | null
  }
  transactions: VectorRow[]
  left_alone: string | null
  expected: {
    targeted: number
    closing_rows: {
      original_transaction_id: string
      amount_microdollars: number
      is_free: boolean
      description: string
      created_at: string
      original_baseline_microdollars_used: number
    }[]
    changed_grants: {
      id: string
      expiry_date: string | null
      expiration_baseline_microdollars_used: number
    }[]
    expired_microdollars: number
    due_paid_microdollars: number
    correction_microdollars: number
    total_microdollars_acquired: number
    next_credit_expiration_at: string | null
  } | null
}

/** The vectors of a file in test/fixtures. */
export function vectorsOf(file: string): Vector[] {
  return JSON.parse(readFileSync(new URL(`../../fixtures/${file}`, import.meta.url), 'utf8')) as Vector[]
}

import type { Sql } from 'postgres'

type Dated = {
  id: string
  amount: string
  baseline: string | null
  is_free: boolean
  description: string | null
  expiry: string
  millis: string
}
type Member = { row: Dated; amount: bigint; baseline: bigint; expired: bigint | null }

/**
 * The application's own expiration of one user, as far as 1-ledger-rules describes it: it reads without
 * locks; expires what is dated and due at `now`; and writes in one transaction whose only guard is that the
 * user's total and next_credit_expiration_at are as it read them. Returns whether it wrote. (Times go as
 * text: postgres.js would make Dates of them, and a guard with microseconds would never match.)
 */
export async function productionPass(
  sql: Sql,
  userId: string,
  now: string = new Date().toISOString(),
): Promise<boolean> {
  const [user] = await sql<{ used: string; total: string; next: string | null }[]>`
    SELECT microdollars_used AS used, total_microdollars_acquired AS total, next_credit_expiration_at::text AS next
    FROM kilocode_users WHERE id = ${userId}`
  if (!user) return false
  const members = await datedGrants(sql, userId)
  expireDue(members, BigInt(user.used), Date.parse(now))
  const due = members.filter(({ expired }) => expired !== null)
  if (due.length === 0) return false
  const taken = due.reduce((sum, { expired }) => sum + (expired ?? 0n), 0n)
  const next = members.find(({ expired }) => expired === null)?.row.expiry ?? null

  return sql.begin(async (tx) => {
    const guarded = await tx`
      UPDATE kilocode_users
      SET total_microdollars_acquired = total_microdollars_acquired - ${String(taken)}::bigint, next_credit_expiration_at = ${next}::text::timestamptz, updated_at = now()
      WHERE id = ${userId} AND total_microdollars_acquired = ${user.total}
        AND next_credit_expiration_at IS NOT DISTINCT FROM ${user.next}::text::timestamptz`
    if (guarded.count === 0) return false
    for (const { row, baseline, expired } of members) {
      await tx`UPDATE credit_transactions SET expiration_baseline_microdollars_used = ${String(baseline)} WHERE id = ${row.id}`
      if (expired === null) continue
      await tx`
        INSERT INTO credit_transactions (kilo_user_id, amount_microdollars, is_free, description, credit_category,
          original_transaction_id, created_at, original_baseline_microdollars_used)
        VALUES (${userId}, ${String(-expired)}, ${row.is_free}, ${`Expired: ${row.description ?? ''}`}, 'credits_expired',
          ${row.id}, ${row.expiry}::text::timestamptz, ${user.used})`
    }
    return true
  })
}

/** In the order in which production works: expiry in milliseconds, created_at, id. */
async function datedGrants(sql: Sql, userId: string): Promise<Member[]> {
  const rows = await sql<Dated[]>`
    SELECT id, amount_microdollars AS amount, expiration_baseline_microdollars_used AS baseline, is_free, description,
      expiry_date::text AS expiry, floor(extract(epoch FROM expiry_date) * 1000)::text AS millis
    FROM credit_transactions t
    WHERE kilo_user_id = ${userId} AND organization_id IS NULL AND amount_microdollars > 0 AND expiry_date IS NOT NULL
      AND NOT EXISTS (SELECT FROM credit_transactions link WHERE link.original_transaction_id = t.id)
    ORDER BY date_trunc('milliseconds', expiry_date), created_at, id`
  return rows.map((row) => ({
    row,
    amount: BigInt(row.amount),
    baseline: BigInt(row.baseline ?? 0),
    expired: null,
  }))
}

function expireDue(members: Member[], used: bigint, now: number): void {
  const max = (a: bigint, b: bigint): bigint => (a > b ? a : b)
  const min = (a: bigint, b: bigint): bigint => (a < b ? a : b)
  for (const [index, member] of members.entries()) {
    if (Number(member.row.millis) > now) continue
    const claimed = max(0n, min(member.baseline + member.amount, used) - member.baseline)
    member.expired = member.amount - claimed
    for (const later of members.slice(index + 1)) {
      later.baseline += max(0n, min(claimed, member.baseline + claimed - later.baseline))
    }
  }
}

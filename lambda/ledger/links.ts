import type { Sql } from './connect.ts'
import { readTransaction } from './transaction.ts'

/**
 * Which of these transactions some row links to, whoever owns that row: what a unique violation on
 * original_transaction_id was about.
 * @throws LedgerUnavailable
 */
export async function findTakenLinks(sql: Sql, transactionIds: readonly string[]): Promise<Set<string>> {
  return readTransaction(sql, async (tx) => {
    const rows = await tx<{ id: string }[]>`
      select original_transaction_id as id
      from credit_transactions
      where original_transaction_id = any (
        array(select jsonb_array_elements_text(${JSON.stringify(transactionIds)}::text::jsonb)::uuid)
      )
    `
    return new Set(rows.map((row) => row.id))
  })
}

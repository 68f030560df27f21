import type { Sql } from '../connection/connect.ts'
import { DEFAULT_PATIENCE, type Patience, withRetriedRead } from '../connection/transaction.ts'

/**
 * The database's own clock in whole milliseconds, as ISO text: the ledger's times are compared with run
 * instants and leases, so these must come from the same clock.
 * @throws LedgerUnavailable, LedgerBusy
 */
export async function databaseClock(sql: Sql, patience: Patience = DEFAULT_PATIENCE): Promise<string> {
  const [row] = await withRetriedRead(
    sql,
    async (tx) => tx<{ millis: string }[]>`
      -- read clock
      select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as millis
    `,
    patience,
  )
  return new Date(Number(row?.millis)).toISOString()
}

/** How far the clocks of the database and of this machine may be apart: further, one of the two is wrong. */
export const FURTHEST_CLOCKS_MS = 5 * 60_000

export function clocksApartMs(databaseNow: string, now: Date): number {
  return Math.abs(Date.parse(databaseNow) - now.getTime())
}

import type { Sql } from './connect.ts'
import { explain } from './errors.ts'

/**
 * The database's own clock in whole milliseconds, as ISO text: the ledger's times are compared with run instants
 * and leases, so these must come from the same clock.
 * @throws LedgerUnavailable
 */
export async function databaseClock(sql: Sql): Promise<string> {
  try {
    const rows = await sql<{ millis: string }[]>`
      select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as millis
    `
    return new Date(Number(rows[0]?.millis)).toISOString()
  } catch (error) {
    throw explain(error)
  }
}

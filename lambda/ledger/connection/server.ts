import type { Sql, LedgerTransaction } from './connect.ts'
import { DEFAULT_PATIENCE, type Patience, withRetriedRead } from './transaction.ts'

/** The database that a connection leads to, and its role. */
export type Server = {
  /** As the address says: `db.example.com:5432`. */
  readonly host: string
  readonly database: string
  readonly user: string
  /** As the server tells it: `16.4`. */
  readonly version: string
}

/**
 * Asks the server who it is, so that a person sees it before anything is written. @throws LedgerUnavailable,
 * LedgerBusy
 */
export async function readServer(sql: Sql, patience: Patience = DEFAULT_PATIENCE): Promise<Server> {
  return withRetriedRead(sql, async (tx) => readServerIn(tx, sql.host), patience)
}

/** The same within a transaction of the caller's. */
export async function readServerIn(tx: LedgerTransaction, host: string): Promise<Server> {
  const [row] = await tx<[{ database: string; user: string; version: string }]>`
    -- read server
    select
      current_database() as database,
      current_user as user,
      split_part(current_setting('server_version'), ' ', 1) as version
  `
  return { host, ...row }
}

import type { Sql } from '../connection/connect.ts'
import { type Patience, withRetriedRead } from '../connection/transaction.ts'

/**
 * Which ledger a connection leads to. A physical copy has the same identifier; host and port tell it apart.
 */
export type Identity = {
  readonly systemIdentifier: string
  readonly databaseOid: string
  readonly database: string
  /** Of both tables, as the connection finds them. */
  readonly schema: string
  readonly host: string
  readonly port: number
}

/** Asks the server which ledger it is. @throws LedgerUnavailable, LedgerBusy */
export async function readIdentity(sql: Sql, patience: Patience): Promise<Identity> {
  const [row] = await withRetriedRead(
    sql,
    async (tx) => tx<[Omit<Identity, 'host' | 'port'>]>`
      -- read identity
      select
        (select system_identifier::text from pg_control_system()) as "systemIdentifier",
        d.oid::text as "databaseOid",
        d.datname as database,
        (
          select coalesce(string_agg(distinct n.nspname, '+' order by n.nspname), '')
          from pg_class c
          join pg_namespace n on n.oid = c.relnamespace
          where c.oid in (to_regclass('kilocode_users'), to_regclass('credit_transactions'))
        ) as schema
      from pg_database d
      where d.datname = current_database()
    `,
    patience,
  )
  const colon = sql.host.lastIndexOf(':')
  return { ...row, host: sql.host.slice(0, colon), port: Number(sql.host.slice(colon + 1)) }
}

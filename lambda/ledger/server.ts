import type { Sql } from './connect.ts'
import { readTransaction } from './transaction.ts'

/** Which database a connection leads to, and as whom. */
export type Server = {
  readonly host: string
  readonly database: string
  readonly user: string
  /** As the server tells it: `16.4`. */
  readonly version: string
}

/** Asks the server who it is, so that a person can see it before anything is written. @throws LedgerUnavailable */
export async function readServer(sql: Sql): Promise<Server> {
  const [row] = await readTransaction(
    sql,
    async (tx) => tx<{ database: string; username: string; version: string }[]>`
      select
        current_database() as database,
        current_user as username,
        split_part(current_setting('server_version'), ' ', 1) as version
    `,
  )
  const { host, port } = sql.options
  return {
    host: `${host[0] ?? 'localhost'}:${port[0] ?? 5432}`,
    database: row?.database ?? '',
    user: row?.username ?? '',
    version: row?.version ?? '',
  }
}

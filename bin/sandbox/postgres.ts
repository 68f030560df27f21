import { resolve } from 'node:path'
import { keepFolder } from './kept-folder.ts'
import type { ServerOptions } from './postgres-server.ts'

/** A running PostgreSQL server. */
export type PostgresServer = {
  readonly port: number
  /** Ports that it had before: what ran then knows the ledger by them. */
  readonly formerPorts: readonly number[]
  /** A postgres:// URL, password included, of the superuser for one database. */
  readonly urlFor: (database: string) => string
  readonly stop: () => Promise<void>
}

/**
 * Starts PostgreSQL on the loopback interface, on `port`, or on the port that it had before, or where that is
 * in use on another one, with everything it keeps in `dir` (data, log, password, ports); the data folder is
 * created at the first start. `folder`, or else `dir`, is locked. The server stops when this process ends,
 * whatever ends it.
 * @throws SandboxInUse, and an Error with the end of the server's log when it does not start
 */
export async function startPostgres({
  folder,
  ...options
}: ServerOptions & { readonly folder?: string }): Promise<PostgresServer> {
  const dir = resolve(options.dir)
  const { server, release } = await keepFolder({ folder: folder ?? dir, server: { ...options, dir } })
  if (server === null) throw new Error(`PostgreSQL did not start in ${dir}.`)
  const { port, formerPorts, password } = server
  return {
    port,
    formerPorts,
    urlFor: (database) => `postgres://postgres:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`,
    stop: release,
  }
}

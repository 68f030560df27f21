import type postgres from 'postgres'
import { LedgerUnavailable } from '../errors.ts'
import { type Address, type Line, lossOf, openLine, type Waits, WAITS } from './line.ts'

/**
 * Statements inside one transaction, as a template tag: `await tx<Row[]>` and the SQL with its parameters. The
 * first line of a statement is its name, a comment: pg_stat_activity, the server's log and the tests show it.
 * The caller must await every statement: an error that is not awaited is lost.
 */
export type LedgerTransaction = {
  <T extends readonly (object | undefined)[] = postgres.Row[]>(
    template: TemplateStringsArray,
    ...parameters: readonly postgres.ParameterOrFragment<never>[]
  ): postgres.PendingQuery<T>
  /** A name from the catalogue, quoted, for a statement about a table that is not known beforehand. */
  readonly identifier: (name: string) => postgres.Fragment
}

/**
 * Names for the statements of one connection. Not by the driver's own quoting, which takes a dot for the end of
 * a schema's name.
 */
export function identifiersOf(sql: Pick<postgres.Sql, 'unsafe'>): LedgerTransaction['identifier'] {
  return (name) => sql.unsafe(`"${name.replaceAll('"', '""')}"`)
}

/**
 * A pool of connections, opened as they are needed. Statements go through readTransaction and
 * writeTransaction.
 */
export type Sql = {
  readonly waits: Waits
  /** Where it leads to, as far as the address says: `db.example.com:5432`. */
  readonly host: string
  readonly acquire: () => Promise<Line>
  readonly release: (line: Line) => void
  /** Closes all connections; a transaction that is still open is rolled back by the server. */
  readonly end: () => Promise<void>
}

/**
 * A pool that works behind a transaction pooler or RDS Proxy: nothing is prepared and nothing is
 * session-level. TLS is verified, except where the URL itself says `sslmode=disable` or the host is this
 * machine. Nothing is opened yet.
 */
export function connect(address: Address, connections: number, given: Partial<Waits> = {}): Sql {
  const waits = { ...WAITS, ...given }
  const lines = new Set<Line>()
  const idle: Line[] = []
  const waiting: (() => void)[] = []
  let lent = 0
  let ended = false
  return {
    waits,
    host: hostOf(address),
    async acquire() {
      if (lent < connections) lent++
      else await new Promise<void>((resolve) => waiting.push(resolve))
      try {
        if (ended) throw lossOf('CONNECTION_ENDED', 'This job has closed its connections.')
        for (let line = idle.pop(); line; line = idle.pop()) if (!line.isLost()) return line
        const line = await openLine(address, waits, () => lines.delete(line))
        lines.add(line)
        return line
      } catch (error) {
        passOn()
        throw error
      }
    },
    release(line) {
      if (!line.isLost()) idle.push(line)
      passOn()
    },
    async end() {
      ended = true
      await Promise.all([...lines].map(async ({ sql }) => sql.end({ timeout: 0.1 })))
      for (const line of lines) line.cut(lossOf('CONNECTION_ENDED', 'This job has closed its connections.'))
    },
  }

  /** The slot of a connection goes to whoever has waited longest. */
  function passOn(): void {
    const next = waiting.shift()
    if (next) next()
    else lent--
  }
}

/** A pool whose address is not known: every use of it fails with the error that says why. */
export function unreachable(error: unknown): Sql {
  return {
    waits: WAITS,
    host: 'unknown:0',
    async acquire() {
      throw error
    },
    release: () => {},
    end: async () => {},
  }
}

function hostOf(address: Address): string {
  if (!('url' in address)) return `${address.host}:${address.port}`
  const { hostname, port } = new URL(address.url)
  if (hostname.includes(',')) {
    throw new LedgerUnavailable(
      `DATABASE_URL names several hosts (${hostname}). Nothing was done. ` +
        'Name one: the job does not choose between servers.',
    )
  }
  return `${hostname || 'localhost'}:${port || 5432}`
}

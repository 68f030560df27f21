import net, { type Socket } from 'node:net'
import tls from 'node:tls'
import postgres from 'postgres'
import { LedgerUnavailable } from './errors.ts'

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

/** How long the job waits for the database, in milliseconds. */
export type Waits = {
  /** Connecting, TLS and login included. */
  readonly connectMs: number
  /** One statement. */
  readonly statementMs: number
  /** A pause between two statements of a transaction. */
  readonly idleMs: number
  /**
   * A lock in a writing transaction: below PostgreSQL's deadlock_timeout, so that this job yields in a
   * deadlock.
   */
  readonly lockMs: number
  /** A table lock in a reading transaction, held by a migration, say. */
  readonly readLockMs: number
}

export const WAITS: Waits = {
  connectMs: 5_000,
  statementMs: 15_000,
  idleMs: 10_000,
  lockMs: 400,
  readLockMs: 3_000,
}

/**
 * How a database is reached. `password` is called for each new connection, so that a rotated secret is read
 * again; beside a URL it takes the place of the URL's password.
 */
export type Address =
  | { readonly url: string; readonly password?: () => Promise<string> }
  | {
      readonly host: string
      readonly port: number
      readonly database: string
      readonly username: string
      readonly password: () => Promise<string>
    }

/**
 * One connection. Once lost it is never opened again: postgres.js would send what is queued on the new one.
 */
export type Line = {
  readonly sql: postgres.Sql
  /** Settles as `work` does, or rejects when the connection is lost or cut. */
  readonly unlessLost: <T>(work: Promise<T>) => Promise<T>
  readonly isLost: () => boolean
  /** Destroys the connection without waiting for the server; `reason` is what its transaction reports. */
  readonly cut: (reason: Error) => void
  /** The reason given to `cut`, or null. */
  readonly cutFor: () => Error | null
  /** Destroys a connection that must not be used again. */
  readonly drop: () => void
  /** Cuts the connection once nothing was sent or received for that long. */
  readonly cutAfterSilence: (milliseconds: number) => void
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

/** postgres.js with one connection and a socket of ours, which it gets once. */
async function openLine(address: Address, waits: Waits, onLost: () => void): Promise<Line> {
  const waiting = new Set<(loss: Error) => void>()
  let loss: Error | null = null
  let socket: Socket | null = null
  let isLost = false
  let cutFor: Error | null = null
  const lose = (): void => {
    isLost = true
    onLost()
    // Later than the rejection of a statement under way, which says more.
    setImmediate(() => {
      const reason = (loss ??= cutFor ?? lossOf('CONNECTION_CLOSED', 'The connection was closed.'))
      for (const reject of waiting) reject(reason)
    })
  }
  // A promise of the loss, raced with, would keep the result of every race for as long as the connection lives.
  const unlessLost = async <T>(work: Promise<T>): Promise<T> => {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    if (loss) reject(loss)
    waiting.add(reject)
    work.then(resolve, reject)
    try {
      return await promise
    } finally {
      waiting.delete(reject)
    }
  }
  const drop = (): void => {
    lose()
    socket?.destroy()
  }
  const cut = (reason: Error): void => {
    cutFor ??= reason
    drop()
  }
  const options = {
    max: 1,
    prepare: false,
    fetch_types: false,
    connect_timeout: waits.connectMs / 1_000,
    idle_timeout: 0,
    max_lifetime: null,
    backoff: () => 0,
    connection: { application_name: 'credit-expiry' },
    onnotice: () => {},
    onclose: lose,
    // Not in the driver's types; it calls this for every connection that it opens.
    socket: (place: Place): Socket => (socket = socket ? closedSocket() : openSocket(place, cut)),
  }
  const sql =
    'url' in address
      ? postgres(address.url, {
          ...options,
          ...(address.password && { password: await address.password() }),
          ssl: tlsOf(new URL(address.url)),
        })
      : postgres({
          ...options,
          ...address,
          password: await address.password(),
          ssl: tlsFor(address.host, null),
        })
  return {
    sql,
    unlessLost,
    isLost: () => isLost,
    cut,
    cutFor: () => cutFor,
    drop,
    cutAfterSilence(milliseconds) {
      // The driver removes all listeners when it turns to TLS, so this is set again for each transaction.
      socket?.removeAllListeners('timeout')
      socket?.setTimeout(milliseconds, () => cut(silence(milliseconds)))
    },
  }
}

/** What postgres.js makes of an address. */
type Place = { readonly host: readonly string[]; readonly port: readonly number[]; readonly path?: string }

/**
 * `cut` hears of an error that comes before the driver listens, as when no file descriptor is left: without a
 * listener it would end the process (seen).
 */
function openSocket({ host: [host = 'localhost'], port: [port = 5432], path }: Place, cut: Line['cut']) {
  // The driver reads the host for TLS from its socket.
  const socket = path ? net.connect(path) : Object.assign(net.connect(port, host), { host, port })
  return socket.on('error', (error) => {
    if (socket.listenerCount('error') === 1) cut(error)
  })
}

/** For a second try of the driver, which it makes without any pause and for ever (seen: 330 a second). */
function closedSocket(): Socket {
  const socket = new net.Socket()
  setImmediate(() => socket.destroy(lossOf('CLOSED_AT_ONCE', 'The server closed the connection at once.')))
  return socket
}

/** The error of a peer that does not answer. */
export function silence(milliseconds: number): Error {
  return lossOf('NO_ANSWER', `No answer within ${milliseconds / 1_000} s.`)
}

function lossOf(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

function tlsOf(url: URL): Tls {
  return tlsFor(url.hostname, url.searchParams.get('sslmode'))
}

/** False: no TLS. Else what the certificate is checked for. */
type Tls = Pick<tls.ConnectionOptions, 'checkServerIdentity'> | false

/** The driver does not pass an IP address on, and the certificate would be checked for `localhost` (seen). */
function tlsFor(host: string, mode: string | null): Tls {
  if (mode === 'disable' || (mode === null && LOOPBACK.has(host))) return false
  const name = host.replace(/^\[(.*)\]$/, '$1') || 'localhost'
  return { checkServerIdentity: (_, certificate) => tls.checkServerIdentity(name, certificate) }
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

import net, { type Socket } from 'node:net'
import tls from 'node:tls'
import postgres from 'postgres'

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

/** Opens one: postgres.js with one connection and a socket of ours, which it gets once. */
export async function openLine(address: Address, waits: Waits, onLost: () => void): Promise<Line> {
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

/** The error of a connection that is gone. */
export function lossOf(code: string, message: string): Error {
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

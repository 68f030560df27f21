import { connect, createServer, type Socket } from 'node:net'
import { nameOfStatement } from '../support/statements.ts'

/**
 * One round trip of a client to PostgreSQL: what it asks for, and what it asked before on the same connection.
 * A statement goes by the name in its first line, `-- lock users` for example; one without a name by its text.
 */
export type RoundTrip = { readonly what: string; readonly previous: string }

/**
 * What becomes of a round trip: it passes; it never arrives (`fail`) or takes effect and its reply is lost
 * (`lose`), and the connection is closed; or the same, and the connection stays open and silent (`silent`,
 * `stall`: half of the reply arrives).
 */
export type Fate = 'pass' | 'fail' | 'lose' | 'silent' | 'stall'

export type PostgresProxy = {
  readonly url: string
  /**
   * Closes all connections on the client's side; what clients have sent still arrives, as when a process is
   * killed.
   */
  cutClients(): void
  stop(): Promise<void>
}

const READY = 'Z'
/** What ends a reply to Flush after Describe: a row description, or that there are no rows, or an error. */
const DESCRIBED = new Set(['T', 'n', 'E', READY])

/** Parse, Bind, Describe, Execute, Close: the client does not wait for an answer. */
const QUEUED = new Set(['P', 'B', 'D', 'E', 'C'])

type Decide = (trip: RoundTrip) => Fate | Promise<Fate>

/**
 * A TCP proxy in front of PostgreSQL that knows just enough of the protocol to see its round trips: the
 * start-up, and every message on which the client waits for an answer (Sync, Flush, a simple query). `decide`
 * is called for each. Until it returns, the connection is held: nothing more from the client arrives, and the
 * client does not notice a loss. `onConnect` gets the local port by which each connection reaches PostgreSQL.
 */
export async function startProxy(
  databaseUrl: string,
  decide: Decide,
  onConnect: (localPort: number) => void = () => {},
): Promise<PostgresProxy> {
  const target = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  const clients = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    upstream.once('connect', () => onConnect(upstream.localPort ?? 0))
    clients.add(client)
    client.on('close', () => clients.delete(client))
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => sockets.delete(socket))
    }
    join(client, upstream, decide)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const url = new URL(databaseUrl)
  url.port = String(typeof address === 'object' && address !== null ? address.port : 0)
  return {
    url: url.href,
    cutClients: () => {
      for (const client of clients) client.destroy()
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function join(client: Socket, upstream: Socket, decide: Decide): void {
  let fateOfReply: { readonly fate: Fate; readonly until: ReadonlySet<string> } | null = null
  let statement = ''
  let previous = ''
  let passing = Promise.resolve()
  // PostgreSQL executes a statement before its Sync arrives, so nothing of a round trip goes out before it is
  // decided on.
  let batch: Buffer[] = []
  let state: 'open' | 'cut' | 'silent' = 'open'
  const cutBoth = (): void => {
    state = 'cut'
    client.destroy()
    upstream.end()
  }
  const onStart = messages(true)
  const pass = async ({ type, bytes }: Message): Promise<void> => {
    if (state !== 'open') return
    if (type === 'P') [previous, statement] = [statement, statementOf(bytes)]
    const waits = type === '' || type === 'S' || type === 'H' || type === 'Q'
    batch.push(bytes)
    if (QUEUED.has(type)) return
    const what = type === '' ? 'connect' : type === 'Q' ? queryOf(bytes) : statement
    const fate = waits ? await decide({ what: `database: ${what}`, previous }) : 'pass'
    if (fate === 'fail') return cutBoth()
    if (fate === 'silent') state = 'silent'
    if (state !== 'open') return
    if (fate !== 'pass') fateOfReply = { fate, until: type === 'H' ? DESCRIBED : new Set([READY]) }
    upstream.write(Buffer.concat(batch))
    batch = []
  }
  client.on('data', (chunk: Buffer) => {
    for (const message of onStart(chunk)) passing = passing.then(async () => pass(message))
  })
  const onReply = messages(false)
  upstream.on('data', (chunk: Buffer) => {
    if (state !== 'open') return
    const types = onReply(chunk).map(({ type }) => type)
    if (fateOfReply === null) client.write(chunk)
    else if (fateOfReply.fate === 'stall') {
      client.write(chunk.subarray(0, Math.floor(chunk.length / 2)))
      state = 'silent'
    } else if (types.some((type) => fateOfReply?.until.has(type))) cutBoth()
  })
  // What the client sent before it ended still has to arrive: a killed process's COMMIT is on its way. Over a
  // silent connection, the server does not notice the end.
  client.on('close', () => void passing.then(() => state === 'silent' || upstream.end()))
  upstream.on('close', () => void passing.then(() => state === 'silent' || client.destroy()))
}

type Message = { readonly type: string; readonly bytes: Buffer }

/** Cuts a stream into protocol messages; the first one of a client has no type. */
function messages(startsUntyped: boolean): (chunk: Buffer) => Message[] {
  let rest = Buffer.alloc(0)
  let untyped = startsUntyped
  return (chunk) => {
    rest = Buffer.concat([rest, chunk])
    const found: Message[] = []
    for (;;) {
      const head = untyped ? 0 : 1
      if (rest.length < head + 4) return found
      const length = head + rest.readInt32BE(head)
      if (rest.length < length) return found
      found.push({ type: untyped ? '' : rest.toString('latin1', 0, 1), bytes: rest.subarray(0, length) })
      rest = rest.subarray(length)
      untyped = false
    }
  }
}

function statementOf(parse: Buffer): string {
  const start = parse.indexOf(0, 5) + 1
  return nameOf(parse.toString('utf8', start, parse.indexOf(0, start)))
}

/** A simple query: what sets a transaction's timeouts is one with its BEGIN. */
function queryOf(query: Buffer): string {
  return nameOf(query.toString('utf8', 5, query.length - 1))
}

function nameOf(sql: string): string {
  return nameOfStatement(sql) ?? sql.replace(/\s+/g, ' ').trim().slice(0, 90)
}

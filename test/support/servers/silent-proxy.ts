import { connect, createServer, type Server, type Socket } from 'node:net'

/** A server on the loopback interface that misbehaves; `connections` counts those that it accepted. */
export type Peer = { readonly port: number; readonly connections: () => number; stop(): Promise<void> }

/**
 * A TCP proxy that can fall silent: from then on it drops what it receives, in both directions, without a
 * reset.
 */
export type SilentProxy = Peer & {
  fallSilent(): void
  speakAgain(): void
  /** How many connections were silenced. */
  silenced(): number
}

/**
 * Passes everything on to `target` until it falls silent: by `fallSilent`, or, with `silentAt`, on the first
 * connection on which a client has sent all these texts, one after the other; the last one still reaches the
 * server. Connections that were silenced stay silent for ever; `speakAgain` is for new ones.
 */
export async function startSilentProxy(
  target: { host: string; port: number },
  ...silentAt: readonly string[]
): Promise<SilentProxy> {
  let silent = false
  let silenced = 0
  const peer = await listen((client, sockets) => {
    const upstream = track(connect(target.port, target.host), sockets)
    let dropped = false
    const drop = (): boolean => {
      if (!dropped) silenced++
      return (dropped = true)
    }
    let awaited = 0
    client.on('data', (chunk: Buffer) => {
      if (dropped || (silent && drop())) return
      for (let text = silentAt[awaited]; text !== undefined && chunk.includes(text); text = silentAt[awaited])
        awaited++
      if (silenced === 0 && awaited > 0 && awaited === silentAt.length) drop()
      upstream.write(chunk)
    })
    upstream.on('data', (chunk: Buffer) => {
      if (!dropped && !(silent && drop())) client.write(chunk)
    })
    upstream.on('close', () => dropped || client.destroy())
    client.on('close', () => upstream.destroy())
  })
  return {
    ...peer,
    fallSilent: () => {
      silent = true
    },
    speakAgain: () => {
      silent = false
    },
    silenced: () => silenced,
  }
}

/**
 * Accepts connections and closes them: at once, or once the client has sent something (a start-up message).
 */
export async function startClosingServer(when: 'at once' | 'after the first bytes'): Promise<Peer> {
  return listen((client) => {
    if (when === 'at once') client.end()
    else client.once('data', () => client.end())
  })
}

/** Accepts connections and never sends anything. */
export async function startMuteServer(): Promise<Peer> {
  return listen((client) => client.resume())
}

async function listen(onConnection: (client: Socket, sockets: Set<Socket>) => void): Promise<Peer> {
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer({ allowHalfOpen: false }, (client) => {
    connections++
    onConnection(track(client, sockets), sockets)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: portOf(server),
    connections: () => connections,
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function track(socket: Socket, sockets: Set<Socket>): Socket {
  sockets.add(socket)
  socket.on('error', () => socket.destroy())
  socket.on('close', () => sockets.delete(socket))
  return socket
}

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

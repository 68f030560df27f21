import { performance } from 'node:perf_hooks'
import { connect, createServer, type Socket } from 'node:net'

/** What a proxy has seen of PostgreSQL's protocol. */
export type Seen = { statements: number; lockMilliseconds: number[] }

/**
 * A TCP proxy on loopback that holds back what a client sends by `delayMs`, as if the server were that far
 * away, and that counts PostgreSQL statements and how long user rows stay locked, where `seen` is given.
 */
export async function startProxy(
  port: number,
  delayMs: number,
  seen?: Seen,
): Promise<{ port: number; stop(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port, host: '127.0.0.1', noDelay: true })
    const watch = seen && watcher(seen)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => sockets.delete(socket))
    }
    client.on('data', (chunk: Buffer) => {
      watch?.asked(chunk)
      if (delayMs === 0) upstream.write(chunk)
      else setTimeout(() => upstream.write(chunk), delayMs)
    })
    upstream.on('data', (chunk: Buffer) => {
      watch?.answered(chunk)
      client.write(chunk)
    })
    client.on('close', () => setTimeout(() => upstream.end(), delayMs))
    upstream.on('close', () => client.end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/**
 * Looks for statements by their text: a Parse message holds it in clear. Good enough to count and to time.
 */
function watcher(seen: Seen): { asked(chunk: Buffer): void; answered(chunk: Buffer): void } {
  let lockedAt: number | null = null
  let committing = false
  let rest = Buffer.alloc(0)
  let started = false
  const onStatement = (text: string): void => {
    seen.statements++
    if (/for no key update/.test(text)) lockedAt = performance.now()
    if (/^\s*(commit|rollback)/i.test(text)) committing = true
  }
  return {
    asked(chunk) {
      rest = Buffer.concat([rest, chunk])
      for (;;) {
        const head = started ? 1 : 0
        if (rest.length < head + 4) return
        const length = head + rest.readInt32BE(head)
        if (rest.length < length) return
        if (started && rest.toString('latin1', 0, 1) === 'P')
          onStatement(rest.toString('utf8', 6, Math.min(length, 4_000)))
        if (started && rest.toString('latin1', 0, 1) === 'Q') onStatement(rest.toString('utf8', 5, length))
        started = true
        rest = rest.subarray(length)
      }
    },
    answered() {
      if (!committing) return
      committing = false
      if (lockedAt !== null) seen.lockMilliseconds.push(performance.now() - lockedAt)
      lockedAt = null
    },
  }
}

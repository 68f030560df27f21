import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'

/**
 * What becomes of a request: it passes; it is `silent` (it never reaches S3, and nothing is answered); it
 * takes effect and nothing is answered (`mute`); or its answer stops after half of the body, with silence or
 * with a cut connection.
 */
export type Behaviour = 'pass' | 'silent' | 'mute' | 'half, then silent' | 'half, then cut'

export type HttpRequest = { readonly method: string; readonly path: string }

export type MisbehavingS3 = {
  readonly endpoint: string
  readonly requests: readonly HttpRequest[]
  /** How the requests from now on are treated; `requests` begins anew. */
  behave(decide: (request: HttpRequest, number: number) => Behaviour): void
  stop(): Promise<void>
}

/** An HTTP proxy in front of an S3 server (or any other HTTP service) that misbehaves on demand. */
export async function startMisbehavingS3(endpoint: string): Promise<MisbehavingS3> {
  let decide: (request: HttpRequest, number: number) => Behaviour = () => 'pass'
  const requests: HttpRequest[] = []
  const server = createServer((incoming, answer) => {
    const seen = { method: incoming.method ?? '', path: incoming.url ?? '' }
    requests.push(seen)
    const behaviour = decide(seen, requests.length)
    if (behaviour === 'silent') incoming.resume()
    else forward(endpoint, incoming, answer, behaviour)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    endpoint: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    requests,
    behave: (next) => {
      requests.length = 0
      decide = next
    },
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function forward(
  endpoint: string,
  incoming: IncomingMessage,
  answer: ServerResponse,
  behaviour: Behaviour,
): void {
  const { method, url, headers } = incoming
  const onward = request(new URL(url ?? '/', endpoint), { method, headers }, (reply) => {
    const chunks: Buffer[] = []
    reply.on('data', (chunk: Buffer) => chunks.push(chunk))
    reply.on('end', () => {
      const body = Buffer.concat(chunks)
      if (behaviour === 'mute') return
      answer.writeHead(reply.statusCode ?? 500, reply.headers)
      if (behaviour === 'pass') answer.end(body)
      else {
        const half = body.subarray(0, Math.floor(body.length / 2))
        answer.write(half, () => behaviour === 'half, then cut' && answer.destroy())
      }
    })
  })
  onward.on('error', () => answer.destroy())
  incoming.on('error', () => onward.destroy())
  incoming.pipe(onward)
}

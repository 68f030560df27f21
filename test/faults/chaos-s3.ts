import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'

/** What becomes of one request to S3. */
export type RequestFate = {
  /** How long it is on its way, in milliseconds. */
  readonly delayMs: number
  /** How often it arrives; a copy comes a while after the first one, and its answer goes nowhere. */
  readonly copies: 0 | 1 | 2
  /** Whether the client gets the answer, sees the connection closed, or gets no answer. */
  readonly answer: 'given' | 'cut' | 'none'
}

/** An HTTP proxy in front of an S3 server that delays, loses and repeats requests. */
export async function startChaosS3(
  endpoint: string,
  decide: () => RequestFate,
): Promise<{ readonly endpoint: string; stop(): Promise<void> }> {
  const late = new Set<Promise<unknown>>()
  const server = createServer((incoming, answer) => {
    incoming.on('error', () => answer.destroy())
    const done = handle(endpoint, incoming, answer, decide()).catch(() => answer.destroy())
    late.add(done)
    void done.finally(() => late.delete(done))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    endpoint: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    stop: async () => {
      server.closeAllConnections()
      await Promise.all(late)
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const COPY_DELAY_MS = 400

async function handle(
  endpoint: string,
  incoming: IncomingMessage,
  answer: ServerResponse,
  { delayMs, copies, answer: given }: RequestFate,
): Promise<void> {
  // Its sender may be dead by the time that it arrives.
  const body = await buffer(incoming)
  await pause(delayMs)
  const reply = copies > 0 ? await forward(endpoint, incoming, body) : null
  if (given === 'given' && reply) {
    answer.writeHead(reply.status, reply.headers)
    answer.end(reply.body)
  } else if (given !== 'none') answer.destroy()
  if (copies === 2) {
    await pause(COPY_DELAY_MS)
    await forward(endpoint, incoming, body)
  }
}

type Reply = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly body: Buffer }

async function forward(
  endpoint: string,
  { method, url, headers }: IncomingMessage,
  body: Buffer,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const onward = request(new URL(url ?? '/', endpoint), { method, headers }, (reply) => {
      buffer(reply).then(
        (bytes) => resolve({ status: reply.statusCode ?? 500, headers: reply.headers, body: bytes }),
        reject,
      )
    })
    onward.on('error', reject)
    onward.end(body)
  })
}

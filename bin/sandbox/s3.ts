import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { receiveBody, S3Error } from './s3/bodies.ts'
import { bucketFolder, createBucket, emptyBucket, newBodyPath, openObjectFiles } from './s3/objects.ts'
import type { ObjectFiles } from './s3/objects.ts'
import { answerTo, readTarget, refusal } from './s3/requests.ts'
import type { Answer, S3Request } from './s3/requests.ts'

export type { S3Request }

/**
 * What a hook may do to a request:
 * - answer it with an S3 error;
 * - `drop`: close the connection without an answer;
 * - `silent`: keep the connection open and never answer;
 * - `stall`: send the headers and half of the body, and then nothing; for an answer without a body, as
 *   `silent`.
 */
export type S3Fault = { status: number; code: string } | 'drop' | 'silent' | 'stall'

type HookResult = S3Fault | void | Promise<S3Fault | void>

/**
 * `before` runs when a request has been received completely, before it takes effect; `after` runs when it has
 * taken effect, before its answer (with this HTTP status) is sent. The server waits for both. A request whose
 * hook throws is answered with 500. `stall` has the same meaning from both: the request takes effect.
 */
export type S3Hooks = {
  before?: (request: S3Request) => HookResult
  after?: (request: S3Request, status: number) => HookResult
}

/** A running S3 server. */
export type S3Server = {
  endpoint: string
  port: number
  /** The folder where a bucket's objects are plain files. */
  filesOf: (bucket: string) => string
  /** Does nothing when the bucket exists. */
  createBucket: (name: string) => void
  emptyBucket: (name: string) => void
  /** Sets, or with undefined removes, the hooks of one bucket, and starts its request count again. */
  setHooks: (bucket: string, hooks: S3Hooks | undefined) => void
  /** How many requests the bucket has had since the start or the last `setHooks`. */
  requestCount: (bucket: string) => number
  /** Closes all connections, also those with an unfinished request. */
  stop: () => Promise<void>
}

const SMALL_BYTES = 64 * 1024
const ENOUGH_BYTES = 4 * 2 ** 30

type State = { files: ObjectFiles; counts: Map<string, number>; hooks: Map<string, S3Hooks> }

/**
 * Starts an S3 server on the loopback interface, on a free port unless `port` is given. It supports PutObject
 * (of any size, with conditions and checksums), GetObject (also of a byte range), HeadObject, DeleteObject,
 * ListObjectsV2, CreateBucket and HeadBucket, and answers NotImplemented to everything else. It ignores
 * credentials, encryption and user metadata, and keeps no versions. Objects are plain files in `dir`, or in a
 * temporary folder that `stop` removes. One server at a time may use `dir`.
 * @throws Error when the port is in use
 */
export async function startS3(
  options: { dir?: string; port?: number; buckets?: string[] } = {},
): Promise<S3Server> {
  const { dir, port = 0, buckets = [] } = options
  const folder = dir ?? mkdtempSync(join(temporaryRoot(), `credit-expiry-s3-${process.pid}-`))
  const files = openObjectFiles(folder)
  for (const bucket of buckets) createBucket(files, bucket)
  const state: State = { files, counts: new Map(), hooks: new Map() }
  // No limit for the time that a body takes; idle connections are kept for longer than a client keeps them.
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 600_000 }, (request, response) => {
    void serve(state, request, response)
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The S3 server has no port.')
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    port: address.port,
    filesOf: (bucket) => bucketFolder(files, bucket),
    createBucket: (name) => createBucket(files, name),
    emptyBucket: (name) => emptyBucket(files, name),
    setHooks: (bucket, hooks) => {
      state.counts.delete(bucket)
      if (hooks === undefined) state.hooks.delete(bucket)
      else state.hooks.set(bucket, hooks)
    },
    requestCount: (bucket) => state.counts.get(bucket) ?? 0,
    stop: async () => {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()))
      server.closeAllConnections()
      await closed
      if (dir === undefined) rmSync(folder, { recursive: true, force: true })
    },
  }
}

/**
 * The folder for temporary buckets: in memory, which is faster, if the system has such a folder with enough
 * space.
 */
export function temporaryRoot(): string {
  const inMemory = '/dev/shm'
  if (!existsSync(inMemory)) return tmpdir()
  const { bavail, bsize } = statfsSync(inMemory)
  return bavail * bsize >= ENOUGH_BYTES ? inMemory : tmpdir()
}

/** How a request ends: its answer, if it took effect, and the fault of a hook. */
type End = { answer?: Answer; fault?: S3Error | Exclude<S3Fault, object> }

async function serve(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { answer, fault } = await handle(state, request)
  try {
    if (fault instanceof S3Error) await send(response, refusal(fault))
    else if (fault === 'drop') response.destroy()
    else if (fault === 'stall' && answer !== undefined) await sendHalf(response, answer)
    else if (answer !== undefined && fault === undefined) await send(response, answer)
  } catch {
    // The client disconnected, or the file became shorter: the client sees that its answer is cut off.
    response.destroy()
  } finally {
    if (answer?.file !== undefined) closeSync(answer.file)
  }
}

async function handle(state: State, request: IncomingMessage): Promise<End> {
  const bodyPath = request.method === 'PUT' ? newBodyPath(state.files) : undefined
  try {
    const target = readTarget(request.url ?? '')
    const number = (state.counts.get(target.bucket) ?? 0) + 1
    state.counts.set(target.bucket, number)
    const bytes = Number(request.headers['content-length'] ?? 0)
    const seen: S3Request = { number, method: request.method ?? '', bytes, ...target }
    const body = bodyPath && seen.key !== '' ? await receiveBody(request, bodyPath) : undefined
    const before = await faultOf(() => state.hooks.get(seen.bucket)?.before?.(seen))
    if (before !== undefined && before !== 'stall') return { fault: before }
    const answer = answerTo(state.files, seen, request.headers, body)
    const fault = before ?? (await faultOf(() => state.hooks.get(seen.bucket)?.after?.(seen, answer.status)))
    return { answer, fault }
  } catch (error) {
    return { answer: refusal(error) }
  } finally {
    if (bodyPath) rmSync(bodyPath, { force: true })
  }
}

async function faultOf(hook: () => HookResult): Promise<End['fault']> {
  try {
    const fault = await hook()
    if (typeof fault !== 'object') return fault ?? undefined
    return new S3Error(fault.status, fault.code, 'A hook refused this request.')
  } catch (error) {
    return new S3Error(500, 'InternalError', String(error), { cause: error })
  }
}

async function send(response: ServerResponse, answer: Answer): Promise<void> {
  response.writeHead(answer.status, { ...answer.headers, 'content-length': answer.length })
  // A pipeline costs more than everything else about a small answer.
  if (answer.length <= SMALL_BYTES) response.end(Buffer.concat([...answer.body]))
  else await pipeline(answer.body, response)
}

async function sendHalf(response: ServerResponse, answer: Answer): Promise<void> {
  if (answer.length === 0) return
  response.writeHead(answer.status, { ...answer.headers, 'content-length': answer.length })
  response.flushHeaders()
  await pipeline(firstBytes(answer.body, Math.floor(answer.length / 2)), response, { end: false })
}

function* firstBytes(chunks: Iterable<Buffer>, count: number): Generator<Buffer> {
  let left = count
  for (const chunk of chunks) {
    yield chunk.subarray(0, left)
    left -= chunk.length
    if (left <= 0) return
  }
}

import { mkdirSync } from 'node:fs'
import { buildApp } from 'fauxqs'
import { newStores } from './fauxqs.ts'
import type { S3Store } from './fauxqs.ts'
import { errorXml, failedCondition } from './s3-conditions.ts'
import type { S3Answer } from './s3-conditions.ts'
import { keepInFiles, objectsFolder } from './s3-files.ts'

type App = ReturnType<typeof buildApp>
type Request = Parameters<Parameters<App['setErrorHandler']>[0]>[1]
type Reply = Parameters<Parameters<App['setErrorHandler']>[0]>[2]

/** One request to a bucket; `number` counts the bucket's requests from 1, since the start or the last `setHooks`. */
export type S3Request = {
  number: number
  method: string
  bucket: string
  key: string
  query: Readonly<Record<string, string | undefined>>
}

/** What a hook may do to a request: answer it with an S3 error, or cut the connection without an answer. */
export type S3Fault = S3Answer | 'drop'

type HookResult = S3Fault | void | Promise<S3Fault | void>

/** What runs before a request takes effect, and after it did but before its answer goes out (with its HTTP status). */
export type S3Hooks = {
  before?: (request: S3Request) => HookResult
  after?: (request: S3Request, status: number) => HookResult
}

/** A running S3 server. */
export type S3Server = {
  endpoint: string
  port: number
  /** The folder where a bucket's objects lie as plain files. Throws without a `dir`. */
  filesOf: (bucket: string) => string
  /** Does nothing for a bucket that is there. */
  createBucket: (name: string) => void
  emptyBucket: (name: string) => void
  /** Sets, or with undefined removes, the hooks of one bucket, and starts its request count again. */
  setHooks: (bucket: string, hooks: S3Hooks | undefined) => void
  /** How many requests the bucket has had since the start or the last `setHooks`. */
  requestCount: (bucket: string) => number
  stop: () => Promise<void>
}

/**
 * Starts an S3 server on the loopback interface, on a free port unless `port` is given: fauxqs with conditional writes
 * added. Objects are kept in `dir`, or in memory without one. It checks no credentials and no checksums, and takes
 * 11 MiB a request.
 * Throws an Error when the port is taken or another version of fauxqs is installed.
 */
export async function startS3(
  options: { dir?: string; port?: number; buckets?: string[] } = {},
): Promise<S3Server> {
  const { dir, port = 0, buckets = [] } = options
  const stores = await newStores()
  if (dir !== undefined) {
    mkdirSync(dir, { recursive: true })
    keepInFiles(stores.s3Store, dir)
  }
  const createBucket = (name: string) => stores.s3Store.createBucket(name)
  buckets.forEach(createBucket)

  const app = buildApp({ logger: false, stores })
  const counts = new Map<string, number>()
  const hooks = new Map<string, S3Hooks>()
  addHooks(app, counts, hooks)
  // Must be the last hook, and synchronous: nothing may come between the check and the write.
  addConditionalWrites(app, stores.s3Store)
  addErrorAnswers(app)
  const endpoint = await app.listen({ port, host: '127.0.0.1' })

  return {
    endpoint,
    port: Number(new URL(endpoint).port),
    filesOf: (bucket) => {
      if (dir === undefined)
        throw new Error('This S3 server keeps its objects in memory: start it with a dir.')
      return objectsFolder(dir, bucket)
    },
    createBucket,
    emptyBucket: (name) => stores.s3Store.emptyBucket(name),
    setHooks: (bucket, given) => {
      counts.delete(bucket)
      if (given === undefined) hooks.delete(bucket)
      else hooks.set(bucket, given)
    },
    requestCount: (bucket) => counts.get(bucket) ?? 0,
    stop: () => app.close(),
  }
}

function addHooks(app: App, counts: Map<string, number>, hooks: Map<string, S3Hooks>): void {
  const inProgress = new WeakMap<object, S3Request>()
  const answering = new WeakSet<object>()
  app.addHook('preHandler', async (request, reply) => {
    const { bucket, key, query } = partsOf(request)
    const number = (counts.get(bucket) ?? 0) + 1
    counts.set(bucket, number)
    const seen: S3Request = { number, method: request.method, bucket, key, query }
    const fault = await hooks.get(bucket)?.before?.(seen)
    if (fault === undefined) inProgress.set(request, seen)
    else if (fault === 'drop') drop(reply)
    else await answer(request, reply, fault)
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    // While an answer waits for its hook, Fastify takes fauxqs' async handlers for unanswered and sends once more.
    if (answering.has(request)) return
    const seen = inProgress.get(request)
    const after = seen && hooks.get(seen.bucket)?.after
    if (seen === undefined || after === undefined) {
      done(null, payload)
      return
    }
    answering.add(request)
    const answered = async () => replaced(request, reply, payload, await after(seen, reply.statusCode))
    void settle(answered, done, () => {
      inProgress.delete(request)
      answering.delete(request)
    })
  })
}

async function settle<T>(
  work: () => Promise<T>,
  done: (error: Error | null, value?: T) => void,
  onFailure: () => void,
): Promise<void> {
  let value: T
  try {
    value = await work()
  } catch (error) {
    onFailure()
    done(error instanceof Error ? error : new Error(String(error)))
    return
  }
  done(null, value)
}

function replaced(request: Request, reply: Reply, payload: unknown, fault: S3Fault | void): unknown {
  if (fault === undefined) return payload
  if (fault === 'drop') {
    request.raw.socket.destroy()
    return payload
  }
  reply.code(fault.status).removeHeader('content-length').header('content-type', 'application/xml')
  return request.method === 'HEAD' ? '' : errorXml(fault.code, 'asked for by a hook', request.url)
}

function addConditionalWrites(app: App, store: S3Store): void {
  app.addHook('preHandler', (request, reply, done) => {
    // fauxqs fails on a PUT without any body.
    request.body ??= Buffer.alloc(0)
    const { bucket, key, query } = partsOf(request)
    const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = request.headers
    const write = { method: request.method, key, query, ifMatch, ifNoneMatch }
    const failed = store.hasBucket(bucket)
      ? failedCondition(write, () => etagOf(store, bucket, key))
      : undefined
    if (failed === undefined) done()
    else void answer(request, reply, failed)
  })
}

function addErrorAnswers(app: App): void {
  app.setErrorHandler((error, request, reply) => {
    const message = error instanceof Error ? error.message : String(error)
    const xml = errorXml('InternalError', message, request.url)
    return reply.code(500).header('content-type', 'application/xml').send(xml)
  })
}

function answer(request: Request, reply: Reply, { status, code }: S3Answer): Reply {
  const body = request.method === 'HEAD' ? '' : errorXml(code, `${code} (${status})`, request.url)
  return reply.code(status).header('content-type', 'application/xml').send(body)
}

function drop(reply: Reply): void {
  reply.hijack()
  reply.request.raw.socket.destroy()
}

function etagOf(store: S3Store, bucket: string, key: string): string | undefined {
  try {
    return store.headObject(bucket, key).etag
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'NoSuchKey') return undefined
    throw error
  }
}

function partsOf(request: Request): Pick<S3Request, 'bucket' | 'key' | 'query'> {
  const { bucket = '', '*': key = '' } = textsOf(request.params)
  return { bucket, key, query: textsOf(request.query) }
}

function textsOf(values: unknown): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(values ?? {}).filter(([, value]) => typeof value === 'string'))
}

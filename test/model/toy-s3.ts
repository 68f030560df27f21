import { LOST, type Request, type Steps } from './world.ts'
import type { PutResult } from './traces/trace.ts'

/** S3 with conditional writes. The ETag is a hash of the content: equal contents have equal ETags. */

export type Body = { readonly etag: string }
export type S3 = {
  readonly objects: Map<string, Body>
  /** Called for every object that is stored, and for every conditional write that is refused. */
  readonly watch: (key: string, body: Body, result: PutResult, before: Body | undefined) => void
  /** Whether S3 answers 409: another request to the same key is being served. */
  readonly conflict: () => boolean
}

/** `*`: create only where nothing is there. Otherwise: overwrite only this ETag. */
export type Condition = { readonly ifNoneMatch: '*' } | { readonly ifMatch: string }

/** A lost read costs little: it is tried until it succeeds. A PUT is tried only a few times. */
const READ_TRIES = 8
const PUT_TRIES = 2
export const archiveUnavailable = new Error('ArchiveUnavailable')

export function* get<T extends Body>(s3: S3, key: string): Steps<T | null> {
  const answer = () => s3.objects.get(key) ?? null
  const request: Request = { kind: 'get', name: key, serve: answer, network: 'lose' }
  for (let tries = 0; tries < READ_TRIES; tries += 1) {
    const reply = yield request
    if (reply !== LOST) return reply as T | null
  }
  throw archiveUnavailable
}

export function* list(s3: S3, prefix: string): Steps<readonly string[]> {
  const answer = () => [...s3.objects.keys()].filter((key) => key.startsWith(prefix))
  const request: Request = { kind: 'list', name: prefix, serve: answer, network: 'lose' }
  for (let tries = 0; tries < READ_TRIES; tries += 1) {
    const reply = yield request
    if (reply !== LOST) return reply as readonly string[]
  }
  throw archiveUnavailable
}

/**
 * One PUT as the SDK sends it: repeated until there is an answer, so that a 412 may come from its own first
 * try.
 */
export function* put(
  s3: S3,
  key: string,
  body: Body,
  condition: Condition,
): Steps<'stored' | 'precondition failed'> {
  const isCreate = 'ifNoneMatch' in condition
  const request: Request = {
    kind: 'put',
    name: key,
    serve: () => serve(s3, key, body, condition),
    network: 'any',
    body,
    create: isCreate,
  }
  for (let tries = 0; tries < PUT_TRIES; tries += 1) {
    const reply = yield request
    if (reply === 'stored' || reply === 'precondition failed') return reply
  }
  throw archiveUnavailable
}

/** Creates an object once. True when it has these bytes now, whoever stored them. */
export function* create(s3: S3, key: string, body: Body): Steps<boolean> {
  if ((yield* put(s3, key, body, { ifNoneMatch: '*' })) === 'stored') return true
  const found = yield* get(s3, key)
  return found?.etag === body.etag
}

/** Compare-and-swap, read back where it is refused. Returns what is stored now: `body` when the swap won. */
export function* swap<T extends Body>(s3: S3, key: string, body: T, etag: string | null): Steps<T> {
  const condition: Condition = etag === null ? { ifNoneMatch: '*' } : { ifMatch: etag }
  if ((yield* put(s3, key, body, condition)) === 'stored') return body
  const found = yield* get<T>(s3, key)
  if (!found) throw new Error(`${key} was there and is missing.`)
  return found.etag === body.etag ? body : found
}

function serve(s3: S3, key: string, body: Body, condition: Condition): PutResult {
  if (s3.conflict()) return 'conflict'
  const before = s3.objects.get(key)
  const holds = 'ifNoneMatch' in condition ? before === undefined : before?.etag === condition.ifMatch
  if (holds) s3.objects.set(key, body)
  const result = holds ? 'stored' : 'precondition failed'
  s3.watch(key, body, result, before)
  return result
}

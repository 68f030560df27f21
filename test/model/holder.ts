import type { Ledger } from './toy-ledger.ts'
import { query } from './toy-ledger.ts'
import { archiveUnavailable, create, get, list, put, type S3, swap } from './toy-s3.ts'
import {
  type Card,
  type Cursor,
  cardKey,
  cursorKey,
  type FinalStatus,
  firstUnnamed,
  type Intent,
  intentsPrefix,
  type Line,
  type Mark,
  markKey,
  type Run,
} from './bucket.ts'
import { count, perhapsSetBack, sleep, type Steps, until, type World } from './world.ts'
import type { Mistake } from './mistakes.ts'

/**
 * One invocation and what it holds: the lease of a run, its cursor, and what it knows of attempts before it.
 */

export type Place = {
  readonly world: World
  readonly s3: S3
  readonly ledger: Ledger
  readonly mistake: Mistake | null
  /** The users of each page that an execute run freezes. */
  readonly frozen: readonly (readonly number[])[]
  /** Above 0: some users cannot be written by some holders, for a data reason. */
  readonly damage: number
  /** The runs that control/writer.json has named. */
  readonly opened: Set<string>
  /** The keys of errors parts with lines that were ever stored. */
  readonly errorsParts: Set<string>
  readonly answers: Answer[]
  runs: number
  nonces: number
}
export type Answer = {
  readonly invocation: string
  /** The key of the request that was answered, or null. */
  readonly requestKey: string | null
  readonly runId: string
  readonly answer: 'closed' | 'incomplete' | 'busy' | 'refused' | 'not opened' | 'corrupt' | 'unavailable'
}

/** Of the users of pages that the cursor does not name: the lines of those whose attempt committed. */
export type Recovered = ReadonlyMap<number, ReadonlyMap<number, Line>>

export type Holder = {
  readonly name: string
  readonly place: Place
  readonly run: Run
  readonly epoch: number
  readonly leaseExpiresAt: number
  readonly deadline: number
  cursor: Cursor
  recovered: Recovered
  writingCursor: boolean
  nextPage: number
}

export const INVOCATION_TIME = 90
const LEASE_TIME = 110
const BACK_OFF = 5

export const leaseLost = new Error('LeaseLost')
export const attemptOpen = new Error('AttemptOpen')

export function newNonce(place: Place): string {
  place.nonces += 1
  return `nonce ${place.nonces}`
}

/** The first lease, of the invocation that prepares the run, or the next one: where it may be acquired. */
export function leaseFrom(invocation: string, now: number): NonNullable<Cursor['lease']> {
  return { invocation, expiresAt: now + LEASE_TIME }
}

export function holding(place: Place, name: string, run: Run, cursor: Cursor): Holder {
  const expiresAt = cursor.lease?.expiresAt ?? 0
  return {
    name,
    place,
    run,
    cursor,
    epoch: cursor.epoch,
    leaseExpiresAt: expiresAt,
    deadline: expiresAt - LEASE_TIME + INVOCATION_TIME,
    recovered: new Map(),
    writingCursor: false,
    nextPage: 0,
  }
}

/** Acquires the lease of a run that is not closed: null where another invocation holds it. */
export function* acquire(place: Place, name: string, run: Run, found: Cursor): Steps<Holder | null> {
  const { world, s3, mistake } = place
  const now = yield* query('clock', () => world.now)
  const believed = mistake === 'lease taken over before it expired' ? null : found.lease
  if (believed && now <= believed.expiresAt) return null
  const cursor: Cursor = {
    ...found,
    etag: newNonce(place),
    epoch: found.epoch + 1,
    lease: leaseFrom(name, now),
    unreleasedUntil: Math.max(believed?.expiresAt ?? 0, found.unreleasedUntil),
  }
  const stored = yield* swap(s3, cursorKey(run.runId), cursor, found.etag)
  const won =
    mistake === 'an epoch read back believed at acquisition'
      ? stored.epoch === cursor.epoch
      : stored.lease?.invocation === name
  if (!won) return null
  perhapsSetBack(world, stored.unreleasedUntil)
  if (stored.epoch === 3) count(world, 'taken over by a third holder')
  return holding(place, name, run, stored)
}

/**
 * Compare-and-swap of the cursor, one at a time. `change` returns null when the cursor says so already. A
 * cursor read back with this holder's epoch was written by this holder: continue from it.
 */
export function* updateCursor(holder: Holder, change: (cursor: Cursor) => Cursor | null): Steps<void> {
  const { place, epoch } = holder
  yield* until(() => !holder.writingCursor)
  holder.writingCursor = true
  try {
    for (;;) {
      const changed = change(holder.cursor)
      if (!changed) return
      const cursor = { ...changed, etag: newNonce(place) }
      const { etag } = holder.cursor
      const stored = yield* swapOrReadBack(holder, cursor, etag)
      if (stored.epoch !== epoch) throw leaseLost
      holder.cursor = stored
      if (stored.etag === cursor.etag) return
      if (stored.etag !== etag) count(place.world, 'cursor continued from an earlier write of its own')
    }
  } finally {
    holder.writingCursor = false
  }
}

/** A write that got no answer is read back: it, or an earlier one, may be stored, and may still arrive. */
function* swapOrReadBack({ place, run }: Holder, cursor: Cursor, etag: string): Steps<Cursor> {
  const key = cursorKey(run.runId)
  try {
    return yield* swap(place.s3, key, cursor, etag)
  } catch (error) {
    if (error !== archiveUnavailable) throw error
    const found = yield* get<Cursor>(place.s3, key)
    if (!found) throw error
    for (let pause = 0; pause < BACK_OFF; pause += 1) yield* sleep()
    return found
  }
}

/** Marks a request key to a run. Returns the run that the mark names: another run had the request before. */
export function* mark(place: Place, requestKey: string, runId: string): Steps<string> {
  const body: Mark = { etag: runId, runId }
  if (yield* create(place.s3, markKey(requestKey), body)) return runId
  const found = yield* get<Mark>(place.s3, markKey(requestKey))
  if (!found) throw new Error('A mark was there and is missing.')
  return found.runId
}

/** Stores the exit card; a final one is never overwritten. */
export function* storeCard(holder: Holder, status: FinalStatus | 'incomplete'): Steps<void> {
  const { place, run, cursor } = holder
  const key = cardKey(run.runId)
  const { users, changed, amount } = cursor.totals
  const card: Card = { etag: `${status} ${users} ${changed} ${amount}`, status, totals: cursor.totals }
  for (;;) {
    const found = yield* get<Card>(place.s3, key)
    if (found && found.status !== 'incomplete' && place.mistake !== 'a final card overwritten') return
    const result = yield* put(place.s3, key, card, found ? { ifMatch: found.etag } : { ifNoneMatch: '*' })
    if (result === 'stored') return
    count(place.world, 'card read again after a refused write')
  }
}

/** The intents of the pages that may have been begun and are not named. */
export function* openIntents({ place, run, cursor }: Holder): Steps<readonly Intent[]> {
  const intents: Intent[] = []
  for (const page of firstUnnamed(run, cursor))
    for (const key of yield* list(place.s3, intentsPrefix(run.runId, page))) {
      const intent = yield* get<Intent>(place.s3, key)
      if (intent) intents.push(intent)
    }
  return intents
}

import {
  type Cursor,
  closedRunKey,
  EMPTY,
  type FinalStatus,
  firstUnnamed,
  KINDS,
  type Line,
  logPrefix,
  manifestKey,
  manifestOf,
  type Part,
  partKey,
  type Run,
  type Writer,
  WRITER_KEY,
} from './bucket.ts'
import { type Holder, mark, newNonce, type Place, storeCard, updateCursor } from './holder.ts'
import { withPage, writeParts } from './page.ts'
import { bareLine } from './plan.ts'
import { type Body, create, get, list, put, swap } from './toy-s3.ts'
import { count, type Steps } from './world.ts'

/** What a holder does before its first part, and how it closes the run. */

export const archiveCorrupt = new Error('ArchiveCorrupt')

/**
 * Empties the parts of lower epochs of the pages that predecessors may have begun, so that a late PUT gets
 * 412 and readers of the folder see every line once. The cursor says below which epoch this is done.
 */
export function* emptyPredecessors(holder: Holder): Steps<void> {
  const { place, run, epoch, cursor } = holder
  const { mistake } = place
  if (mistake === 'predecessors not emptied' || mistake === 'keys without an epoch') return
  for (const page of firstUnnamed(run, cursor))
    for (let lower = cursor.emptiedBelow; lower < epoch; lower += 1)
      for (const kind of KINDS) {
        if (kind === 'errors' && mistake === 'errors parts of predecessors not emptied') continue
        yield* empty(holder, partKey(kind, run.runId, page, lower))
      }
  yield* updateCursor(holder, (now) => (now.emptiedBelow < epoch ? { ...now, emptiedBelow: epoch } : null))
}

function* empty({ place }: Holder, key: string): Steps<void> {
  for (;;) {
    if ((yield* put(place.s3, key, EMPTY, { ifNoneMatch: '*' })) === 'stored') return
    const found = yield* get<Part>(place.s3, key)
    if (found?.etag === EMPTY.etag) return
    if (!found) continue
    if ((yield* put(place.s3, key, EMPTY, { ifMatch: found.etag })) !== 'stored') continue
    count(place.world, `${key.split('/')[1]} part of a predecessor overwritten`)
    return
  }
}

/** Cursor `closing`, card, manifest, line of the closed run, cursor `closed`, marks, writer. */
export function* close(holder: Holder, status: FinalStatus): Steps<void> {
  const { place, run } = holder
  const { mistake } = place
  yield* beginClosing(holder, status)
  const decided = holder.cursor.status ?? status
  yield* compareParts(holder)
  yield* storeCard(holder, decided)
  const manifest = manifestOf(holder.cursor)
  if (!(yield* create(place.s3, manifestKey(run.runId), manifest))) throw archiveCorrupt
  const line: Body = { etag: `${decided} ${manifest.etag}` }
  if (!(yield* create(place.s3, closedRunKey(run.runId), line))) throw archiveCorrupt
  if (mistake === 'writer freed before the run is closed') yield* freeWriter(place, run)
  yield* updateCursor(holder, (cursor) =>
    cursor.state === 'closed' ? null : { ...cursor, state: 'closed', lease: null },
  )
  yield* freeWriter(place, run)
}

/**
 * Decides the final status, once. Pages that may have been begun get their outcome: what was committed, and
 * `not_reached` for all other users. They are named in the same write: after some of them are named, other
 * pages would be the first unnamed ones.
 */
function* beginClosing(holder: Holder, status: FinalStatus): Steps<void> {
  const { place, run } = holder
  const { mistake } = place
  const closing = (cursor: Cursor): Cursor => ({
    ...cursor,
    state: 'closing',
    status: cursor.status ?? status,
  })
  if (mistake === 'unnamed pages of a closing run named after it is closing')
    yield* updateCursor(holder, (cursor) => (cursor.state === 'closing' ? null : closing(cursor)))
  else if (holder.cursor.state === 'closing') return
  const begun =
    mistake === 'cancelled without the outcome of unnamed pages' ? [] : firstUnnamed(run, holder.cursor)
  const outcomes: (readonly [number, readonly Line[]])[] = []
  for (const page of begun) {
    const known = holder.recovered.get(page)
    count(
      place.world,
      known?.size ? 'cancelled with a committed unnamed page' : 'cancelled with an unnamed page',
    )
    const users = run.pages[page] ?? []
    const lines = users.map(({ user }) => known?.get(user) ?? bareLine(user, 'not_reached'))
    yield* writeParts(holder, page, lines)
    outcomes.push([page, lines])
  }
  yield* updateCursor(holder, (cursor) =>
    outcomes.reduce((before, [page, lines]) => withPage(holder, before, page, lines), closing(cursor)),
  )
}

/** Compares what S3 lists with what the cursor recorded from the writers. */
function* compareParts({ place, run, cursor }: Holder): Steps<void> {
  for (const kind of KINDS) {
    const keys = new Set(yield* list(place.s3, logPrefix(kind, run.runId)))
    for (const { page, epoch, parts } of cursor.named)
      if (parts[kind] !== null && !keys.has(partKey(kind, run.runId, page, epoch))) throw archiveCorrupt
  }
}

/** Frees writer.json where it names this closed run, marks first. Whoever finds it may do this. */
export function* freeWriter(place: Place, run: Run): Steps<void> {
  const { mistake } = place
  if (mistake !== 'marked only by the opener' && mistake !== 'marked after the first intent')
    yield* mark(place, run.requestKey, run.runId)
  const writer = yield* get<Writer>(place.s3, WRITER_KEY)
  if (writer?.runId !== run.runId) return
  const free: Writer = { etag: newNonce(place), runId: null }
  yield* swap(place.s3, WRITER_KEY, free, writer.etag)
}

/** Ends the invocation in good order: the card says how far it got, and the lease is released. */
export function* release(holder: Holder): Steps<void> {
  yield* storeCard(holder, 'incomplete')
  yield* updateCursor(holder, (cursor) => (cursor.lease ? { ...cursor, lease: null } : null))
}

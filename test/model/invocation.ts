import {
  cancelKey,
  type Cursor,
  cursorKey,
  type Mark,
  markKey,
  type Mode,
  NO_TOTALS,
  type Part,
  partKey,
  type Run,
  runKey,
  type Writer,
  WRITER_KEY,
} from './bucket.ts'
import { freeWriter } from './closing.ts'
import { acquire, type Holder, holding, leaseFrom, mark, newNonce, type Place } from './holder.ts'
import { query } from './toy-ledger.ts'
import { create, get, put, swap } from './toy-s3.ts'
import { type Said, work } from './work.ts'
import { count, sleep, type Steps } from './world.ts'

/** One invocation: what is asked of it, and how it opens, continues, cancels or rolls back a run. */

export type Request =
  | { readonly asks: 'execute'; readonly requestKey: string; readonly restart?: string }
  | { readonly asks: 'rollback'; readonly requestKey: string; readonly rollback: string }
  | { readonly asks: 'resume' | 'cancel'; readonly runId: string }

type Opening = Extract<Request, { requestKey: string }>

export function* invocation(place: Place, name: string, request: Request): Steps<void> {
  const requestKey = 'requestKey' in request ? request.requestKey : null
  const said = yield* answered(place, name, request)
  place.answers.push({ invocation: name, requestKey, ...said })
  count(place.world, `answered ${said.answer}`)
}

function* answered(place: Place, name: string, request: Request): Steps<Said> {
  switch (request.asks) {
    case 'resume':
      return yield* resume(place, name, request.runId)
    case 'cancel':
      return yield* cancel(place, name, request.runId)
    case 'execute':
    case 'rollback':
      return yield* deliver(place, name, request)
  }
}

/**
 * A request with a key: the run that has it is resumed or answered; otherwise it joins the open run or opens
 * one.
 */
function* deliver(place: Place, name: string, request: Opening): Steps<Said> {
  const { requestKey } = request
  const marked = yield* get<Mark>(place.s3, markKey(requestKey))
  if (marked) return yield* resume(place, name, marked.runId)
  if (request.asks === 'execute' && request.restart !== undefined) {
    const { answer } = yield* cancel(place, name, request.restart)
    if (answer !== 'closed') return { runId: request.restart, answer: 'refused' }
  }
  const writer = yield* get<Writer>(place.s3, WRITER_KEY)
  if (!writer?.runId) return yield* open(place, name, request, writer)
  const run = yield* get<Run>(place.s3, runKey(writer.runId))
  const cursor = yield* get<Cursor>(place.s3, cursorKey(writer.runId))
  if (!run || !cursor) return { runId: writer.runId, answer: 'corrupt' }
  if (cursor.state === 'closed') {
    yield* freeWriter(place, run)
    return yield* deliver(place, name, request)
  }
  const target = request.asks === 'rollback' ? request.rollback : null
  const same = run.mode === request.asks && run.target === target && !('restart' in request)
  return same ? yield* resume(place, name, run.runId, request) : { runId: run.runId, answer: 'refused' }
}

/** Prepares a run, then opens it by swapping writer.json. After a lost swap its own cursor is read. */
function* open(place: Place, name: string, request: Opening, writer: Writer | null): Steps<Said> {
  const { s3, world, mistake } = place
  place.runs += 1
  const runId = `run-${place.runs}`
  const mode: Mode = request.asks
  const target = request.asks === 'rollback' ? request.rollback : null
  const pages = target === null ? executePages(place) : yield* rollbackPages(place, target)
  if (!pages) return { runId, answer: 'refused' }
  const { requestKey } = request
  const pagesTotal = pages.length
  const run: Run = { etag: runId, runId, mode, requestKey, target, pages, pagesTotal, concurrency: 2 }
  const now = yield* query('clock', () => world.now)
  const cursor: Cursor = {
    etag: newNonce(place),
    runId,
    state: 'prepared',
    epoch: 1,
    lease: leaseFrom(name, now),
    unreleasedUntil: 0,
    named: [],
    totals: NO_TOTALS,
    emptiedBelow: 1,
    status: null,
  }
  yield* create(s3, runKey(runId), run)
  yield* create(s3, cursorKey(runId), cursor)
  const named: Writer = { etag: newNonce(place), runId }
  const condition = writer ? { ifMatch: writer.etag } : ({ ifNoneMatch: '*' } as const)
  if (mistake === 'a lost writer swap believed') {
    if ((yield* put(s3, WRITER_KEY, named, condition)) !== 'stored') return { runId, answer: 'not opened' }
  } else {
    const stored = yield* swap(s3, WRITER_KEY, named, writer?.etag ?? null)
    if (stored.etag !== named.etag && mistake !== 'a refused writer swap taken as won') {
      const own = yield* get<Cursor>(s3, cursorKey(runId))
      const taken = own?.state !== 'prepared' || own.epoch > 1
      count(world, taken ? 'opened by a lost swap and taken over' : 'writer swap lost')
      return { runId, answer: taken ? 'busy' : 'not opened' }
    }
  }
  return yield* workAndAnswer(holding(place, name, run, cursor), null)
}

function executePages({ frozen }: Place): Run['pages'] {
  return frozen.map((users) => users.map((user) => ({ user, line: null })))
}

/** A rollback's pages are the named pages of the run's mutation log, as the cursor recorded them. */
function* rollbackPages(place: Place, target: string): Steps<Run['pages'] | null> {
  const cursor = yield* get<Cursor>(place.s3, cursorKey(target))
  if (cursor?.state !== 'closed') return null
  const pages: Run['pages'][number][] = []
  for (const { page, epoch, parts } of cursor.named) {
    const part = yield* get<Part>(place.s3, partKey('mutations', target, page, epoch))
    if (part?.etag !== parts.mutations) return null
    if (part.lines.length > 0) pages.push(part.lines.map((line) => ({ user: line.user, line })))
  }
  return pages
}

/**
 * Continues an open run, or gives the card of a closed one. `joins` is the request that found the run open.
 */
function* resume(place: Place, name: string, runId: string, joins: Opening | null = null): Steps<Said> {
  const { s3 } = place
  const run = yield* get<Run>(s3, runKey(runId))
  if (!run) return { runId, answer: 'refused' }
  let wasOpen = false
  for (let reads = 1; ; reads += 1) {
    // In this order: a run that writer.json names has a cursor.
    const writer = yield* get<Writer>(s3, WRITER_KEY)
    const cursor = yield* get<Cursor>(s3, cursorKey(runId))
    if (cursor?.state === 'closed') {
      yield* freeWriter(place, run)
      return yield* answerClosed(place, name, runId, joins)
    }
    if (cursor && writer?.runId === runId) {
      const holder = yield* acquire(place, name, run, cursor)
      if (!holder) return { runId, answer: 'busy' }
      return yield* workAndAnswer(holder, joins)
    }
    // A run is named by writer.json from before it is open until after it is closed. So it is corrupt only if
    // it is open in two reads of the cursor and not named in a read of writer.json between them.
    const isOpen = cursor !== null && cursor.state !== 'prepared'
    if (isOpen && wasOpen) return { runId, answer: 'corrupt' }
    if (!isOpen && reads === 2) return { runId, answer: 'refused' }
    wasOpen = isOpen
  }
}

/** A card answers a request only once its key is marked to that run, as when the request had joined it. */
function* answerClosed(place: Place, name: string, runId: string, joins: Opening | null): Steps<Said> {
  if (!joins || place.mistake === 'a card answered without a mark') return { runId, answer: 'closed' }
  const marked = yield* mark(place, joins.requestKey, runId)
  return marked === runId ? { runId, answer: 'closed' } : yield* resume(place, name, marked)
}

function* workAndAnswer(holder: Holder, joins: Opening | null): Steps<Said> {
  const { place, name } = holder
  const { runId, answer } = yield* work(holder, joins?.requestKey ?? null)
  if (answer === 'resume that run') return yield* resume(place, name, runId)
  if (answer !== 'deliver again') return { runId, answer }
  return joins ? yield* deliver(place, name, joins) : yield* resume(place, name, runId)
}

/** Asks the holder to stop; with no live holder, waits out the lease, settles and closes. */
function* cancel(place: Place, name: string, runId: string): Steps<Said> {
  yield* create(place.s3, cancelKey(runId), { etag: 'cancel' })
  for (let tries = 0; ; tries += 1) {
    const said = yield* resume(place, name, runId)
    if (said.answer !== 'busy' || tries === 10) return said
    yield* sleep()
  }
}

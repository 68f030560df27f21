import { cancelKey, type FinalStatus } from './bucket.ts'
import { archiveCorrupt, close, emptyPredecessors, release } from './closing.ts'
import { type Answer, attemptOpen, type Holder, leaseLost, mark, updateCursor } from './holder.ts'
import { workPage } from './page.ts'
import { settleOpenPages } from './settle.ts'
import { ledgerUnavailable } from './toy-ledger.ts'
import { archiveUnavailable, get } from './toy-s3.ts'
import { count, type Steps, together } from './world.ts'

/** What a holder does with a run, from its lease to the answer of its invocation. */

export type Said = Pick<Answer, 'runId' | 'answer'>
/** The answer; or the run turns out not to be the one that answers, and what to do instead. */
export type Done = Said | { readonly runId: string; readonly answer: 'resume that run' | 'deliver again' }

/** Works on a run until its end or the end of the invocation's time. */
export function* work(holder: Holder, joins: string | null): Steps<Done> {
  const { run } = holder
  try {
    return yield* holdRun(holder, joins)
  } catch (error) {
    if (error === leaseLost) return { runId: run.runId, answer: 'busy' }
    if (error === archiveCorrupt) return { runId: run.runId, answer: 'corrupt' }
    if (error === archiveUnavailable || error === ledgerUnavailable) return yield* endUnavailable(holder)
    if (error !== attemptOpen) throw error
    // A commit may be under way: the lease is kept, and expires.
    return { runId: run.runId, answer: 'incomplete' }
  }
}

/** The lease is released, if that is possible. */
function* endUnavailable(holder: Holder): Steps<Said> {
  const { runId } = holder.run
  try {
    yield* release(holder)
    count(holder.place.world, 'released after a failure')
  } catch (error) {
    if (error !== archiveUnavailable && error !== leaseLost) throw error
  }
  return { runId, answer: 'unavailable' }
}

function* holdRun(holder: Holder, joins: string | null): Steps<Done> {
  const { place, run } = holder
  const { runId } = run
  const { mistake } = place
  if (holder.cursor.state === 'prepared') {
    const marked = yield* firstMark(holder)
    if (marked !== runId) {
      count(place.world, 'stopped because the mark names another run')
      yield* takeOver(holder)
      yield* close(holder, 'stopped')
      return { runId: marked, answer: joins === null ? 'resume that run' : 'deliver again' }
    }
    yield* updateCursor(holder, (cursor) => ({ ...cursor, state: 'open' }))
  }
  if (joins !== null && mistake !== 'joined without a mark') {
    count(place.world, 'joined an open run')
    const marked = yield* mark(place, joins, runId)
    if (marked !== runId) {
      yield* release(holder)
      return { runId: marked, answer: 'resume that run' }
    }
  }
  yield* takeOver(holder)
  const status = holder.cursor.status ?? (yield* workPages(holder))
  if (status === null) {
    yield* release(holder)
    return { runId, answer: 'incomplete' }
  }
  yield* close(holder, status)
  return { runId, answer: 'closed' }
}

/**
 * What predecessors may have left is emptied, and their attempts are settled, before any page is planned or
 * closed.
 */
function* takeOver(holder: Holder): Steps<void> {
  if (holder.epoch === 1) return
  yield* emptyPredecessors(holder)
  if (holder.place.mistake !== 'not settled before planning afresh')
    holder.recovered = yield* settleOpenPages(holder)
}

function* firstMark(holder: Holder): Steps<string> {
  const { place, run, epoch } = holder
  if (place.mistake === 'marked after the first intent') return run.runId
  if (place.mistake === 'marked only by the opener' && epoch > 1) return run.runId
  return yield* mark(place, run.requestKey, run.runId)
}

/** Begins pages in order, at most `concurrency` at once. The final status, or null when pages are left. */
function* workPages(holder: Holder): Steps<FinalStatus | null> {
  const { run, place } = holder
  const before = new Set(holder.cursor.named.map(({ page }) => page))
  let cancelled = false
  function* worker(): Steps<void> {
    while (!cancelled && place.world.now < holder.deadline) {
      while (before.has(holder.nextPage)) holder.nextPage += 1
      const page = holder.nextPage
      if (page >= run.pages.length) return
      holder.nextPage += 1
      if ((yield* get(place.s3, cancelKey(run.runId))) !== null) cancelled = true
      if (!cancelled) yield* workPage(holder, page)
    }
  }
  yield* together(Array.from({ length: run.concurrency }, worker))
  const { named } = holder.cursor
  if (named.length === run.pages.length)
    return named.some(({ parts }) => parts.errors !== null) ? 'complete_with_errors' : 'complete'
  return cancelled ? 'cancelled' : null
}

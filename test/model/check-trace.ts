import {
  type CardView,
  type CursorView,
  type MarkView,
  type RunView,
  type TraceEvent,
  type WriterView,
} from './trace.ts'
import { allowedNext, firstUnnamedPages, nameOf, nothingSeen, partId, type Seen, sentAs } from './transitions.ts'

/**
 * Checks the requests of one invocation against the transitions that the model allows. Returns the violations, each
 * with the number of its event; none means that the invocation kept to the order of 2-run-protocol.
 */
export function checkTrace(events: readonly TraceEvent[]): string[] {
  const runs = new Map<string, Seen>()
  const marks = new Map<string, string>()
  const place: { writer: string | null; working: string } = { writer: null, working: '' }
  const seenOf = (runId: string): Seen => {
    const seen = runs.get(runId) ?? { ...nothingSeen(), marks }
    runs.set(runId, seen)
    seen.writer = place.writer
    return seen
  }
  return events.flatMap((event, index) => {
    const runId = runOf(event, place)
    const seen = seenOf(runId)
    const broken = allowedNext(seen, event)
    observe(seen, event)
    if (seen.held) place.working = runId
    place.writer = writerAfter(event, place.writer)
    return broken.map((rule) => `event ${index + 1}, ${described(event)}: ${rule}`)
  })
}

/** The run that an event is about: that of its key, or the one that writer.json names, or that is worked on. */
function runOf(event: TraceEvent, place: { readonly writer: string | null; readonly working: string }): string {
  if (event.kind === 'list') return event.prefix.split('/').findLast((part) => part !== '') ?? ''
  const name = nameOf(event)
  if ('runId' in name) return name.runId
  if (event.kind === 'put' && name.object === 'writer')
    return (event.body as WriterView).runId ?? place.writer ?? ''
  return place.working
}

function writerAfter(event: TraceEvent, before: string | null): string | null {
  const isWriter = nameOf(event).object === 'writer'
  if (!isWriter || (event.kind !== 'put' && event.kind !== 'get')) return before
  const known = event.result === 'stored' || event.result === 'found'
  return known ? (event.body as WriterView).runId : before
}

/** What is known of the run after an event. */
export function observe(seen: Seen, event: TraceEvent): void {
  switch (event.kind) {
    case 'sql':
      return observeStatement(seen, event)
    case 'list':
      return observeList(seen, event)
    case 'get':
      if (event.result !== 'found') return
      if (seen.sent.has(sentAs(event.key, event.content ?? ''))) return observeStored(seen, event)
      return observeFound(seen, event)
    default: {
      const name = nameOf(event)
      seen.sent.set(sentAs(event.key, event.content), event.body)
      if (name.object === 'intent') seen.lastAttempt.set(name.page, name.attempt)
      if (event.result === 'stored') observeStored(seen, event)
    }
  }
}

function observeStatement(seen: Seen, event: Extract<TraceEvent, { kind: 'sql' }>): void {
  const { statement, attempt = '', result } = event
  if (statement === 'check lease' && result === 'done') seen.leaseChecked.add(attempt)
  if (statement === 'write') seen.leaseChecked.delete(attempt)
  if (statement === 'commit') {
    seen.leaseChecked.delete(attempt)
    if (result !== 'done') seen.uncertain.add(attempt)
  }
  if (statement !== 'find rows' || result !== 'done') return
  if (attempt === '') seen.uncertain.clear()
  else seen.uncertain.delete(attempt)
}

function observeList(seen: Seen, event: Extract<TraceEvent, { kind: 'list' }>): void {
  if (!event.prefix.startsWith('intents/') || event.result !== 'found') return
  const unread = seen.unreadIntents ?? new Set<string>()
  const named = new Set(seen.cursor?.named.map(({ page }) => page))
  for (const key of event.keys) {
    const name = nameOf({ kind: 'get', key, result: 'found' })
    if (name.object === 'intent' && !named.has(name.page) && !seen.readIntents.has(key)) unread.add(key)
  }
  seen.unreadIntents = unread
}

type Stored = Extract<TraceEvent, { kind: 'put' | 'get' }>

/** This invocation's own bytes are stored: by this answer, or by an earlier request whose reply was lost. */
function observeStored(seen: Seen, event: Stored): void {
  const name = nameOf(event)
  const { body } = event
  switch (name.object) {
    case 'cursor':
      return hold(seen, body as CursorView)
    case 'run':
      seen.run = body as RunView
      return
    case 'intent':
      seen.intents.add(name.attempt)
      seen.readIntents.add(event.key)
      return
    case 'part':
      if (name.epoch === seen.cursor?.epoch) seen.parts.add(partId(name.kind, name.page, name.epoch))
      else if (event.content === '') seen.emptied.add(partId(name.kind, name.page, name.epoch))
      return
    case 'mark':
      seen.marks.set(name.requestKey, (body as MarkView).runId)
      return
    case 'card':
      if ((body as CardView).status !== 'incomplete') seen.written.add('card')
      return
    case 'manifest':
    case 'closed run':
      seen.written.add(name.object)
      return
    default:
  }
}

/** Another invocation's bytes, or bytes that were there before. */
function observeFound(seen: Seen, event: Stored): void {
  const name = nameOf(event)
  switch (name.object) {
    case 'cursor':
      if (seen.held) seen.successor = event.body as CursorView
      else seen.cursor = event.body as CursorView
      return
    case 'intent':
      seen.readIntents.add(event.key)
      seen.unreadIntents?.delete(event.key)
      return
    case 'part':
      if (event.content === '') observeStored(seen, event)
      return
    case 'run':
    case 'mark':
    case 'card':
      return observeStored(seen, event)
    default:
  }
}

/** The cursor as this invocation stored it. */
function hold(seen: Seen, cursor: CursorView): void {
  if (!seen.held || cursor.epoch !== seen.cursor?.epoch) {
    seen.successor = null
    seen.begunBefore = firstUnnamedPages({ ...seen, cursor })
    seen.emptiedBelow = cursor.emptiedBelow
    seen.unreadIntents = null
    seen.readIntents.clear()
  }
  seen.cursor = cursor
  seen.held = cursor.lease !== null
}

function described(event: TraceEvent): string {
  switch (event.kind) {
    case 'sql':
      return `${event.statement} ${event.attempt ?? ''}`.trim()
    case 'list':
      return `list ${event.prefix}`
    default:
      return `${event.kind} ${event.key}`
  }
}

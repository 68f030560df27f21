import {
  type CardView,
  type CursorView,
  type MarkView,
  type ObjectName,
  pageOfPrefix,
  parseKey,
  type RunView,
  type TraceEvent,
} from './trace.ts'

/** What one invocation has seen and done with one run. */
export type Seen = {
  run: RunView | null
  /** The cursor as this invocation stored or read it last, and whether it holds the lease since. */
  cursor: CursorView | null
  held: boolean
  /**
   * Another invocation's cursor, read after this one held the lease: requests of pages in flight still
   * follow.
   */
  successor: CursorView | null
  /** Of which pages predecessors may have left parts, and from which epoch on: as the lease was acquired. */
  begunBefore: readonly number[]
  emptiedBelow: number
  /** Contents that were sent and may have been stored: key and content. */
  readonly sent: Map<string, unknown>
  readonly emptied: Set<string>
  readonly parts: Set<string>
  readonly intents: Set<string>
  readonly lastAttempt: Map<number, string>
  /**
   * Pages that predecessors may have begun: those whose intents were not listed yet, and the intents not read
   * yet.
   */
  readonly unlistedPages: Set<number>
  readonly unreadIntents: Set<string>
  readonly leaseChecked: Set<string>
  readonly uncertain: Set<string>
  readonly marks: Map<string, string>
  readonly written: Set<'manifest' | 'card' | 'closed run'>
  writer: string | null
  /** Intents that this invocation has read or stored. */
  readonly readIntents: Set<string>
}

export function nothingSeen(): Seen {
  return {
    run: null,
    cursor: null,
    held: false,
    successor: null,
    begunBefore: [],
    emptiedBelow: 1,
    sent: new Map(),
    emptied: new Set(),
    parts: new Set(),
    intents: new Set(),
    lastAttempt: new Map(),
    unlistedPages: new Set(),
    unreadIntents: new Set(),
    leaseChecked: new Set(),
    uncertain: new Set(),
    marks: new Map(),
    written: new Set(),
    writer: null,
    readIntents: new Set(),
  }
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
    case 'put': {
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
  const page = pageOfPrefix(event.prefix)
  if (page === null || event.result !== 'found') return
  seen.unlistedPages.delete(page)
  for (const key of event.keys) if (!seen.readIntents.has(key)) seen.unreadIntents.add(key)
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
    case 'writer':
    case 'other':
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
      seen.unreadIntents.delete(event.key)
      return
    case 'part':
      if (event.content === '') observeStored(seen, event)
      return
    case 'run':
    case 'mark':
    case 'card':
      return observeStored(seen, event)
    case 'manifest':
    case 'closed run':
    case 'writer':
    case 'other':
  }
}

/** The cursor as this invocation stored it. */
function hold(seen: Seen, cursor: CursorView): void {
  if (!seen.held || cursor.epoch !== seen.cursor?.epoch) {
    seen.successor = null
    seen.begunBefore = firstUnnamedPages({ ...seen, cursor })
    seen.emptiedBelow = cursor.emptiedBelow
    seen.unlistedPages.clear()
    for (const page of seen.begunBefore) seen.unlistedPages.add(page)
    seen.unreadIntents.clear()
    seen.readIntents.clear()
  }
  seen.cursor = cursor
  seen.held = cursor.lease !== null
}

export function sentAs(key: string, content: string): string {
  return `${key}\n${content}`
}

export function partId(kind: string, page: number, epoch: number): string {
  return `${kind} ${page}-${epoch}`
}

export function nameOf(event: TraceEvent): ObjectName {
  return event.kind === 'put' || event.kind === 'get' ? parseKey(event.key) : { object: 'other' }
}

/** In page order, at most `concurrency` pages that the cursor does not name. */
export function firstUnnamedPages({ run, cursor }: Seen): readonly number[] {
  const pages = Array.from({ length: run?.pagesTotal ?? 0 }, (_, page) => page)
  return pages.filter((page) => !isNamed(cursor, page)).slice(0, run?.concurrency)
}

export function isNamed(cursor: CursorView | null, page: number): boolean {
  return cursor?.named.some((named) => named.page === page) ?? false
}

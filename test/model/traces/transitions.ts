import type { CardView, CursorView, ObjectName, TraceEvent, WriterView } from './trace.ts'
import { firstUnnamedPages, isNamed, nameOf, partId, type Seen, sentAs } from './seen.ts'

/** Which request of one invocation may follow which: the order of 2-run-protocol as a table. */

type Rule = {
  readonly rule: string
  readonly breaks: (seen: Seen, event: TraceEvent, name: ObjectName) => boolean
}

const STATES = {
  prepared: ['prepared', 'open', 'closing'],
  open: ['open', 'closing'],
  closing: ['closing', 'closed'],
  closed: [],
} as const satisfies Record<CursorView['state'], readonly CursorView['state'][]>

const LOG_KINDS = ['users', 'mutations', 'errors'] as const

/** One line a rule. A rule sees every event before the event changes what is known. */
export const RULES: readonly Rule[] = [
  {
    rule: 'the lease is acquired before an intent, a part, a manifest or a write',
    breaks: (seen, event, name) =>
      !seen.held &&
      (isPut(event, name, 'intent', 'part', 'manifest', 'closed run') || isSql(event, 'write', 'commit')),
  },
  {
    rule: 'a dry run stores no intent and writes nothing to the ledger',
    breaks: (seen, event, name) =>
      isDryRun(seen) && (isPut(event, name, 'intent') || isSql(event, 'write', 'commit')),
  },
  {
    rule: 'an intent is stored only while the cursor is open',
    breaks: (seen, event, name) => isPut(event, name, 'intent') && seen.cursor?.state !== 'open',
  },
  {
    rule: 'an intent has the epoch of its holder and a number that no other attempt of its page has',
    breaks: (seen, event, name) => {
      if (!isPut(event, name, 'intent') || name.object !== 'intent') return false
      const last = seen.lastAttempt.get(name.page) ?? ''
      const again = last === name.attempt && seen.sent.has(sentAs(event.key, event.content))
      return name.epoch !== seen.cursor?.epoch || (name.attempt <= last && !again)
    },
  },
  {
    rule: 'predecessors are settled before a page is planned, and before the outcome of a page',
    breaks: (seen, event, name) =>
      seen.held &&
      (seen.cursor?.epoch ?? 0) > 1 &&
      !isDryRun(seen) &&
      (isSql(event, 'read') || isPut(event, name, 'intent') || isOwnPart(seen, event, name)) &&
      (seen.unlistedPages.size > 0 || seen.unreadIntents.size > 0),
  },
  {
    rule: 'pages are begun in order, at most `concurrency` at once, and never after they are named',
    breaks: (seen, event, name) =>
      (isPut(event, name, 'intent') || isOwnPart(seen, event, name)) &&
      'page' in name &&
      !firstUnnamedPages(seen).includes(name.page),
  },
  {
    rule: 'predecessors are emptied before the first part',
    breaks: (seen, event, name) => isOwnPart(seen, event, name) && !allEmptied(seen),
  },
  {
    rule: 'a part is created once, in the epoch of its holder; parts of lower epochs are only emptied',
    breaks: (seen, event, name) => {
      if (event.kind !== 'put' || name.object !== 'part' || !seen.cursor) return false
      if (name.epoch === seen.cursor.epoch) return !event.create
      return name.epoch > seen.cursor.epoch || event.content !== '' || isNamed(seen.cursor, name.page)
    },
  },
  {
    rule: 'an intent is stored before its write',
    breaks: (seen, event) => isSql(event, 'write', 'commit') && !seen.intents.has(event.attempt ?? ''),
  },
  {
    rule: 'COMMIT is sent only after the reply that the lease has not expired',
    breaks: (seen, event) => isSql(event, 'commit') && !seen.leaseChecked.has(event.attempt ?? ''),
  },
  {
    rule: 'an uncertain commit is settled before the next attempt and the outcome of its page',
    breaks: (seen, event, name) =>
      (isPut(event, name, 'intent') || isOwnPart(seen, event, name)) &&
      'page' in name &&
      [...seen.uncertain].some((attempt) => Number(attempt.split('-')[0]) === name.page),
  },
  {
    rule: 'the parts of a page are stored before the cursor names it',
    breaks: (seen, event, name) =>
      newlyNamed(seen, event, name).some(
        ({ page, epoch }) =>
          epoch !== seen.cursor?.epoch ||
          ['users', 'mutations'].some((kind) => !seen.parts.has(partId(kind, page, epoch))),
      ),
  },
  {
    rule: 'a cursor write keeps all named pages, raises the epoch only to acquire, and follows the order of states',
    breaks: (seen, event, name) => {
      const next = cursorPut(event, name)
      const before = next && cursorBefore(seen, next)
      if (!next || !before) return false
      const kept = before.named.every(({ page }) => isNamed(next, page))
      const acquires = !seen.held || before === seen.successor
      return (
        !kept ||
        next.epoch !== before.epoch + (acquires ? 1 : 0) ||
        !STATES[before.state].some((state) => state === next.state)
      )
    },
  },
  {
    rule: 'a run is opened only when its request key is marked to it and, if it writes, writer.json names it',
    breaks: (seen, event, name) => {
      const opens = seen.cursor?.state === 'prepared' && cursorPut(event, name)?.state === 'open'
      if (!opens || name.object !== 'cursor') return false
      return !isMarked(seen, name.runId) || (seen.writer !== name.runId && !isDryRun(seen))
    },
  },
  {
    rule: 'a cursor that becomes `closing` names every page that may have been begun',
    breaks: (seen, event, name) => {
      const next = cursorPut(event, name)
      const before = next && cursorBefore(seen, next)
      if (next?.state !== 'closing' || !before || before.state === 'closing') return false
      return firstUnnamedPages({ ...seen, cursor: before }).some((page) => !isNamed(next, page))
    },
  },
  {
    rule: 'the final card follows the cursor `closing`',
    breaks: (seen, event, name) => isFinalCard(event, name) && seen.cursor?.state !== 'closing',
  },
  {
    rule: 'the manifest and the line of the closed run follow the final card, which the manifest names',
    breaks: (seen, event, name) => !seen.written.has('card') && isPut(event, name, 'manifest', 'closed run'),
  },
  {
    rule: 'the cursor is closed after card, manifest and the line of the closed run',
    breaks: (seen, event, name) => cursorPut(event, name)?.state === 'closed' && seen.written.size < 3,
  },
  {
    rule: 'writer.json names a run only after it is prepared',
    breaks: (seen, event, name) =>
      isPut(event, name, 'writer') &&
      (event.body as WriterView).runId !== null &&
      !(seen.run && seen.cursor?.state === 'prepared'),
  },
  {
    rule: 'writer.json is freed only after the run is closed, and its request key is marked',
    breaks: ({ run, cursor, successor, marks }, event, name) =>
      isPut(event, name, 'writer') &&
      (event.body as WriterView).runId === null &&
      !(
        (successor ?? cursor)?.state === 'closed' &&
        run &&
        (run.requestKey === null || marks.has(run.requestKey))
      ),
  },
]

/** The rules that the event breaks after what was seen: none when the transition is allowed. */
export function allowedNext(seen: Seen, event: TraceEvent): readonly string[] {
  const name = nameOf(event)
  return RULES.filter(({ breaks }) => breaks(seen, event, name)).map(({ rule }) => rule)
}

/** Whether a run without a key, or with its key marked to it, may be opened and freed. */
export function isMarked({ run, marks }: Seen, runId: string): boolean {
  return run !== null && (run.requestKey === null || marks.get(run.requestKey) === runId)
}

function isDryRun({ run }: Seen): boolean {
  return run?.mode.endsWith('dry-run') ?? false
}

function allEmptied({ cursor, begunBefore, emptiedBelow, emptied }: Seen): boolean {
  const epoch = cursor?.epoch ?? 0
  const lower = Array.from({ length: Math.max(0, epoch - emptiedBelow) }, (_, index) => emptiedBelow + index)
  return begunBefore.every((page) =>
    lower.every((below) => LOG_KINDS.every((kind) => emptied.has(partId(kind, page, below)))),
  )
}

function isPut(
  event: TraceEvent,
  name: ObjectName,
  ...objects: readonly ObjectName['object'][]
): event is Extract<TraceEvent, { kind: 'put' }> {
  return event.kind === 'put' && objects.includes(name.object)
}

function isSql(
  event: TraceEvent,
  ...statements: readonly string[]
): event is Extract<TraceEvent, { kind: 'sql' }> {
  return event.kind === 'sql' && statements.includes(event.statement)
}

function isOwnPart({ cursor }: Seen, event: TraceEvent, name: ObjectName): boolean {
  return event.kind === 'put' && name.object === 'part' && name.epoch === cursor?.epoch
}

function isFinalCard(event: TraceEvent, name: ObjectName): boolean {
  return isPut(event, name, 'card') && (event.body as CardView).status !== 'incomplete'
}

function cursorPut(event: TraceEvent, name: ObjectName): CursorView | null {
  return isPut(event, name, 'cursor') ? (event.body as CursorView) : null
}

function newlyNamed(seen: Seen, event: TraceEvent, name: ObjectName): CursorView['named'] {
  const next = cursorPut(event, name)
  if (!next) return []
  const before = cursorBefore(seen, next)
  return next.named.filter(({ page }) => !isNamed(before, page))
}

/**
 * The cursor that a cursor write changes: this holder's own, or a successor's when the lease is acquired
 * again.
 */
function cursorBefore({ cursor, successor }: Seen, next: CursorView): CursorView | null {
  return successor && next.epoch > successor.epoch ? successor : cursor
}

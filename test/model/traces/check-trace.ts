import { nameOf, nothingSeen, observe, type Seen } from './seen.ts'
import { runOfPrefix, type TraceEvent, type WriterView } from './trace.ts'
import { allowedNext } from './transitions.ts'

/**
 * Checks the requests of one invocation against the transitions that the model allows. Returns the
 * violations, each with the number of its event; none means that the invocation kept to the order of
 * 2-run-protocol.
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

/**
 * The run that an event is about: that of its key, or the one that writer.json names, or that is worked on.
 */
function runOf(
  event: TraceEvent,
  place: { readonly writer: string | null; readonly working: string },
): string {
  if (event.kind === 'list') return runOfPrefix(event.prefix) ?? place.working
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

function described(event: TraceEvent): string {
  switch (event.kind) {
    case 'sql':
      return `${event.statement} ${event.attempt ?? ''}`.trim()
    case 'list':
      return `list ${event.prefix}`
    case 'put':
    case 'get':
      return `${event.kind} ${event.key}`
  }
}

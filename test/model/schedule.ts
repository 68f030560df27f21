import { type Cursor, cursorKey, KINDS, partKey, type Writer, WRITER_KEY } from './bucket.ts'
import { check, compareSnapshot, snapshot } from './check.ts'
import { chooseFaults, NO_FAULTS } from './faults.ts'
import type { Place } from './holder.ts'
import { invocation, type Request } from './invocation.ts'
import type { Mistake } from './mistakes.ts'
import { createLedger, isFree } from './toy-ledger.ts'
import type { TraceEvent } from './traces/trace.ts'
import { arrive, count, createWorld, start, step, wake, type World } from './world.ts'

/**
 * One schedule from its seed: an execute run under faults, then fair invocations until it is closed, and
 * often its rollback in the same way. At the end everything that is still on its way arrives, and every stall
 * ends.
 */

export type Result = {
  readonly violations: readonly string[]
  readonly counts: ReadonlyMap<string, number>
  readonly schedule: readonly string[] | null
  readonly traces: ReadonlyMap<string, readonly TraceEvent[]> | null
}

const MAX_STEPS = 3000
const FAIR_INVOCATIONS = 12

export function runSchedule(seed: number, mistake: Mistake | null = null, recording = false): Result {
  const world = createWorld(seed, recording)
  const place = createPlace(world, mistake)
  const { random } = world
  const errors: Error[] = []
  const closed = new Map<string, ReadonlyMap<string, string>>()
  const spawn = (name: string, request: Request): void => {
    start(world, name, invocation(place, name, request), (error) => {
      if (error) errors.push(error)
      noteClosed(place, closed)
    })
  }
  withFaults(world, place, executeRequests(world), spawn, 'A')
  const first = finish(place, spawn, 'B', { asks: 'execute', requestKey: 'k1' })
  noteClosed(place, closed)
  if (first && random.chance(0.5)) {
    const rollback: Request = { asks: 'rollback', requestKey: 'r1', rollback: first }
    withFaults(world, place, rollbackRequests(world, rollback), spawn, 'C')
    finish(place, spawn, 'D', rollback)
    noteClosed(place, closed)
  }
  world.faults = NO_FAULTS
  drain(world)
  finish(place, spawn, 'E', null)
  drain(world)
  const violations = [
    ...errors.filter(({ message }) => !ENDS.has(message)).map((error) => String(error.stack)),
    ...check(place),
    ...[...closed].flatMap(([runId, before]) => compareSnapshot(place, runId, before)),
  ]
  return { violations, counts: world.counts, schedule: world.schedule, traces: world.traces }
}

/** Errors that end an invocation before it holds a run. */
const ENDS = new Set(['ArchiveUnavailable', 'LedgerUnavailable'])

function createPlace(world: World, mistake: Mistake | null): Place {
  const { random } = world
  const pages = random.pick([1, 2, 2, 3, 3, 4])
  const frozen = Array.from({ length: pages }, (_, page) => [2 * page, 2 * page + 1])
  const opened = new Set<string>()
  const errorsParts = new Set<string>()
  const watch: Place['s3']['watch'] = (key, body, result, before) => {
    if (key === WRITER_KEY) {
      const { runId } = body as Writer
      if (result === 'stored' && runId) opened.add(runId)
    }
    const kind = KINDS.find((one) => key.startsWith(`logs/${one}/`))
    if (kind === 'errors' && body.etag !== '' && result === 'stored') errorsParts.add(key)
    if (kind && body.etag !== '' && before?.etag === '' && result === 'precondition failed')
      count(world, `late ${kind} part refused by an emptied one`)
  }
  return {
    world,
    mistake,
    frozen,
    opened,
    errorsParts,
    s3: { objects: new Map(), watch, conflict: () => world.faults.rate > 0 && random.next() < 0.01 },
    ledger: createLedger(2 * pages),
    damage: random.chance(0.3) ? random.between(1, 5) : 0,
    answers: [],
    runs: 0,
    nonces: 0,
  }
}

function executeRequests({ random }: World): readonly Request[] {
  const requests: Request[] = [{ asks: 'execute', requestKey: 'k1' }]
  const others = random.between(0, 5)
  const cancels = random.chance(0.15)
  for (let index = 0; index < others; index += 1) {
    const chosen = random.next()
    if (cancels && chosen < 0.3) requests.push({ asks: 'cancel', runId: 'run-1' })
    else if (cancels && chosen < 0.4) requests.push({ asks: 'execute', requestKey: 'k3', restart: 'run-1' })
    else if (chosen < 0.6) requests.push({ asks: 'execute', requestKey: 'k1' })
    else if (chosen < 0.8) requests.push({ asks: 'execute', requestKey: 'k2' })
    else requests.push({ asks: 'resume', runId: 'run-1' })
  }
  return requests
}

function rollbackRequests({ random }: World, rollback: Request): readonly Request[] {
  const requests: Request[] = [rollback]
  const others = random.between(0, 5)
  for (let index = 0; index < others; index += 1)
    requests.push(
      random.chance(0.7) ? rollback : { asks: 'execute', requestKey: random.pick(['k1', 'k2', 'k2']) },
    )
  return requests
}

/** Starts the requests one after the other, at any time, while the network and the processes misbehave. */
function withFaults(
  world: World,
  place: Place,
  requests: readonly Request[],
  spawn: (name: string, request: Request) => void,
  phase: string,
): void {
  const { random } = world
  world.faults = chooseFaults(random)
  world.stickiness = random.pick([0, 0.5, 0.9])
  const activity = random.pick([0, 0.01, 0.05, 0.1])
  const arrival = random.pick([0.005, 0.02, 0.1])
  world.unsteadyClock = random.chance(0.5)
  let started = 0
  for (let steps = 0; steps < MAX_STEPS; steps += 1) {
    const ran = step(world)
    if (activity > 0 && random.next() < activity) happen(place, phase)
    if (ran && random.next() >= arrival) continue
    const request = requests[started]
    if (!request) {
      if (ran) continue
      return
    }
    if (!ran && random.chance(0.7)) world.now += 60
    started += 1
    spawn(`${phase}${started}`, request)
  }
}

/** What other writers do to the ledger meanwhile. */
function happen(place: Place, phase: string): void {
  const { world, ledger } = place
  const { random } = world
  const user = random.pick(ledger.users)
  if (!isFree(world, user, null)) return
  const chosen = random.next()
  if (chosen < 0.4) user.used += 1
  else if (chosen < 0.9) user.baseline += 1
  // Rows of a run that is open are not deleted by others: an absent row could not be told from a lost commit.
  else if (phase === 'C' && user.row && stateOf(place, user.row.runId) === 'closed') user.row = null
}

/** Fair invocations until no writing run is open. Returns the first run that was closed, if any. */
function finish(
  place: Place,
  spawn: (name: string, request: Request) => void,
  phase: string,
  request: Request | null,
): string | null {
  const { world, s3 } = place
  world.faults = NO_FAULTS
  world.unsteadyClock = false
  for (let number = 1; number <= FAIR_INVOCATIONS; number += 1) {
    for (let steps = 0; steps < MAX_STEPS && step(world); steps += 1);
    const writer = s3.objects.get(WRITER_KEY) as Writer | undefined
    const closed = [...place.opened].find((runId) => stateOf(place, runId) === 'closed')
    if (!writer?.runId && (closed !== undefined || !request)) return closed ?? null
    world.now += 130
    if (writer?.runId) spawn(`${phase}${number}`, { asks: 'resume', runId: writer.runId })
    else if (request) spawn(`${phase}${number}`, request)
  }
  return null
}

/** All that is delayed arrives, and every stall ends. */
function drain(world: World): void {
  do {
    wake(world, Infinity)
    while (world.delayed.length > 0) arrive(world)
    for (let steps = 0; steps < MAX_STEPS && step(world); steps += 1);
  } while (world.delayed.length > 0 || world.stalled.length > 0)
}

function noteClosed(place: Place, closed: Map<string, ReadonlyMap<string, string>>): void {
  for (const runId of place.opened)
    if (!closed.has(runId) && stateOf(place, runId) === 'closed') {
      closed.set(runId, snapshot(place, runId))
      countErrorsParts(place, runId)
    }
}

function stateOf({ s3 }: Place, runId: string): Cursor['state'] | undefined {
  return (s3.objects.get(cursorKey(runId)) as Cursor | undefined)?.state
}

/**
 * A page whose first holder had errors and whose last one had none: the errors part that was stored is empty.
 */
function countErrorsParts({ s3, world, errorsParts }: Place, runId: string): void {
  const cursor = s3.objects.get(cursorKey(runId)) as Cursor
  for (const { page, parts } of cursor.named)
    if (
      parts.errors === null &&
      [...errorsParts].some((key) => key.startsWith(partKey('errors', runId, page, 0).slice(0, -10)))
    )
      count(world, 'page without errors after a predecessor that had some')
}

import { type Random, randomFrom } from '../support/random.ts'
import { chooseFate, type Fate, type Faults, type Network, NO_FAULTS } from './faults.ts'
import { eventOf, type TraceEvent } from './traces/trace.ts'

/**
 * A seeded scheduler. Processes (invocations) are generators that yield requests; one step lets one request
 * reach its server, or lets it be lost, delayed or repeated, or stops the process. The same seed gives the
 * same schedule.
 */

/** What a process gets instead of a reply: the request was lost, or its reply, or it is still on its way. */
export const LOST = Symbol('no reply')

export type Request = {
  readonly kind: 'put' | 'get' | 'list' | 'sql' | 'wait'
  /** The key, the prefix or the kind of statement. */
  readonly name: string
  readonly attempt?: string | null
  /** What the server does when the request reaches it, and its reply. */
  readonly serve: () => unknown
  readonly network: Network
  readonly body?: { readonly etag: string }
  readonly create?: boolean
}

type Fork = { readonly fork: readonly Steps<unknown>[] }
export type Steps<T> = Generator<Request | Fork, T, unknown>

export type Process = {
  readonly name: string
  state: 'running' | 'stalled' | 'ended'
  wakesAt: number
  parked: Thread[]
}

type Thread = {
  readonly process: Process
  readonly steps: Steps<unknown>
  readonly parent: Thread | null
  readonly onEnd: ((error: Error | null) => void) | null
  request: Request | null
  children: number
  error: Error | null
}

export type World = {
  readonly random: Random
  /** The database's clock. */
  now: number
  /**
   * How far it may be set back: to the expiry of a lease that the next holder has found expired before it plans.
   * From what is later than that, nothing in the bucket could protect.
   */
  setBackTo: number
  /** Whether it is set back now and then, where that does most harm. */
  unsteadyClock: boolean
  faults: Faults
  /** How often the thread that ran last runs again. */
  stickiness: number
  readonly runnable: Thread[]
  readonly stalled: Process[]
  readonly delayed: Request[]
  readonly counts: Map<string, number>
  readonly schedule: string[] | null
  readonly traces: Map<string, TraceEvent[]> | null
  last: Thread | null
}

export function createWorld(seed: number, recording: boolean): World {
  return {
    random: randomFrom(seed),
    now: 1,
    setBackTo: 1,
    unsteadyClock: false,
    faults: NO_FAULTS,
    stickiness: 0,
    runnable: [],
    stalled: [],
    delayed: [],
    counts: new Map(),
    schedule: recording ? [] : null,
    traces: recording ? new Map() : null,
    last: null,
  }
}

/** When a lease is acquired, a clock that is unsteady may be set back to before the expiry of one before it. */
export function perhapsSetBack(world: World, expiredAt: number): void {
  const { random, now, setBackTo } = world
  if (!world.unsteadyClock || expiredAt === 0 || expiredAt >= now || random.chance(0.2)) return
  world.now = Math.max(setBackTo, expiredAt - random.between(0, 150))
  note(world, () => 'the clock is set back')
}

/** Counts a situation, so that a test can assert that schedules reach it. */
export function count(world: World, situation: string): void {
  world.counts.set(situation, (world.counts.get(situation) ?? 0) + 1)
}

export function start(
  world: World,
  name: string,
  steps: Steps<unknown>,
  onEnd: (error: Error | null) => void,
): Process {
  const process: Process = { name, state: 'running', wakesAt: 0, parked: [] }
  note(world, () => `${name} starts`)
  advance(world, newThread(process, steps, null, onEnd), undefined)
  return process
}

/**
 * Runs several generators of one process side by side; ends when all have ended, with the first error if any.
 */
export function* together(steps: readonly Steps<unknown>[]): Steps<void> {
  yield { fork: steps }
}

/** Waits until something in the same process holds. */
export function* until(condition: () => boolean): Steps<void> {
  while (!condition()) yield WAIT
}

const WAIT: Request = { kind: 'wait', name: 'wait', serve: () => null, network: 'none' }

export function* sleep(): Steps<void> {
  yield WAIT
}

/** One step. False when no process can run. */
export function step(world: World): boolean {
  const { random, runnable, delayed } = world
  world.now += 1
  if (world.stalled.length > 0) wake(world, world.now)
  if (delayed.length > 0 && random.next() < 0.12) arrive(world)
  if (runnable.length === 0) return false
  const sticky = world.last?.request && random.next() < world.stickiness ? runnable.indexOf(world.last) : -1
  const index = sticky >= 0 ? sticky : Math.floor(random.next() * runnable.length)
  const thread = runnable[index]
  if (!thread?.request) throw new Error('A runnable thread has a request.')
  world.last = thread
  const { network, name } = thread.request
  meet(world, thread, thread.request, chooseFate(random, world.faults, network, name))
  return true
}

/** Wakes the processes whose stall ends by `now`. */
export function wake(world: World, now: number): void {
  for (let index = world.stalled.length - 1; index >= 0; index -= 1) {
    const process = world.stalled[index]
    if (!process || process.wakesAt > now) continue
    world.stalled.splice(index, 1)
    process.state = 'running'
    world.runnable.push(...process.parked)
    process.parked = []
    note(world, () => `${process.name} continues after a stall`)
  }
}

/** Lets one delayed request reach its server, or be lost for ever. */
export function arrive(world: World): void {
  const index = Math.floor(world.random.next() * world.delayed.length)
  const [request] = world.delayed.splice(index, 1)
  if (!request) return
  const lost = world.random.next() < 0.2
  const answer = lost ? LOST : request.serve()
  note(world, () => `late: ${described(request)} ${said(answer)}`)
}

function meet(world: World, thread: Thread, request: Request, { served, delayed, ends }: Fate): void {
  const answer = served ? request.serve() : LOST
  if (delayed) world.delayed.push(request)
  switch (ends) {
    case 'reply':
      return reply(world, thread, request, answer)
    case 'no reply':
      return reply(world, thread, request, LOST)
    case 'crash':
      thread.process.state = 'ended'
      park(world, thread.process)
      thread.process.parked = []
      return note(world, () => `${thread.process.name} crashes at ${described(request)}`)
    case 'stall':
      if (served) thread.request = { ...request, serve: () => answer }
      stall(world, thread.process)
      note(world, () => `${thread.process.name} stalls at ${described(request)}`)
  }
}

function stall(world: World, process: Process): void {
  process.state = 'stalled'
  process.wakesAt = world.now + world.random.between(3, 250)
  park(world, process)
  world.stalled.push(process)
}

function park(world: World, process: Process): void {
  for (let index = world.runnable.length - 1; index >= 0; index -= 1) {
    const thread = world.runnable[index]
    if (thread?.process !== process) continue
    world.runnable.splice(index, 1)
    process.parked.push(thread)
  }
}

function reply(world: World, thread: Thread, request: Request, answer: unknown): void {
  note(world, () => `${thread.process.name}: ${described(request)} ${said(answer)}`)
  record(world, thread.process, request, answer)
  world.runnable.splice(world.runnable.indexOf(thread), 1)
  thread.request = null
  advance(world, thread, answer)
}

function record(world: World, process: Process, request: Request, answer: unknown): void {
  if (!world.traces || request.kind === 'wait') return
  const trace = world.traces.get(process.name) ?? []
  trace.push(eventOf(request, answer === LOST ? undefined : answer))
  world.traces.set(process.name, trace)
}

function advance(world: World, thread: Thread, value: unknown, error: Error | null = null): void {
  let result: IteratorResult<Request | Fork, unknown>
  try {
    result = error ? thread.steps.throw(error) : thread.steps.next(value)
  } catch (thrown) {
    end(world, thread, thrown as Error)
    return
  }
  if (result.done) end(world, thread, null)
  else if ('fork' in result.value) fork(world, thread, result.value.fork)
  else {
    thread.request = result.value
    world.runnable.push(thread)
  }
}

function fork(world: World, thread: Thread, steps: readonly Steps<unknown>[]): void {
  thread.children = steps.length
  for (const child of steps) advance(world, newThread(thread.process, child, thread, null), undefined)
}

function end(world: World, thread: Thread, error: Error | null): void {
  const { parent } = thread
  if (!parent) {
    thread.process.state = 'ended'
    note(world, () => `${thread.process.name} ends${error ? `: ${error.message}` : ''}`)
    thread.onEnd?.(error)
    return
  }
  parent.children -= 1
  parent.error ??= error
  if (parent.children === 0) advance(world, parent, undefined, parent.error)
}

function newThread(
  process: Process,
  steps: Steps<unknown>,
  parent: Thread | null,
  onEnd: Thread['onEnd'],
): Thread {
  return { process, steps, parent, onEnd, request: null, children: 0, error: null }
}

/** Strings are made only where the schedule is recorded: making them takes longer than a step. */
function note(world: World, text: () => string): void {
  world.schedule?.push(`${world.now} ${text()}`)
}

function described({ kind, name, attempt }: Request): string {
  return attempt ? `${kind} ${name} of ${attempt}` : `${kind} ${name}`
}

function said(answer: unknown): string {
  if (answer === LOST) return '→ no reply'
  return typeof answer === 'string' || typeof answer === 'boolean' ? `→ ${answer}` : ''
}

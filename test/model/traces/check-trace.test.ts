import { describe, expect, test } from 'vitest'
import { checkTrace } from './check-trace.ts'
import type { Mistake } from '../mistakes.ts'
import { runSchedule } from '../schedule.ts'
import type { CursorView, TraceEvent } from './trace.ts'

const RUN = { mode: 'execute', requestKey: 'k', concurrency: 1, pagesTotal: 1 }
const ATTEMPT = '00000-0001-01'

const OPEN: CursorView = {
  state: 'open',
  lease: 'A',
  epoch: 1,
  named: [],
  emptiedBelow: 1,
}

function put(key: string, body: unknown, content = JSON.stringify(body), create = true): TraceEvent {
  return { kind: 'put', key, create, result: 'stored', content, body }
}

function sql(statement: 'read' | 'lock' | 'write' | 'check lease' | 'commit', attempt?: string): TraceEvent {
  return { kind: 'sql', statement, ...(attempt !== undefined && { attempt }), result: 'done' }
}

function cursor(changes: Partial<CursorView>): TraceEvent {
  const body = {
    state: 'prepared',
    lease: 'A',
    epoch: 1,
    named: [],
    emptiedBelow: 1,
    ...changes,
  }
  return put('runs/R/cursor.json', body, JSON.stringify(body), changes.state === 'prepared')
}

const named = [{ page: 0, epoch: 1 }]

/** An execute run of one page in one invocation, step by step. */
const GOOD = {
  run: put('runs/R/run.json', RUN),
  prepared: cursor({ state: 'prepared' }),
  writer: put('control/writer.json', { runId: 'R' }),
  mark: put('control/requests/k.json', { runId: 'R' }),
  open: cursor({ state: 'open' }),
  read: sql('read'),
  intent: put(`intents/R/${ATTEMPT}.jsonl`, undefined, 'inputs'),
  lock: sql('lock', ATTEMPT),
  write: sql('write', ATTEMPT),
  checkLease: sql('check lease', ATTEMPT),
  commit: sql('commit', ATTEMPT),
  users: put('logs/users/R/00000-0001.jsonl', undefined, 'lines'),
  mutations: put('logs/mutations/R/00000-0001.jsonl', undefined, 'lines'),
  named: cursor({ state: 'open', named }),
  closing: cursor({ state: 'closing', named }),
  card: put('runs/R/summary.json', { status: 'complete' }),
  manifest: put('runs/R/manifest.json', {}),
  closedRun: put('logs/runs/R.jsonl', undefined, 'line'),
  closed: cursor({ state: 'closed', lease: null, named }),
  freed: put('control/writer.json', { runId: null }, 'free', false),
} as const satisfies Record<string, TraceEvent>
type Step = keyof typeof GOOD

function without(...left: readonly Step[]): readonly TraceEvent[] {
  return Object.entries(GOOD)
    .filter(([step]) => !left.some((one) => one === step))
    .map(([, event]) => event)
}

test('an execute run of one page breaks no rule', () => {
  expect(checkTrace(without())).toEqual([])
})

describe('a step that is left out breaks the rule of the next one that needs it', () => {
  test.each<[Step, string]>([
    ['prepared', 'writer.json names a run only after it is prepared'],
    ['writer', 'if it writes, writer.json names it'],
    ['mark', 'its request key is marked to it'],
    ['open', 'an intent is stored only while the cursor is open'],
    ['intent', 'an intent is stored before its write'],
    ['checkLease', 'COMMIT is sent only after the reply'],
    ['users', 'the parts of a page are stored before the cursor names it'],
    ['mutations', 'the parts of a page are stored before the cursor names it'],
    ['closing', 'the final card follows the cursor `closing`'],
    ['card', 'the manifest and the line of the closed run follow the final card'],
    ['manifest', 'the cursor is closed after card, manifest'],
    ['closedRun', 'the cursor is closed after card, manifest'],
    ['closed', 'writer.json is freed only after the run is closed'],
  ])('%s', (step, rule) => {
    expect(checkTrace(without(step)).join('\n')).toContain(rule)
  })
})

describe('a second holder', () => {
  const lease = 'B'
  const found: readonly TraceEvent[] = [
    { kind: 'get', key: 'runs/R/run.json', result: 'found', content: 'run', body: RUN },
    { kind: 'get', key: 'runs/R/cursor.json', result: 'found', content: 'first', body: OPEN },
  ]
  const acquired = cursor({ state: 'open', lease, epoch: 2 })
  const emptied = ['users', 'mutations', 'errors'].map((kind) =>
    put(`logs/${kind}/R/00000-0001.jsonl`, undefined, ''),
  )
  const listed: TraceEvent = {
    kind: 'list',
    prefix: 'intents/R/00000-',
    result: 'found',
    keys: [`intents/R/${ATTEMPT}.jsonl`],
  }
  const intent: TraceEvent = {
    kind: 'get',
    key: `intents/R/${ATTEMPT}.jsonl`,
    result: 'found',
    content: 'inputs',
  }
  const part = put('logs/users/R/00000-0002.jsonl', undefined, 'lines')

  test('empties what its predecessor may have left and settles its attempts before a part', () => {
    expect(checkTrace([...found, acquired, ...emptied, listed, intent, sql('read'), part])).toEqual([])
  })

  test('may not leave the errors part of its predecessor', () => {
    const trace = [...found, acquired, ...emptied.slice(0, 2), listed, intent, part]
    expect(checkTrace(trace).join('\n')).toContain('predecessors are emptied before the first part')
  })

  test('may not plan before it has looked for intents', () => {
    const trace = [...found, acquired, ...emptied, sql('read')]
    expect(checkTrace(trace).join('\n')).toContain('predecessors are settled before a page is planned')
  })

  test('may not plan before it has read every intent', () => {
    const trace = [...found, acquired, ...emptied, listed, sql('read')]
    expect(checkTrace(trace).join('\n')).toContain('predecessors are settled before a page is planned')
  })

  test('may not write before it has the lease', () => {
    expect(checkTrace([...found, part]).join('\n')).toContain('the lease is acquired before')
  })
})

test('a run that is cancelled names the page that was begun when it begins to close', () => {
  const events = without('named').map((event) =>
    event === GOOD.closing ? cursor({ state: 'closing' }) : event,
  )
  expect(checkTrace(events).join('\n')).toContain('names every page that may have been begun')
  expect(checkTrace(without('named'))).toEqual([])
})

test('a reply that was lost is known again when the object is read back', () => {
  const lost: TraceEvent = { ...GOOD.intent, result: 'lost' }
  const { key, content } = GOOD.intent as Extract<TraceEvent, { kind: 'put' }>
  const readBack: TraceEvent = { kind: 'get', key, result: 'found', content }
  const events = Object.entries(GOOD).flatMap(([step, event]) =>
    step === 'intent' ? [lost, readBack] : [event],
  )
  expect(checkTrace(events)).toEqual([])
})

describe('the mistakes of the model that show in the requests of one invocation', () => {
  const VISIBLE: readonly Mistake[] = [
    'no clock check before COMMIT',
    'page named in the cursor before its parts are written',
    'predecessors not emptied',
    'errors parts of predecessors not emptied',
    'an uncertain commit taken as not done',
    'not settled before planning afresh',
    'attempt numbers repeated',
    'marked after the first intent',
    'marked only by the opener',
    'writer freed before the run is closed',
  ]

  test.each(VISIBLE)('%s', { timeout: 300_000 }, (mistake) => {
    let caught = false
    for (let seed = 1; seed <= 2000 && !caught; seed += 1)
      caught = [...(runSchedule(seed, mistake, true).traces ?? [])].some(
        ([, trace]) => checkTrace(trace).length > 0,
      )
    expect(caught).toBe(true)
  })
})

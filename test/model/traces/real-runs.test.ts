import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { dieAt, isCursorWrite, isIntent, isUsersPart, revive } from '../../support/between.ts'
import { setClock } from '../../support/clock.ts'
import { failureOf, type InvocationOptions, type JobPlace } from '../../support/job.ts'
import { timeForPages } from '../../support/stops.ts'
import { freshTeam, LATER, type Team } from '../../support/places/team.ts'
import { checkTrace } from './check-trace.ts'
import { recordInvocation } from './recorder.ts'
import type { TraceEvent } from './trace.ts'

/**
 * The requests of real invocations, on PostgreSQL and S3, keep to the transitions of the model:
 * 2-run-protocol as a table, in transitions.ts.
 */

const USERS = 6
const PAGES = { execute: true, batchSize: 2, concurrency: 1 }

let team: Team
beforeEach(async () => {
  team = await freshTeam(USERS)
})
afterEach(() => team.drop())

type Recorded = { readonly card: ExitCard; readonly events: readonly TraceEvent[] }

async function invoke(event: object, options: InvocationOptions = {}): Promise<Recorded> {
  const events: TraceEvent[] = []
  const card = await recordInvocation(place(), event, events, options)
  expect(checkTrace(events)).toEqual([])
  return { card, events }
}

const place = (): JobPlace => ({ databaseUrl: team.url, bucket: team.bucket })

/** How often an invocation took a step: a COMMIT, or a PUT of an object of this kind. */
const commits = ({ events }: Pick<Recorded, 'events'>): number => countOf(events, isCommit)
const puts = ({ events }: Pick<Recorded, 'events'>, key: RegExp): number =>
  countOf(events, (event) => event.kind === 'put' && key.test(event.key))

function countOf(events: readonly TraceEvent[], which: (event: TraceEvent) => boolean): number {
  return events.filter(which).length
}

function isCommit(event: TraceEvent): boolean {
  return event.kind === 'sql' && event.statement === 'commit'
}

test.each([1, 3])('an execute of several pages, %i at a time', async (concurrency) => {
  const run = await invoke({ ...PAGES, concurrency })
  expect(run.card).toMatchObject({ status: 'complete', totals: { usersProcessed: USERS } })
  expect([commits(run), puts(run, /^intents\//), puts(run, /^logs\/users\//)]).toEqual([3, 3, 3])
})

test('a dry run, and the execute of its plan', async () => {
  const dryRun = await invoke({ batchSize: 2 })
  expect(dryRun.card.status).toBe('complete')
  expect(commits(dryRun)).toBe(0)
  const run = await invoke({ execute: true, plan: dryRun.card.runId })
  expect(run.card.status).toBe('complete')
  expect(commits(run)).toBe(3)
})

test('an execute that takes several invocations', async () => {
  const first = await invoke(PAGES, timeForPages(1))
  expect(first.card.status).toBe('incomplete')
  const second = await invoke({ resume: first.card.runId }, timeForPages(1))
  expect(second.card.status).toBe('incomplete')
  const third = await invoke(PAGES)
  expect(third.card).toMatchObject({ status: 'complete', totals: { usersProcessed: USERS } })
  expect([first, second, third].map(commits)).toEqual([1, 1, 1])
})

test('a run that is cancelled, and one that is restarted', async () => {
  const first = await invoke(PAGES, timeForPages(1))
  const cancelled = await invoke({ cancel: first.card.runId })
  expect(cancelled.card.status).toBe('cancelled')
  const second = await invoke(PAGES, timeForPages(1))
  const restarted = await invoke({ ...PAGES, restart: second.card.runId })
  expect(restarted.card.status).toBe('complete')
  expect([first, cancelled, second, restarted].map(commits)).toEqual([1, 0, 0, 2])
})

test('a rollback', async () => {
  const run = await invoke(PAGES)
  const rollback = await invoke({ execute: true, rollback: run.card.runId })
  expect(rollback.card).toMatchObject({ status: 'complete', totals: { usersProcessed: USERS } })
  expect(commits(rollback)).toBe(3)
})

describe('a request that is delivered twice', () => {
  const request = { ...PAGES, requestKey: 'monday' }

  test('while its run is open', async () => {
    const first = await invoke(request, timeForPages(1))
    const again = await invoke(request)
    expect(again.card).toMatchObject({ status: 'complete', runId: first.card.runId })
  })

  test('after its run was closed', async () => {
    const first = await invoke(request)
    const again = await invoke(request)
    expect(again.card.runId).toBe(first.card.runId)
    expect([first, again].map(commits)).toEqual([3, 0])
  })

  test('and joins the open run of the same payload', async () => {
    const first = await invoke(PAGES, timeForPages(1))
    const joined = await invoke(request)
    expect(joined.card).toMatchObject({ status: 'complete', runId: first.card.runId })
    expect(puts(joined, /^control\/requests\/monday/)).toBe(1)
  })
})

describe('a run whose process died is taken over', () => {
  test.each([
    ['at an intent', isIntent],
    ['after a commit, before the log parts', isUsersPart],
    ['after the log parts, before the cursor', namesPage],
  ])('%s', async (_when, which) => {
    const died = await dies(which)
    const next = await invoke(PAGES)
    expect(next.card).toMatchObject({ status: 'complete', totals: { usersProcessed: USERS } })
    expect(puts(next, /^logs\/errors\/.*-0001\.jsonl$/)).toBeGreaterThan(0)
    expect(commits(died) + commits(next)).toBe(3)
  })

  test('and cancelled', async () => {
    await dies(isUsersPart)
    const cancelled = await invoke({ cancel: 'latest' })
    expect(cancelled.card).toMatchObject({ status: 'cancelled', totals: { usersProcessed: 2 } })
    expect(commits(cancelled)).toBe(0)
  })

  /**
   * Nothing of an invocation reaches S3 any more from a request on; its lease has expired when this returns.
   */
  async function dies(which: Parameters<typeof dieAt>[2]): Promise<Pick<Recorded, 'events'>> {
    const events: TraceEvent[] = []
    dieAt(team.s3, team.bucket, which)
    await failureOf(recordInvocation(place(), PAGES, events, { host: { waits: { aws: { tries: 1 } } } }))
    expect(checkTrace(events)).toEqual([])
    revive(team.s3, team.bucket)
    await setClock(team.sql, LATER)
    return { events }
  }
})

let cursorWrites = 0
beforeEach(() => {
  cursorWrites = 0
})
/** The third write of a cursor, after the prepared and the open one, names the first page. */
function namesPage(request: Parameters<typeof isCursorWrite>[0]): boolean {
  return isCursorWrite(request) && ++cursorWrites === 3
}

describe('steps in another order are reported', () => {
  const before: readonly [string, (event: TraceEvent) => boolean, (event: TraceEvent) => boolean, string][] =
    [
      ['a COMMIT before its check of the lease', isCheck, isCommit, 'COMMIT is sent only after the reply'],
      ['a write before its intent', isPutOf('intents/'), isWrite, 'an intent is stored before its write'],
      ['a named page before its log', isPutOf('logs/users/'), namesAPage, 'before the cursor names it'],
      [
        'a manifest before the card',
        isPutOf('/summary.json'),
        isPutOf('/manifest.json'),
        'follow the final card',
      ],
      [
        'writer.json freed before the run is closed',
        isClosing,
        isFreeing,
        'freed only after the run is closed',
      ],
    ]

  test.each(before)('%s', async (_name, first, second, rule) => {
    const { events } = await invoke(PAGES)
    const one = events.findIndex(first)
    const other = events.findIndex((event, index) => index > one && second(event))
    expect([one, other]).not.toContain(-1)
    const swapped = events.with(one, events[other] as TraceEvent).with(other, events[one] as TraceEvent)
    expect(checkTrace(swapped).join('\n')).toContain(rule)
  })
})

function isCheck(event: TraceEvent): boolean {
  return event.kind === 'sql' && event.statement === 'check lease'
}

function isWrite(event: TraceEvent): boolean {
  return event.kind === 'sql' && event.statement === 'write'
}

function isPutOf(part: string): (event: TraceEvent) => boolean {
  return (event) => event.kind === 'put' && event.key.includes(part)
}

function namesAPage(event: TraceEvent): boolean {
  return isPutOf('/cursor.json')(event) && JSON.stringify(event).includes('"named":[{')
}

function isClosing(event: TraceEvent): boolean {
  return isPutOf('/cursor.json')(event) && JSON.stringify(event).includes('"state":"closed"')
}

function isFreeing(event: TraceEvent): boolean {
  return isPutOf('control/writer.json')(event) && JSON.stringify(event).includes('"runId":null')
}

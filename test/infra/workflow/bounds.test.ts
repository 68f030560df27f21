import { createHash } from 'node:crypto'
import aslValidator from 'asl-validator'
import { describe, expect, test } from 'vitest'
import { eventSchema } from '../../../lambda/event.ts'
import {
  cardWith,
  DEFINITION,
  DEFINITION_WITHOUT_EXECUTES,
  execute,
  EXECUTION,
  type Invoked,
  lambdaError,
} from './workflow-run.ts'

/**
 * What a real run does not show at will: the functions are doubles here. workflow.test.ts has the real
 * handler.
 */

const RUN = cardWith({}).runId
const DRY_RUN = '2026-11-22T06-12-30-123Z-dry-run-k3j9'
const HASHED = { requestKey: `workflow-${createHash('sha256').update(EXECUTION.Name).digest('hex')}` }
const enveloped = (detail: unknown) => ({ source: 'app', 'detail-type': 'go', detail })
const card = (change: Parameters<typeof cardWith>[0]) => async () => cardWith(change)

test.for([DEFINITION, DEFINITION_WITHOUT_EXECUTES])(
  'the definition is valid Amazon States Language',
  (given) => {
    const { isValid, errorsText } = aslValidator(given)
    expect(errorsText('\n')).toBe('')
    expect(isValid).toBe(true)
  },
)

test('every way through the states publishes a notice, and then ends', () => {
  const states = DEFINITION['States'] as Record<
    string,
    {
      Type: string
      Next?: string
      Default?: string
      Choices?: { Next: string }[]
      Catch?: { Next: string }[]
    }
  >
  const next = (name: string) => {
    const { Next, Default, Choices = [], Catch = [] } = states[name] ?? { Type: '' }
    return [Next, Default, ...[...Choices, ...Catch].map((way) => way.Next)].filter((to) => to !== undefined)
  }
  const ends = Object.keys(states).filter((name) => next(name).length === 0)
  expect(ends.toSorted()).toEqual(['Done', 'Ended otherwise', 'Failed'])
  const before = (targets: string[]) =>
    Object.keys(states).filter((name) => next(name).some((to) => targets.includes(to)))
  expect(before(ends)).toEqual(['Did it end as asked?'])
  expect(before(['Did it end as asked?'])).toEqual(['Publish'])
})

describe('a payload', () => {
  const writing: [object, object][] = [
    [{ execute: true }, HASHED],
    [{ rollback: RUN, execute: true }, HASHED],
    [{ execute: true, restart: RUN }, HASHED],
    [{ execute: true, requestKey: 'mine-1' }, {}],
    [{ resume: RUN }, {}],
    [{ resume: 'latest' }, {}],
    [{ cancel: DRY_RUN }, {}],
    [{ abandon: RUN, reason: 'lost' }, {}],
    [{ hold: 'look first' }, {}],
    [{ release: 'looked' }, {}],
    [enveloped({ execute: true }), HASHED],
    [enveloped('{"execute": true}'), HASHED],
    [enveloped('{"execute" : true}'), HASHED],
    [enveloped({ resume: RUN }), HASHED],
    [enveloped(`{"resume":"${DRY_RUN}"}`), HASHED],
    [enveloped({ hold: 'look first' }), HASHED],
    [enveloped('{"hold": "look first"}'), HASHED],
    [{ ...enveloped({ execute: true }), requestKey: 'mine-1' }, {}],
  ]
  const reading: [object, object][] = [
    [{}, HASHED],
    [{ userIds: ['ada'] }, HASHED],
    [{ execute: false }, HASHED],
    [{ execute: 'true' }, HASHED],
    [{ rollback: RUN }, HASHED],
    [{ requestKey: 'scheduled-1' }, {}],
    [{ resume: DRY_RUN }, {}],
    [{ resume: '2026-11-22T06-12-30-123Z-rollback-dry-run-k3j9' }, {}],
    [{ status: 'latest' }, {}],
    [{ check: true }, {}],
    [{ history: 'ada' }, {}],
    [{ verify: 'latest' }, {}],
    [{ diff: [DRY_RUN, DRY_RUN] }, {}],
    [{ report: RUN }, {}],
    [enveloped({}), HASHED],
    [enveloped('{}'), HASHED],
    [enveloped(''), HASHED],
    [enveloped('no JSON'), HASHED],
    [enveloped(null), HASHED],
    [enveloped({ execute: false }), HASHED],
    [enveloped({ resume: DRY_RUN }), HASHED],
    [enveloped(JSON.stringify({ reason: 'like "execute": true' })), HASHED],
    [enveloped({ verify: 'latest' }), HASHED],
    [enveloped({ status: 'latest' }), {}],
    [enveloped('{"status": "latest"}'), {}],
    [{ ...enveloped({}), requestKey: 'scheduled-1' }, {}],
  ]
  const ways = [
    ...writing.map(([input, key]) => [input, { ...input, ...key }, 'job'] as const),
    ...reading.map(([input, key]) => [input, { ...input, ...key }, 'preview'] as const),
  ]

  test.for(ways)('%j is sent as %j to the %s function', async ([input, sent, invoked]) => {
    const ended = await execute(input, card({}))
    expect(ended.payloads).toEqual([sent])
    expect(ended.invoked).toEqual([invoked])
  })

  test('comes with the ARN of the execution in its client context', async () => {
    const ended = await execute({}, card({}))
    expect(ended.clientContexts).toEqual([{ custom: { workflowExecution: EXECUTION.Id } }])
  })

  test('a next payload goes to the function that it is for', async () => {
    const answers = [
      cardWith({ status: 'incomplete', next: { text: 'resume', payload: { resume: DRY_RUN } } }),
      cardWith({ status: 'incomplete', next: { text: 'resume', payload: { resume: RUN } } }),
      cardWith({}),
    ]
    const ended = await execute({}, async () => answers.shift())
    expect(ended.invoked).toEqual(['preview', 'preview', 'job'] satisfies Invoked[])
  })
})

test('cancelled: ends as a success, since that was asked for, and publishes it', async () => {
  const ended = await execute(
    { cancel: RUN },
    card({ status: 'cancelled', why: 'cancelled by a person', next: null }),
  )
  expect(ended.failure).toBeNull()
  expect(ended.output).toMatchObject({ status: 'cancelled' })
  expect(ended.notices).toMatchObject([
    {
      Subject: 'Credit expiry: execute cancelled',
      Message: expect.stringContaining('cancelled by a person') as string,
    },
  ])
})

test.for([
  { status: 'latest' },
  enveloped({ status: 'latest' }),
  enveloped('{"status":"latest"}'),
  { ...enveloped({ status: RUN }), requestKey: 'mine-1' },
])('%j is published by the preview function, and the open run is not resumed', async (question) => {
  const ended = await execute(question, card({ status: 'incomplete', why: 'in progress' }))
  expect(ended.invoked).toEqual(['preview'])
  expect(ended.payloads).toEqual([question])
  expect(ended.failure).toBeNull()
  expect(ended.notices).toHaveLength(1)
})

const MENTIONS_STATUS = { execute: true, by: 'status', reason: 'what "status": says' }
test.for([MENTIONS_STATUS, JSON.stringify(MENTIONS_STATUS)])(
  'an execute in an envelope, %j, is resumed until it is closed',
  async (detail) => {
    const answers = [cardWith({ status: 'incomplete' }), cardWith({})]
    const ended = await execute(enveloped(detail), async () => answers.shift())
    expect(ended.payloads).toEqual([{ ...enveloped(detail), ...HASHED }, { resume: RUN }])
    expect(ended.invoked).toEqual(['job', 'job'])
  },
)

test.for(['complete', 'held'] as const)(
  '%s: the notice says who asked, why, and with what',
  async (status) => {
    const related = { rolledBackBy: ['rollback-1', 'rollback-2'], rollsBack: 'execute-1' }
    const asked = { by: 'Ada', via: 'workflow', reason: 'clean-up', plan: DRY_RUN, payload: {} }
    const ended = await execute({ execute: true }, card({ status, asked, ...related, domains: ['kilo.ai'] }))
    expect(ended.notices[0]?.Message).toContain(
      [
        'Asked by: Ada (workflow)',
        'Reason: "clean-up"',
        `Plan: "${DRY_RUN}"`,
        'Rolls back: "execute-1"',
        'Rolled back by: ["rollback-1","rollback-2"]',
        'Domains: ["kilo.ai"]',
        'Software version: 1.2.3',
      ].join('\n'),
    )
  },
)

test('held: one notice with the reason and the next payload, no further turn, no failure', async () => {
  const held = cardWith({
    status: 'held',
    why: 'ada: "look at the dry run first"',
    next: { text: 'release', payload: { release: 'looked' } },
  })
  const ended = await execute({ execute: true }, async () => held)
  expect(ended.payloads).toHaveLength(1)
  expect(ended.failure).toBeNull()
  expect(ended.output).toEqual(held)
  expect(ended.notices).toMatchObject([
    {
      Subject: 'Credit expiry: held',
      Message: expect.stringMatching(/look at the dry run first(.|\n)*\{"release":"looked"\}/) as string,
    },
  ])
})

test('an open run whose turns are used up: ends, with the payload that resumes it', async () => {
  const ended = await execute(
    { execute: true },
    card({ status: 'incomplete', why: 'the time of this invocation is up' }),
  )
  expect(ended.payloads).toHaveLength(200)
  expect(ended.payloads.slice(1)).toEqual(Array.from({ length: 199 }, () => ({ resume: RUN })))
  expect(ended.failure).toEqual({
    error: 'TooManyTurns',
    cause: expect.stringContaining(`run ${RUN} is still incomplete after 200 turns`) as string,
  })
  expect(ended.notices).toMatchObject([
    {
      Subject: 'Credit expiry: TooManyTurns',
      Message: expect.stringContaining(`{"resume":"${RUN}"}`) as string,
    },
  ])
})

test.for([
  'Lambda.ServiceException',
  'Lambda.TooManyRequestsException',
  'Lambda.Unknown',
  'Sandbox.Timedout',
  'States.Timeout',
  'LedgerUnavailable',
])('%s that lasts: tried seven times, then published', async (name) => {
  const ended = await execute({}, async () => {
    throw lambdaError(name, 'The service is not there.')
  })
  expect(ended.payloads).toHaveLength(7)
  expect(ended.failure).toEqual({ error: name, cause: 'The service is not there.' })
  expect(ended.notices).toMatchObject([
    {
      Subject: `Credit expiry: ${name}`,
      Message: expect.stringContaining('The service is not there.') as string,
    },
  ])
})

test.for(['InvalidEvent', 'RunRefused'])('%s is not tried again', async (name) => {
  const ended = await execute({}, async () => {
    throw lambdaError(name, JSON.stringify({ errorType: name, errorMessage: 'Nothing was done.', trace: [] }))
  })
  expect(ended.payloads).toHaveLength(1)
  expect(ended.failure).toEqual({ error: name, cause: 'Nothing was done.' })
})

test('a cause that only looks like JSON of the function is published as it is', async () => {
  const cause = '{"errorType":"Runtime.ExitError"}'
  const ended = await execute({ requestKey: 'k' }, async () => {
    throw lambdaError('RunRefused', cause)
  })
  expect(ended.failure).toEqual({ error: 'RunRefused', cause })
})

test('80 KB of ids, which the card repeats twice and the notice once: the largest state is below 256 KB', async () => {
  const ids = (characters: number) =>
    Array.from({ length: 1000 }, (_, index) => `oauth/x:${String(index).padStart(characters, '1')}`)
  const payload = { userIds: ids(28), exceptUserIds: ids(29) }
  const bytes = JSON.stringify([...payload.userIds, ...payload.exceptUserIds]).length
  expect(bytes).toBeGreaterThan(79_000)
  expect(eventSchema.parse(payload)).toMatchObject(payload)
  const failed = cardWith({
    status: 'complete_with_errors',
    why: '1 user failed',
    next: { text: 'fix the errors listed in the error log, then retry', payload },
  })
  const ended = await execute(payload, async () => ({ ...failed, asked: { ...failed.asked, payload } }))
  expect(ended.failure?.error).toBe('complete_with_errors')
  expect(ended.notices[0]?.Message).toContain(payload.userIds.at(-1))
  expect(ended.largestState).toBeGreaterThan(3 * bytes)
  expect(ended.largestState).toBeLessThan(256 * 1024 - 10_000)
})

import aslValidator from 'asl-validator'
import { expect, test } from 'vitest'
import { cardWith, DEFINITION, execute, EXECUTION, lambdaError } from './workflow-run.ts'

/** What a real run does not show at will: the function is a double here. workflow.test.ts has the real one. */

const RUN = cardWith({}).runId
const card = (change: Parameters<typeof cardWith>[0]) => async () => cardWith(change)

test('the definition is valid Amazon States Language', () => {
  const { isValid, errorsText } = aslValidator(DEFINITION)
  expect(errorsText('\n')).toBe('')
  expect(isValid).toBe(true)
})

test('every state leads to the publication of how it ended, and from there to an end', () => {
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
  expect(ends.toSorted()).toEqual(['Done', 'Ended badly', 'Failed'])
  const before = (targets: string[]) =>
    Object.keys(states).filter((name) => next(name).some((to) => targets.includes(to)))
  expect(before(ends)).toEqual(['As asked?'])
  expect(before(['As asked?'])).toEqual(['Publish'])
})

test.for([
  [{ execute: true }, { execute: true, requestKey: EXECUTION.Name }],
  [{}, { requestKey: EXECUTION.Name }],
  [
    { rollback: RUN, execute: true },
    { rollback: RUN, execute: true, requestKey: EXECUTION.Name },
  ],
  [{ requestKey: 'scheduled-1' }, { requestKey: 'scheduled-1' }],
  [{ resume: RUN }, { resume: RUN }],
  [{ cancel: RUN }, { cancel: RUN }],
  [{ status: 'latest' }, { status: 'latest' }],
])('%j: sent as %j, so that a lost answer opens no second run', async ([input, sent]) => {
  expect((await execute(input, card({}))).payloads).toEqual([sent])
})

test('cancelled: ends well, since it was asked for, and says so', async () => {
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

test('a status is said, and goes on with nothing', async () => {
  const ended = await execute({ status: 'latest' }, card({ status: 'incomplete', why: 'at work' }))
  expect(ended.payloads).toHaveLength(1)
  expect(ended.failure).toBeNull()
  expect(ended.notices).toHaveLength(1)
})

test('a run that will not end: bounded, and said with the payload to go on with', async () => {
  const ended = await execute(
    { execute: true },
    card({ status: 'incomplete', why: 'the time of this invocation is up' }),
  )
  expect(ended.payloads).toHaveLength(200)
  expect(ended.payloads.slice(1)).toEqual(Array.from({ length: 199 }, () => ({ resume: RUN })))
  expect(ended.failure).toEqual({
    error: 'TooManyTurns',
    cause: `the run ${RUN} is still incomplete after 200 turns`,
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
])('%s that does not go away: tried seven times, then published', async (name) => {
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

test('a cause that only looks like JSON of the function is said as it is', async () => {
  const cause = '{"errorType":"Runtime.ExitError"}'
  const ended = await execute({ requestKey: 'k' }, async () => {
    throw lambdaError('RunRefused', cause)
  })
  expect(ended.failure).toEqual({ error: 'RunRefused', cause })
})

test('a thousand user ids go through: no state comes near 256 kB', async () => {
  const userIds = Array.from(
    { length: 1000 },
    (_, index) => `oauth/google:${String(index).padStart(30, '1')}`,
  )
  const next = { text: 'execute', payload: { execute: true, userIds } }
  const ended = await execute({ userIds }, card({ next, status: 'complete' }))
  expect(ended.failure).toBeNull()
  expect(ended.largestState).toBeLessThan(230_000)
})

import { expect, test } from 'vitest'
import { execute, lambdaError } from './workflow-run.ts'

/** Answers that are no cards: what the notice says, and what the execution's output is. */

test('an answer that is no card is the output, and one notice says so', async () => {
  const answer = { answer: 'history', result: { user: { id: 'ada' }, runs: [] }, next: null }
  const ended = await execute({ history: 'ada' }, async () => answer)
  expect(ended.failure).toBeNull()
  expect(ended.output).toEqual(answer)
  expect(ended.notices).toMatchObject([{ Subject: 'Credit expiry: answer to history' }])
})

test.for(['verified', 'differences', 'incomplete', 'nothing_to_verify'])(
  'a verify that ends as %s: its notice says so',
  async (result) => {
    const answer = { answer: 'verify', result, differenceCount: 0, differences: [], next: null }
    const ended = await execute({ verify: 'latest' }, async () => answer)
    expect(ended.failure).toBeNull()
    expect(ended.output).toEqual(answer)
    expect(ended.notices).toMatchObject([
      {
        Subject: `Credit expiry: answer to verify: ${result}`,
        Message: expect.stringContaining(`The result of verify is: ${result}.`) as string,
      },
    ])
  },
)

test('an answer without a result, as another version may give it: one notice all the same', async () => {
  const ended = await execute({ check: true }, async () => ({ answer: 'check', next: null }))
  expect(ended.failure).toBeNull()
  expect(ended.notices).toMatchObject([{ Subject: 'Credit expiry: answer to check' }])
})

test('an answer that is larger than a state may be: refused with the way out', async () => {
  const ended = await execute({ history: 'ada' }, async () => {
    throw lambdaError(
      'States.DataLimitExceeded',
      'The state/task returned a result with a size exceeding the limit.',
    )
  })
  expect(ended.failure?.error).toBe('AnswerTooLarge')
  const [notice] = ended.notices
  expect(notice?.Message).toMatch(
    /Send \{"status": "latest"\} to the preview function first(.|\n)*send the payload/,
  )
})

import { expect, test } from 'vitest'
import { hardStopText, messageFor } from '../../bin/cli/messages.ts'
import { RunRefused } from '../../lambda/run/errors.ts'
import { cardAt } from './cards.ts'

test('an error that was foreseen is told by its message alone', () => {
  expect(messageFor(new RunRefused('The run is refused. Send another.'), false)).toBe(
    'The run is refused. Send another.\n',
  )
})

test('one that nobody foresaw is called so, with the way to its stack', () => {
  const message = messageFor(new TypeError('x is not a function'), false)
  expect(message).toBe(
    'Unexpected TypeError: x is not a function\nRun it again with --debug to see where it comes from.\n',
  )
})

test('with --debug the stacks of the error and its causes follow', () => {
  const message = messageFor(new RunRefused('refused', { cause: new Error('the cause') }), true)
  expect(message).toMatch(/^refused\nRunRefused: refused\n +at [^]*\ncaused by Error: the cause\n +at /)
})

test('no e-mail, no password, no control characters', () => {
  const error = new Error('ada@kilo.ai at postgres://job:hunter2@db/x \u001b[2J', {
    cause: new Error('bob@kilo.ai'),
  })
  for (const debug of [false, true]) {
    const message = messageFor(error, debug)
    expect(message).toContain('*** at postgres://')
    expect(message).not.toMatch(/ada|bob|hunter2/)
    expect(message).not.toContain('\u001b')
  }
})

test('what is thrown need not be an Error', () => {
  expect(messageFor('out of paper', false)).toContain('out of paper')
})

test('what a hard stop means', () => {
  expect(hardStopText(null, undefined)).toMatch(/^Stopped hard\. .* Where it stands: npm start -- --status$/)
  expect(hardStopText(cardAt(1, 2), new Date(0))).toMatch(
    /Its lease lapses at 1970-01-01T00:00:00\.000Z\. To go on: npm start -- --resume \S+-execute-k3j9 --wait$/,
  )
})

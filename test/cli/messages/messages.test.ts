import { expect, test } from 'vitest'
import { hardStopText, messageFor } from '../../../bin/cli/messages.ts'
import { UsageError } from '../../../bin/cli/line/options.ts'
import { LedgerUnavailable } from '../../../lambda/ledger/errors.ts'
import { RunRefused } from '../../../lambda/errors.ts'
import { cardAt } from '../cards.ts'

const TOLD = { columns: Infinity, debug: false, payloads: false, readonly: false, given: {} }

test('of an expected error only the message is shown', () => {
  expect(messageFor(new RunRefused('The run is refused. Send another.'), TOLD)).toBe(
    'The run is refused. Send another.\n',
  )
})

test('an unexpected error is called unexpected, with the way to its stack', () => {
  const message = messageFor(new TypeError('x is not a function'), TOLD)
  expect(message).toBe(
    'Unexpected TypeError: x is not a function\nRun it again with --debug to see where it comes from.\n',
  )
})

test('with --debug the stacks of the error and its causes follow', () => {
  const message = messageFor(new RunRefused('refused', { cause: new Error('the cause') }), {
    ...TOLD,
    debug: true,
  })
  expect(message).toMatch(/^refused\nRunRefused: refused\n +at [^]*\ncaused by Error: the cause\n +at /)
})

test('no e-mail, no password, no control characters', () => {
  const error = new Error('ada@kilo.ai at postgres://job:hunter2@db/x \u001b[2J', {
    cause: new Error('bob@kilo.ai'),
  })
  for (const debug of [false, true]) {
    const message = messageFor(error, { ...TOLD, debug })
    expect(message).toContain('*** at postgres://')
    expect(message).not.toMatch(/ada|bob|hunter2/)
    expect(message).not.toContain('\u001b')
  }
})

test('what is thrown need not be an Error', () => {
  expect(messageFor('out of paper', TOLD)).toContain('out of paper')
})

test('a UsageError repeats what was typed, e-mail addresses included', () => {
  expect(messageFor(new UsageError('no user ada@kilo.ai'), TOLD)).toBe('no user ada@kilo.ai\n')
})

test('a message about a user of a list repeats what was typed', () => {
  const error = new RunRefused('field "userIds[1]" names no user; field "exceptUserIds[0]" neither')
  const given = { userIds: ['bob', 'nobody@kilo.ai'], exceptUserIds: ['eve'] }
  expect(messageFor(error, { ...TOLD, given })).toBe(
    '--user-ids nobody@kilo.ai names no user; --except-user-ids eve neither\n',
  )
})

test('payloads become command lines, unless the person wrote a payload', () => {
  const error = new RunRefused('Send {"resume": "a-b"}.')
  expect(messageFor(error, TOLD)).toBe('Run npm start -- --resume a-b.\n')
  expect(messageFor(error, { ...TOLD, payloads: true })).toBe('Send {"resume": "a-b"}.\n')
})

test('where the read-only connection was used, its variable is to be checked', () => {
  const error = new LedgerUnavailable('Check the host in DATABASE_URL.')
  expect(messageFor(error, { ...TOLD, readonly: true })).toBe('Check the host in READONLY_DATABASE_URL.\n')
})

test('what a hard stop means', () => {
  expect(hardStopText('Ctrl-C', null, new Date(0))).toMatch(
    /^Ctrl-C: stopped at once\. .* To see the run: npm start -- --status$/,
  )
  expect(hardStopText('Ctrl-C', cardAt(1, 2), new Date(0))).toMatch(
    /Its lease expires at 1970-01-01T00:00:00\.000Z\. To continue: npm start -- --resume \S+-execute-k3j9 --wait$/,
  )
})

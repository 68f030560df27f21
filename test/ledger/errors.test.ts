import { expect, test } from 'vitest'
import { toLedgerError, failureOf, LedgerUnavailable } from '../../lambda/ledger/errors.ts'

const coded = (code: string, message: string): Error => Object.assign(new Error(message), { code })

test.each([
  [
    'EMFILE',
    'connect EMFILE 127.0.0.1:5432',
    /^This process cannot open more files or connections: .*ulimit -n/,
  ],
  ['ECONNRESET', 'read ECONNRESET', /^The connection to the database was lost: read ECONNRESET\. /],
  ['ENOTFOUND', 'getaddrinfo ENOTFOUND db', /^The database's host name is unknown: /],
])('%s is a lost connection, with advice', (code, message, expected) => {
  const explained = toLedgerError(coded(code, message))
  expect(explained).toBeInstanceOf(LedgerUnavailable)
  expect(explained).toMatchObject({ message: expect.stringMatching(expected) })
  expect(failureOf(explained)).toBe('lost')
})

test('a host with several addresses is explained by the first of their errors', () => {
  const error = new AggregateError([
    coded('ECONNREFUSED', 'connect ECONNREFUSED ::1:5432'),
    coded('ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:5432'),
  ])
  expect(toLedgerError(error)).toMatchObject({
    name: 'LedgerUnavailable',
    message: expect.stringContaining('The database does not answer: connect ECONNREFUSED ::1:5432'),
  })
})

test('what is no error of the database comes back as it is', () => {
  const error = new TypeError('no')
  expect(toLedgerError(error)).toBe(error)
  expect(failureOf(error)).toBeUndefined()
})

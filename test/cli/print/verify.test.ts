import { expect, test } from 'vitest'
import { verifyText } from '../../../bin/cli/print/verify.ts'
import type { VerifyAnswer } from '../../../lambda/insight/verify/verify.ts'
import { testOutput } from '../output.ts'

const EXECUTE = '2026-11-16T06-00-00-000Z-execute-k3j9'
const ROLLBACK = '2026-11-17T06-00-00-000Z-rollback-p2d4'

const VERIFIED: VerifyAnswer = {
  answer: 'verify',
  runId: EXECUTE,
  result: 'verified',
  checked: { parts: 2, users: 60, mutations: 233, chain: 1, signed: null },
  differenceCount: 0,
  differences: [],
  explained: [],
  next: null,
}

function textOf(answer: Partial<VerifyAnswer>, columns = 100): string {
  return verifyText({ ...VERIFIED, ...answer }, testOutput({ columns }))
}

test('a run that is as it was left: a sentence, and what was compared', () => {
  expect(textOf({})).toMatchInlineSnapshot(`
    "Verify: verified
    Run: 2026-11-16T06-00-00-000Z-execute-k3j9
    The logs are as the run wrote them, and follow from the rules, and the ledger is as the run left it.
    Compared: 60 users and 233 mutations in 2 log parts; 1 writing run in the chain, signatures were not
    checked.
    "
  `)
})

test('a dry run says nothing of the ledger and of the chain', () => {
  const checked = { ...VERIFIED.checked, mutations: 0, chain: 0 }
  const text = textOf({ runId: EXECUTE.replace('execute', 'dry-run'), checked })
  expect(text).toContain('The logs are as the run wrote them, and follow from the rules.\n')
  expect(text).toContain('Compared: 60 users and 0 mutations in 2 log parts.\n')
})

test('values that a later run wrote are no differences, and that run is named', () => {
  const text = textOf({ explained: [{ runId: ROLLBACK, values: 92 }] })
  expect(text).toContain(
    `Later runs changed values of the ledger that this run wrote: 92 by run\n${ROLLBACK}.\n`,
  )
})

test('each difference is a line, with how many there are in all', () => {
  const difference = {
    step: 'ledger' as const,
    userId: 'ada',
    where: 'credit_transactions',
    row: 'row-1',
    column: 'amount_microdollars',
    expected: -5_000_000,
    found: -6_000_000,
    explainedBy: null,
  }
  const text = textOf({ result: 'differences', differenceCount: 3, differences: [difference] })
  expect(text).toContain('3 values are not as expected:\n')
  expect(text).toContain(
    '- user ada, credit_transactions, row-1, amount_microdollars: expected -5000000, found -6000000\n',
  )
  expect(text).toContain('and 2 more\n')
})

test('a verification that was cut short, and one without anything to verify, say so', () => {
  const next = { text: 'verify again, with more time', payload: { verify: EXECUTE } }
  expect(textOf({ result: 'incomplete', next })).toMatch(
    /The time ended before everything was compared\.[^]*npm start -- --verify /,
  )
  expect(textOf({ result: 'nothing_to_verify', runId: null })).toBe(
    'Verify: nothing_to_verify\nNo execute is closed yet.\n',
  )
})

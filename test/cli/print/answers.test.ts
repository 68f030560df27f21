import { describe, expect, test } from 'vitest'
import { answerText, exitStatusOf } from '../../../bin/cli/print/answers.ts'
import { testOutput } from '../output.ts'

const RUN = '2026-11-22T06-12-30-123Z-execute-k3j9'

function shown(answer: Parameters<typeof answerText>[0], columns = Infinity): string {
  return answerText(answer, testOutput({ columns }))
}

const HOLD = {
  answer: 'hold',
  result: 'held',
  by: 'ada@laptop',
  reason: 'a migration',
  openRun: { runId: RUN, mayCommitUntil: null },
  next: { text: 'release the hold', payload: { release: 'why it is safe to write again' } },
}

const CHECK = {
  answer: 'check',
  result: 'failed',
  checks: [
    { check: 'database: execute', ok: true, detail: 'job at db/ledger, PostgreSQL 17.6', fix: null },
    {
      check: 'bucket: list',
      ok: false,
      detail: 'Could not list control/ in the bucket my-logs: access denied (403).',
      fix: 'Allow s3:ListBucket on the bucket, then send {"check": true} again.',
    },
  ],
  next: null,
}

test('values one a line, what is nested indented, nothing for what is empty, and the next command', () => {
  expect(shown(HOLD)).toBe(`Hold: held
By: ada@laptop
Reason: a migration
Open run
  Run ID: ${RUN}

Next: release the hold
  npm start -- --release 'why it is safe to write again'
`)
})

test('amounts in dollars, lists of records as tables', () => {
  expect(
    shown({
      answer: 'history',
      result: {
        user: { id: 'u1' },
        runs: [
          {
            runId: RUN,
            expiredMicrodollars: 2_500_000,
            flags: ['auto_top_up_risk', 'link_taken'],
            grants: [
              { id: 'g1', amountMicrodollars: 5_000_000, targeted: true },
              { id: 'g22', amountMicrodollars: 12_000_000, targeted: false },
            ],
          },
        ],
      },
      expiredMicrodollars: { first: 1, second: -1_000_000 },
      expired: { first: '$0.000001', second: '-$1.00' },
      next: null,
    }),
  ).toBe(`History
User
  ID: u1
Runs
  Run ID: ${RUN}
  Expired: $2.50
  Flags: auto_top_up_risk, link_taken
  Grants
    ID   Amount  Targeted
    g1    $5.00  yes
    g22  $12.00  no
Expired
  First: $0.000001
  Second: -$1.00
`)
})

test.each([60, 80, 120])('in %i columns nothing is cut off, and no line is longer', (columns) => {
  const text = shown(CHECK, columns)
  expect(text.split('\n').filter((line) => line.length > columns)).toEqual([])
  const words = text.split(/\s+/)
  for (const word of 'Could not list control/ in the bucket my-logs: access denied (403).'.split(' '))
    expect(words).toContain(word)
  expect(text).not.toContain('…')
})

test("messages are shown in the command's words, without control characters", () => {
  expect(shown(CHECK).replaceAll(/\s+/g, ' ')).toContain('run npm start -- --check again.')
  expect(shown({ ...HOLD, reason: 'a \u001b[2J' })).toContain('Reason: a ?[2J\n')
})

describe('exit status', () => {
  test.each<[string, unknown, number]>([
    ['check', 'passed', 0],
    ['check', 'failed', 1],
    ['verify', 'verified', 0],
    ['verify', 'differences', 2],
    ['verify', 'incomplete', 3],
    ['diff', 'same', 0],
    ['diff', 'different', 2],
    ['history', { runs: [] }, 0],
    ['hold', 'held', 0],
    ['release', 'released', 0],
    ['release', 'held', 3],
  ])('%s: %j', (answer, result, status) => {
    expect(exitStatusOf({ answer, result, next: null })).toBe(status)
  })
})

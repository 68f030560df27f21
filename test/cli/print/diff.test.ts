import { expect, test } from 'vitest'
import { diffText } from '../../../bin/cli/print/diff.ts'
import type { DiffAnswer, UserDifference } from '../../../lambda/insight/diff.ts'
import { HOSTILE } from '../../insight/report-hostile.ts'
import { testOutput } from '../output.ts'

const FIRST = '2026-11-16T06-00-00-000Z-dry-run-7c2m'
const SECOND = '2026-11-23T06-00-00-000Z-dry-run-a1b2'
const GRANT = '0d0c8b2e-8f3e-4a55-9d0c-5b1f6a2e9d31'

const ada: UserDifference = {
  what: 'changed',
  userId: 'oauth/google:ada',
  email: 'ada@kilo.ai',
  outcome: { first: 'too_recent', second: 'expired' },
  expiredMicrodollars: { first: 1_100_000, second: 6_300_000 },
  duePaidMicrodollars: { first: 0, second: 0 },
  correctionMicrodollars: { first: 0, second: 0 },
  grants: [
    {
      what: 'new',
      id: GRANT,
      category: 'promo',
      amountMicrodollars: 7_000_000,
      expiredMicrodollars: { first: null, second: 6_300_000 },
    },
  ],
  grantsOmitted: 2,
}

const gone: UserDifference = {
  ...ada,
  what: 'gone',
  email: 'bob@kilo.ai',
  outcome: { first: 'expired', second: null },
  expiredMicrodollars: { first: 20_000_000, second: null },
  grants: [],
  grantsOmitted: 0,
}

function answerWith(differences: UserDifference[], differencesOmitted = 0): DiffAnswer {
  return {
    answer: 'diff',
    result: 'different',
    runIds: [FIRST, SECOND],
    users: { new: 0, gone: 1, changed: 1 },
    grants: { new: 3, gone: 0, changed: 0 },
    expiredMicrodollars: { first: 21_100_000, second: 6_300_000, difference: -14_800_000 },
    expired: { first: '$21.10', second: '$6.30', difference: '-$14.80' },
    differences,
    differencesOmitted,
    next: { text: 'see the card of the second run', payload: { status: SECOND } },
  }
}

test('two runs compared: counts, sums, and the largest differences first, with their grants', () => {
  expect(diffText(answerWith([ada, gone]), testOutput({ columns: 80 }))).toMatchInlineSnapshot(`
    "Compared: different
      first   2026-11-16T06-00-00-000Z-dry-run-7c2m
      second  2026-11-23T06-00-00-000Z-dry-run-a1b2

               users  grants
      new          0       3
      gone         1       0
      changed      1       0

    Free credit, first    $21.10
    Free credit, second    $6.30
    Difference           -$14.80

    Largest differences
      user                   first  second  difference
      bob@kilo.ai  gone     $20.00       –     -$20.00
      ada@kilo.ai  changed   $1.10   $6.30       $5.20
        outcome too_recent, then expired
        new: promo of $7.00, $6.30 left (0d0c8b2e-8f3e-4a55-9d0c-5b1f6a2e9d31)
        and 2 more grants

    Next: see the card of the second run
      npm start -- --status 2026-11-23T06-00-00-000Z-dry-run-a1b2
    "
  `)
})

test('of many users the largest differences are shown, with how many there are', () => {
  const small = { ...ada, expiredMicrodollars: { first: 0, second: 1 }, email: 'small@kilo.ai' }
  const text = diffText(answerWith([...Array.from({ length: 40 }, () => small), gone], 99), testOutput())
  expect(text).toContain('Largest differences, 25 of 140 users')
  expect(text.indexOf('bob@kilo.ai')).toBeLessThan(text.indexOf('small@kilo.ai'))
  expect(text).toContain('add --json')
})

test.each([60, 80, 120])('in %i columns no line is longer, whatever the texts are', (columns) => {
  const hostile = [...HOSTILE, 'x'.repeat(300)].map((words) => ({
    ...ada,
    email: words,
    grants: ada.grants.map((grant) => ({ ...grant, category: words, amountMicrodollars: 9_876_543_210_987 })),
  }))
  const lines = diffText(answerWith([ada, gone, ...hostile]), testOutput({ columns })).split('\n')
  // A command stays whole, so that it can be copied.
  expect(lines.filter((line) => line.length > columns && !line.startsWith('  npm start'))).toEqual([])
})

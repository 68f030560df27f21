import { expect, test } from 'vitest'
import { money, table } from '../../bin/cli/columns.ts'
import { directions, summary } from '../../bin/cli/report.ts'
import { cardAt, cardWith } from './cards.ts'

const OWN = { locate: (url: string) => url }

test('the summary: counts that add up, reasons, amounts with their points under each other, warnings', () => {
  expect(summary(cardWith())).toBe(
    `Execute 2026-11-22T06-12-30-123Z-execute-k3j9
complete: every page is done

Users matched                  60
  processed                    48
    expired                    41  with credit left in a grant
    nothing_to_expire           7  every grant of theirs is spent; dated and closed with 0
  without a targeted grant      9
  left alone                    2
    too_recent                  1  a row of theirs is too recent: the next run takes them
    needs_review                1  a grant may have been taken back without a link: look, then name them with --user-ids
  failed                        1
  not reached                   0
Grants targeted             1,119

Free credit expired                          $1,314.51526
Other due credit expired with it                $16.882796
Corrections of balances below zero, 3 users     $55.00

Warnings
  ! 1 user may be charged by auto top-up: balance under $5.00 after this run
`,
  )
})

test('a dry run says that nothing was written', () => {
  expect(summary(cardWith({ mode: 'dry-run', warnings: [] }))).toContain('Nothing was written to the ledger')
  expect(summary(cardWith({ mode: 'dry-run', warnings: [] }))).toContain('Free credit that would expire')
  expect(summary(cardWith({ warnings: [] }))).not.toContain('Warnings')
})

test('where the logs lie, and the next command', () => {
  expect(directions(cardWith(), OWN)).toBe(`
Logs
  s3://my-logs/logs/users/2026-11-22T06-12-30-123Z-execute-k3j9.jsonl      a line a user: what became of them, grant by grant
  s3://my-logs/logs/mutations/2026-11-22T06-12-30-123Z-execute-k3j9.jsonl  a line a changed row, with before and after
  s3://my-logs/logs/errors/2026-11-22T06-12-30-123Z-execute-k3j9.jsonl     a line a user who failed
  s3://my-logs/runs/2026-11-22T06-12-30-123Z-execute-k3j9/                 what was asked, the summary, the checksums

Next: undo this run
  npm start -- --rollback 2026-11-22T06-12-30-123Z-execute-k3j9
`)
})

test('a run that is not closed has no whole logs yet', () => {
  const text = directions(cardAt(10, 60), OWN)
  expect(text).not.toContain('logs/users')
  expect(text).toContain('npm start -- --resume 2026-11-22T06-12-30-123Z-execute-k3j9')
})

test('without a next payload there is no next command', () => {
  expect(directions(cardWith({ next: null }), OWN)).not.toContain('Next')
})

test('text from elsewhere cannot rewrite the terminal', () => {
  expect(summary(cardWith({ why: 'stopped by \u001b[2J\r\n\u202eevil' }))).toContain(
    'complete: stopped by ?[2J???evil\n',
  )
})

test('amounts keep all their cents, and more where they have more', () => {
  expect(money([1_000_000, -2_500_000, 1, null])).toEqual(['$1.00    ', '-$2.50    ', '$0.000001', '–    '])
  expect(
    table(
      money([1_000_000_000, 1]).map((amount) => [amount]),
      ['right'],
    ),
  ).toEqual(['$1,000.00', '    $0.000001'])
})

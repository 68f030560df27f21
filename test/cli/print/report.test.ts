import { describe, expect, test } from 'vitest'
import { directions, summary } from '../../../bin/cli/print/report.ts'
import { wrapped } from '../../../bin/cli/print/prose.ts'
import { money, table } from '../../../bin/cli/print/tables.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { cardAt, cardWith } from '../cards.ts'
import { testOutput } from '../output.ts'

const OWN = { locate: (url: string) => url }
const WIDE = testOutput()

function shown(card: ExitCard, columns = Infinity): string {
  return summary(card, card.why, testOutput({ columns }))
}

test('the summary: counts that add up, reasons, amounts with their points below each other, warnings', () => {
  expect(shown(cardWith())).toBe(
    `Execute 2026-11-22T06-12-30-123Z-execute-k3j9
complete: every page is done
Asked by: ada@laptop (command)
Software version: 1.2.3

Users matched                  60
  processed                    48
    expired                    41  credit was left in a grant
    nothing_to_expire           7  all grants fully spent; closed with 0
  without a targeted grant      9
  skipped                       2
    too_recent                  1  a row is too recent; a later run processes them
    needs_review                1  a grant may have been taken back already; check, then name the user
  failed                        1
  not reached                   0
Grants targeted             1,119

Free credit expired           $1,314.51526
Due paid credit expired          $16.882796
Corrections to zero, 3 users     $55.00

By credit category
  category  grants       expired  face value
  promo      1,119  $1,314.51526   $2,000.00

Warnings
  ! 1 user may be charged by auto top-up: balance under $5.00 after this run
`,
  )
})

test.each([60, 80, 120])('in %i columns no line is longer', (columns) => {
  const warning = 'a warning that is longer than a line has room for, with an amount of $1,234.567891 in it'
  const card = cardWith({ mode: 'rollback-dry-run', why: 'word '.repeat(40).trim(), warnings: [warning] })
  const lines = shown(card, columns).split('\n')
  expect(lines.filter((line) => line.length > columns)).toEqual([])
  expect(lines.join(' ').replaceAll(/ +/g, ' ')).toContain('$1,234.567891 in it')
})

test('a run that wrote nothing says that no row was changed', () => {
  const none = {
    usersProcessed: 0,
    usersCorrected: 0,
    expiredMicrodollars: 0,
    duePaidMicrodollars: 0,
    correctedMicrodollars: 0,
  }
  expect(shown(cardWith({}, none))).toContain(
    'complete: every page is done\nNothing expired: no row was changed.\n',
  )
  expect(shown(cardWith({ mode: 'rollback' }, none))).toContain('Nothing was restored: no row was changed.\n')
  const spent = { ...none, usersProcessed: 1 }
  const open = cardWith({ status: 'incomplete' }, none)
  const dry = cardWith({ mode: 'dry-run' }, none)
  for (const card of [cardWith({}, spent), open, dry]) expect(shown(card)).not.toContain('no row was changed')
})

test('a dry run says that nothing was written', () => {
  const dry = shown(cardWith({ mode: 'dry-run', warnings: [] }))
  expect(dry).toContain('Nothing was written to the ledger')
  expect(dry).toContain('Free credit that would expire')
  expect(shown(cardWith({ warnings: [] }))).not.toContain('Warnings')
})

test('of a bucket without a run, nothing is said but that', () => {
  const none = cardWith({ runId: '', mode: 'dry-run', why: 'this bucket has no run yet', warnings: [] })
  expect(shown(none)).toBe('This bucket has no run yet.\n')
})

test('a card without a run has no figures', () => {
  const held = cardWith({ runId: '', status: 'held', why: 'held by Ada', warnings: [] })
  expect(shown(held)).toBe('Execute\nheld by Ada\nAsked by: ada@laptop (command)\nSoftware version: 1.2.3\n')
})

test('who asked and why, the plan, the version, and what is new since earlier runs', () => {
  const since = {
    runId: 'earlier',
    users: 3,
    grants: 5,
    expiredMicrodollars: 41_200_000,
    expired: '$41.20',
    skipped: {},
  }
  const asked = { by: 'ada@laptop', via: 'command', reason: 'clean-up', plan: 'the-plan', payload: {} }
  expect(shown(cardWith({ asked, sincePrevious: since }))).toContain(
    'Asked by: ada@laptop (command)\nReason: clean-up\nPlan: the-plan\nSoftware version: 1.2.3\n' +
      'New since the previous dry run earlier: 3 users, 5 grants, $41.20\n',
  )
  expect(shown(cardWith({ mode: 'rollback', rollsBack: 'that-run' }))).toContain('\nRolls back: that-run\n')
})

test('the largest credit categories, the others in one row', () => {
  const [promo] = cardWith().byCategory
  if (!promo) throw new Error('The card has no category.')
  const byCategory = Array.from({ length: 10 }, (_, n) => ({ ...promo, category: `c${n}`, grants: n }))
  const text = shown(cardWith({ byCategory }))
  expect(text).toContain('\n  c7 ')
  expect(text).not.toContain('\n  c8 ')
  expect(text).toMatch(/2 other categories +17 +\$2,629\.03052 +\$4,000\.00\n/)
})

test("messages of the job are shown in the command's words", () => {
  const card = cardWith({ why: 'stopped; continue with {"resume": "x"}' })
  expect(shown(card)).toContain('complete: stopped; continue with npm start -- --resume x\n')
})

describe('where the logs are, and the next command', () => {
  test('of a closed run', () => {
    expect(directions(cardWith(), OWN, WIDE)).toBe(`
Report and logs
  s3://my-logs/runs/2026-11-22T06-12-30-123Z-execute-k3j9/report.html
  s3://my-logs/logs/users/2026-11-22T06-12-30-123Z-execute-k3j9/00000-0001.jsonl
  s3://my-logs/logs/mutations/2026-11-22T06-12-30-123Z-execute-k3j9/00000-0001.jsonl
  s3://my-logs/logs/errors/2026-11-22T06-12-30-123Z-execute-k3j9/00000-0001.jsonl
  s3://my-logs/runs/2026-11-22T06-12-30-123Z-execute-k3j9/

Next: preview the rollback of this run
  npm start -- --rollback 2026-11-22T06-12-30-123Z-execute-k3j9
`)
  })

  test('files that are not there are not named', () => {
    const place = { locate: (url: string) => (url.includes('/logs/users/') ? 'users.jsonl' : null) }
    expect(directions(cardWith({ next: null }), place, WIDE)).toBe('\nReport and logs\n  users.jsonl\n')
  })

  test('of an open run', () => {
    const text = directions(cardAt(10, 60), OWN, WIDE)
    expect(text).not.toContain('logs/users')
    expect(text).toContain('npm start -- --resume 2026-11-22T06-12-30-123Z-execute-k3j9\n')
  })

  test('of a run that another invocation works on: a command that waits for it', () => {
    expect(directions(cardAt(10, 60, { status: 'busy' }), OWN, WIDE)).toContain(
      'npm start -- --resume 2026-11-22T06-12-30-123Z-execute-k3j9 --wait\n',
    )
  })

  test('without a next payload there is no next command', () => {
    expect(directions(cardWith({ next: null }), OWN, WIDE)).not.toContain('Next')
  })
})

test('text from elsewhere cannot rewrite the terminal', () => {
  expect(shown(cardWith({ why: 'stopped by \u001b[2J\r\n\u202eevil' }))).toContain(
    'complete: stopped by ?[2J???evil\n',
  )
})

describe('tables', () => {
  const columns = [
    { head: 'user', least: 6 },
    { head: 'id', optional: 1 },
    { head: 'sum', right: true },
  ] as const
  const rows = [
    ['adalbert@kilo.ai', 'oauth/1', '$1.00'],
    ['ada@kilo.ai', 'oauth/2', '$10.00'],
  ]

  test.each<[number, string[]]>([
    [
      80,
      [
        'user              id          sum',
        'adalbert@kilo.ai  oauth/1   $1.00',
        'ada@kilo.ai       oauth/2  $10.00',
      ],
    ],
    [26, ['user       id          sum', 'adalbert…  oauth/1   $1.00', 'ada@kilo…  oauth/2  $10.00']],
    [20, ['user             sum', 'adalbert@ki…   $1.00', 'ada@kilo.ai   $10.00']],
  ])('in %i columns: cells are shortened first, then columns left out', (width, lines) => {
    expect(table(columns, rows, width)).toEqual(lines)
  })

  test('amounts keep all their cents, and more where they have more', () => {
    expect(money([1_000_000, -2_500_000, 1, null])).toEqual(['$1.00    ', '-$2.50    ', '$0.000001', '–    '])
  })

  test('text is broken between words', () => {
    expect(wrapped('one two three four', 9, '- ', '  ')).toEqual(['- one two', '  three', '  four'])
  })
})

import type { ExitCard } from '../../lambda/exit-card.ts'
import { type Align, count, money, table } from './columns.ts'
import { changedBy, type ErrorLine, type Highlights, type Top, type UserLine } from './highlights.ts'
import type { Place } from './place.ts'
import { section, textOf } from './report.ts'
import { printable } from './terminal.ts'
import { isLeftAlone, outcomesOf, spoken, wordsFor } from './words.ts'

const LONGEST_MESSAGE = 80

/** The largest changes, the corrections, the failures and the warnings of a run, each with how to see more. */
export function highlightTables(
  card: ExitCard,
  highlights: Highlights,
  place: Pick<Place, 'lookInto'>,
): string {
  const { changes, corrections, failures, warnings } = highlights
  const { users, mutations, errors } = card.logs
  const reasons = outcomesOf(card).leftAlone.map(([outcome]) => `"outcome":"${outcome}"`)
  return textOf([
    ...part('Largest changes', changes, userRows(card, changes.first), USER_ALIGN, place.lookInto(users)),
    ...part(
      'Corrections',
      corrections,
      correctionRows(card, corrections.first),
      CORRECTION_ALIGN,
      place.lookInto(mutations, ['accounting_adjustment']),
    ),
    ...part('Failures', failures, failureRows(failures.first), FAILURE_ALIGN, place.lookInto(errors)),
    ...part(
      'Users with warnings',
      warnings,
      warningRows(warnings.first),
      WARNING_ALIGN,
      place.lookInto(users, ['"flags":["', ...reasons]),
    ),
  ])
}

function part<T>(
  name: string,
  { first, all }: Top<T>,
  rows: readonly string[][],
  align: readonly Align[],
  more: string,
): string[] {
  if (first.length === 0) return []
  const heading = all > first.length ? `${name}, ${first.length} of ${count(all)}` : name
  return section(heading, [...table(rows, align).map((line) => `  ${line}`), `  See all: ${more}`])
}

const USER_ALIGN: readonly Align[] = ['left', 'left', 'right', 'right', 'right', 'right', 'right']

function userRows({ mode }: ExitCard, lines: readonly UserLine[]): string[][] {
  const columns = [
    money(lines.map((line) => line.balance_before_microdollars)),
    money(lines.map((line) => spoken(mode, line.expired_microdollars))),
    money(lines.map((line) => spoken(mode, line.due_paid_microdollars))),
    money(lines.map((line) => spoken(mode, line.correction_microdollars))),
    money(lines.map((line) => line.final_balance_microdollars)),
  ]
  return withHeadings(
    ['user', 'e-mail', 'balance before', 'free credit', 'other due', 'correction', 'balance after'],
    lines,
    columns,
  )
}

const CORRECTION_ALIGN: readonly Align[] = ['left', 'left', 'right', 'right', 'right', 'right']

function correctionRows({ mode }: ExitCard, lines: readonly UserLine[]): string[][] {
  const columns = [
    money(lines.map((line) => line.balance_before_microdollars)),
    money(lines.map((line) => spoken(mode, changedBy(line)))),
    money(lines.map((line) => spoken(mode, line.correction_microdollars))),
    money(lines.map((line) => line.final_balance_microdollars)),
  ]
  return withHeadings(
    ['user', 'e-mail', 'balance before', wordsFor(mode).changed, 'correction', 'balance after'],
    lines,
    columns,
  )
}

function withHeadings(
  headings: string[],
  lines: readonly UserLine[],
  columns: readonly string[][],
): string[][] {
  return [
    headings,
    ...lines.map((line, index) => [
      printable(line.user_id),
      printable(line.email ?? '–'),
      ...columns.map((column) => column[index] ?? ''),
    ]),
  ]
}

const FAILURE_ALIGN: readonly Align[] = ['left', 'left', 'left', 'left']

function failureRows(lines: readonly ErrorLine[]): string[][] {
  const rows = lines.map((line) => [
    printable(line.user_id),
    line.stage,
    line.sqlstate ?? printable(line.error),
    printable(line.message).slice(0, LONGEST_MESSAGE),
  ])
  return [['user', 'at', 'error', 'message'], ...rows]
}

const WARNING_ALIGN: readonly Align[] = ['left', 'left', 'right', 'left']

function warningRows(lines: readonly UserLine[]): string[][] {
  const balances = money(lines.map((line) => line.final_balance_microdollars))
  const rows = lines.map((line, index) => [
    printable(line.user_id),
    printable(line.email ?? '–'),
    balances[index] ?? '',
    [...(isLeftAlone(line.outcome) ? [line.outcome] : []), ...line.flags].join(', '),
  ])
  return [['user', 'e-mail', 'balance after', 'warning'], ...rows]
}

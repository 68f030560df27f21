import type { ExitCard } from '../../../lambda/exit-card.ts'
import { changedBy, type ErrorLine, type Highlights, type Top, type UserLine } from './highlights.ts'
import type { Place } from '../place.ts'
import { type Column, count, money, section, table, textOf } from './tables.ts'
import { type Output, printable } from '../terminal.ts'
import { isSkipped, outcomesOf, shownAmount, wordsFor } from './words.ts'

const INDENT = '  '

type Look = Pick<Place, 'lookInto'>
type Out = Pick<Output, 'columns' | 'style'>

/**
 * The largest changes, the corrections, the failures and the warnings of a run, each with how to see all of
 * them.
 */
export function highlightTables(card: ExitCard, found: Highlights, place: Look, out: Out): string {
  const { users, mutations, errors } = card.logs
  const reasons = outcomesOf(card.totals).skipped.map(([outcome]) => `"outcome":"${outcome}"`)
  const part = <T>(
    name: string,
    top: Top<T>,
    columns: readonly Column[],
    rows: string[][],
    more: string,
  ): string[] => {
    if (top.first.length === 0) return []
    const some = top.all > top.first.length ? `, ${top.first.length} of ${count(top.all)}` : ''
    const lines = table(columns, rows, out.columns - INDENT.length).map((line) => `${INDENT}${line}`)
    return section(out.style('bold', `${name}${some}`), [
      ...lines,
      out.style('dim', `${INDENT}See all: ${more}`),
    ])
  }
  const { changes, corrections, failures, warnings } = found
  return textOf([
    ...part(
      'Largest changes',
      changes,
      CHANGE,
      amountRows(changes.first, card.mode, CHANGES),
      place.lookInto(users),
    ),
    ...part(
      'Corrections',
      corrections,
      correctionColumns(card.mode),
      amountRows(corrections.first, card.mode, CORRECTIONS),
      place.lookInto(mutations, ['accounting_adjustment']),
    ),
    ...part('Failures', failures, FAILURE, failureRows(failures.first), place.lookInto(errors)),
    ...part(
      'Users with warnings',
      warnings,
      WARNING,
      warningRows(warnings.first),
      place.lookInto(users, ['"flags":["', ...reasons]),
    ),
  ])
}

const EMAIL: Column = { head: 'user', least: 16 }
const ID: Column = { head: 'id', least: 24, optional: 9 }
const BEFORE: Column = { head: 'before', right: true }
const AFTER: Column = { head: 'after', right: true }

const CHANGE: readonly Column[] = [
  EMAIL,
  ID,
  BEFORE,
  { head: 'free', right: true },
  { head: 'due paid', right: true, optional: 2 },
  { head: 'correction', right: true, optional: 1 },
  AFTER,
]

const CHANGES = [
  (line: UserLine) => line.expired_microdollars,
  (line: UserLine) => line.due_paid_microdollars,
  (line: UserLine) => line.correction_microdollars,
]

function correctionColumns(mode: string): readonly Column[] {
  const changed = { head: wordsFor(mode).changed, right: true, optional: 1 } as const
  return [EMAIL, ID, BEFORE, changed, { head: 'correction', right: true }, AFTER]
}

const CORRECTIONS = [changedBy, (line: UserLine) => line.correction_microdollars]

/** Between the balances before and after, what the run changed. */
function amountRows(
  lines: readonly UserLine[],
  mode: string,
  changes: readonly ((line: UserLine) => number)[],
): string[][] {
  return rowsOf(lines, [
    money(lines.map((line) => line.balance_before_microdollars)),
    ...changes.map((change) => money(lines.map((line) => shownAmount(mode, change(line))))),
    money(lines.map((line) => line.final_balance_microdollars)),
  ])
}

const FAILURE: readonly Column[] = [
  { head: 'id', least: 16 },
  { head: 'stage' },
  { head: 'error' },
  { head: 'message', least: 12 },
]

function failureRows(lines: readonly ErrorLine[]): string[][] {
  return lines.map((line) => [
    printable(line.user_id),
    line.stage,
    line.sqlstate ?? printable(line.error),
    printable(line.message),
  ])
}

const WARNING: readonly Column[] = [EMAIL, ID, AFTER, { head: 'warning', least: 16 }]

function warningRows(lines: readonly UserLine[]): string[][] {
  const warnings = lines.map(({ outcome, flags }) =>
    [...(isSkipped(outcome) ? [outcome] : []), ...flags].join(', '),
  )
  return rowsOf(lines, [money(lines.map((line) => line.final_balance_microdollars)), warnings])
}

function rowsOf(lines: readonly UserLine[], columns: readonly (readonly string[])[]): string[][] {
  return lines.map((line, place) => [
    printable(line.email ?? '–'),
    printable(line.user_id),
    ...columns.map((column) => column[place] ?? ''),
  ])
}

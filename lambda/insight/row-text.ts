import { dollars } from '../exit-card.ts'
import type { Changed, Found } from '../rules/rollback.ts'

/** What made a row count, in words. */
const WHY: Readonly<Record<string, string>> = {
  reversal_without_link: 'it takes credit back without naming a grant',
  positive_closing_row: 'a closing row that is not negative',
  user_excluded: 'the user is excluded',
  category_excluded: 'its category is excluded',
  category_not_selected: 'its category was not selected',
}

/**
 * A row, excess or change of a line as text: `credit category: manual_decrement, amount: -$5.00, why: it takes
 * credit back without naming a grant`.
 */
export function rowText(row: unknown): string {
  if (typeof row === 'string') return row
  if (typeof row !== 'object' || row === null) return JSON.stringify(row) ?? ''
  if (isChanged(row)) return changedText(row)
  return Object.entries(row)
    .map(([name, value]) => `${columnName(name)}: ${valueText(name, value)}`)
    .join(', ')
}

function isChanged(row: object): row is Changed {
  return ['table', 'row', 'column', 'expected', 'found'].every((name) => Object.hasOwn(row, name))
}

/** Why a user is not rolled back: what is not as the run left it. */
function changedText({ table, row, column, expected, found }: Changed): string {
  if (column === 'closings') {
    return typeof found === 'number'
      ? `closing rows and corrections: ${found} now, ${expected} after the run`
      : 'closing rows and corrections: not the same as after the run'
  }
  const where = `${table} ${row}`
  if (column === 'id') return `${where}: the row is gone`
  const isLink = table !== 'credit_transactions' || column === 'original_transaction_id'
  if (expected === null && isLink) return `${where}: refers to the row ${found} by its ${column}`
  return `${where}: ${columnName(column)} is ${foundText(column, found)}, and was ${foundText(column, expected)} after the run`
}

function foundText(column: string, value: Found): string {
  if (value === null) return 'empty'
  return column.endsWith('_microdollars') ? dollars(Number(value)) : String(value)
}

function columnName(name: string): string {
  return name.replace(/_microdollars$/, '').replaceAll('_', ' ')
}

function valueText(name: string, value: unknown): string {
  if (name.endsWith('_microdollars') && typeof value === 'number') return dollars(value)
  if (typeof value !== 'string') return JSON.stringify(value) ?? ''
  return name === 'why' && Object.hasOwn(WHY, value) ? (WHY[value] ?? value) : value
}

import { dollars } from '../exit-card.ts'

/** What made a row count, in words. */
const WHY: Readonly<Record<string, string>> = {
  reversal_without_link: 'it takes credit back without naming a grant',
  positive_closing_row: 'a closing row that is not negative',
  user_excluded: 'the user is excluded',
  category_excluded: 'its category is excluded',
  category_not_selected: 'its category was not selected',
}

/**
 * A row, change or excess of a line as text: `credit category: manual_decrement, amount: -$5.00, why: it takes
 * credit back without naming a grant`.
 */
export function rowText(row: unknown): string {
  if (typeof row === 'string') return row
  if (typeof row !== 'object' || row === null) return JSON.stringify(row) ?? ''
  return Object.entries(row)
    .map(([name, value]) => `${columnName(name)}: ${valueText(name, value)}`)
    .join(', ')
}

function columnName(name: string): string {
  return name.replace(/_microdollars$/, '').replaceAll('_', ' ')
}

function valueText(name: string, value: unknown): string {
  if (name.endsWith('_microdollars') && typeof value === 'number') return dollars(value)
  if (typeof value !== 'string') return JSON.stringify(value) ?? ''
  return name === 'why' && Object.hasOwn(WHY, value) ? (WHY[value] ?? value) : value
}

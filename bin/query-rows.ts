import { stringify } from 'csv-stringify/sync'
import { withoutFormula } from './csv/format.ts'

/** A row of an answer. Counts and microdollars are numbers; they are safe integers in the logs. */
export type Row = Record<string, unknown>

export type Format = 'text' | 'csv' | 'json'

/** Rows for people, a spreadsheet or a program. */
export function formatRows(rows: readonly Row[], format: Format): string {
  if (format === 'json') return `${JSON.stringify(rows, null, 2)}\n`
  if (format === 'csv') {
    const flat = rows.map((row) => mapRow(row, (value) => (isNested(value) ? JSON.stringify(value) : value)))
    return stringify(flat, {
      header: true,
      record_delimiter: '\r\n',
      cast: { string: withoutFormula, boolean: String },
    })
  }
  if (rows.length === 0) return ''
  const lines = tableOf(rows)
  return lines.some((line) => line.length > WIDEST) || rows.some((row) => Object.values(row).some(isNested))
    ? rows.map(blockOf).join('\n')
    : lines.map((line) => `${line}\n`).join('')
}

/** A table that is wider than this is printed one row below the other. */
const WIDEST = 160

function mapRow(row: Row, change: (value: unknown) => unknown): Row {
  return Object.fromEntries(Object.entries(row).map(([column, value]) => [column, change(value)]))
}

function isNested(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** One line a row below a header; numbers are aligned on the right. */
function tableOf(rows: readonly Row[]): string[] {
  const columns = Object.keys(rows[0] ?? {})
  const widths = columns.map((column) =>
    rows.reduce((width, row) => Math.max(width, textOf(row[column]).length), column.length),
  )
  const cell = (text: string, at: number, isNumber: boolean): string =>
    isNumber ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)
  return [
    columns.map((column, at) => cell(column, at, typeof rows[0]?.[column] === 'number')).join('  '),
    ...rows.map((row) =>
      columns.map((column, at) => cell(textOf(row[column]), at, typeof row[column] === 'number')).join('  '),
    ),
  ].map((line) => line.trimEnd())
}

/** One line a value; the elements of a list below it. */
function blockOf(row: Row): string {
  const width = Math.max(...Object.keys(row).map((column) => column.length))
  return Object.entries(row)
    .map(([column, value]) => {
      const isLong = Array.isArray(value) && value.some(isNested)
      const text = isLong ? value.map((one) => `\n    ${textOf(one)}`).join('') : textOf(value)
      return `${column.padEnd(width)}  ${text}\n`
    })
    .join('')
}

/** Lists and objects in a readable form, everything else as it is. */
function textOf(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (Array.isArray(value)) return value.map(textOf).join(', ')
  if (isNested(value)) {
    return Object.entries(value)
      .filter(([, inner]) => inner !== null)
      .map(([key, inner]) => `${key}: ${textOf(inner)}`)
      .join(', ')
  }
  return typeof value === 'string' ? value : JSON.stringify(value)
}

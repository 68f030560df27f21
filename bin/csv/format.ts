import { Readable, type Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { stringify } from 'csv-stringify'
import { dollars } from '../../lambda/exit-card.ts'

/** A dollar amount is no text: its minus sign is no formula. */
type Dollars = { readonly usd: string }
type Cell = string | number | boolean | Dollars | null
type Row = Readonly<Record<string, Cell>>

/** Amounts of a row in microdollars; each becomes two columns, dollars and microdollars. */
export type Amounts = Readonly<Record<string, number | null>>

/** One row before it is written: what comes before the amounts, the amounts, and what comes after. */
export type TableRow = { readonly before: Row; readonly amounts: Amounts; readonly after: Row }

/** The names of a table's columns, those of amounts without their units. */
export type Columns = Readonly<Record<keyof TableRow, readonly string[]>>

/** The columns of a row, and so of its table. */
export function columnsOf({ before, amounts, after }: TableRow): Columns {
  return { before: Object.keys(before), amounts: Object.keys(amounts), after: Object.keys(after) }
}

/**
 * Writes rows of these columns as RFC 4180 with a header and, as the last row, the sums of the amounts that
 * are added up, also where there is no row; `out` is ended. Amounts are in dollars and in microdollars. A text
 * that a spreadsheet would take for a formula gets a leading apostrophe. A reader who has gone is no error.
 * `check` may refuse the sums, before the total row is written; null leaves the total row out.
 */
export async function writeTable(
  columns: Columns,
  rows: AsyncIterable<TableRow> | Iterable<TableRow>,
  out: Writable,
  check: ((sums: Amounts) => Promise<void>) | null = async () => {},
): Promise<void> {
  const csv = stringify({
    header: true,
    columns: Object.keys(totalRow(columns, noSums(columns))),
    record_delimiter: '\r\n',
    cast: { string: withoutFormula, object: ({ usd }) => String(usd), boolean: String },
  })
  let atReader: unknown
  out.once('error', (error) => (atReader = error))
  try {
    // Left open where a row cannot be read: an output that is destroyed could not tell its listeners why.
    await pipeline(Readable.from(withTotal(columns, rows, check)), csv, out, { end: false })
    out.end()
    await finished(out, { readable: false })
  } catch (error) {
    // The program that reads the output, such as head, has enough.
    if (!(error === atReader && isClosedPipe(error))) throw error
  }
}

function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE'
}

const FORMULA = /^[=+\-@\t\r]/

/** An apostrophe makes a spreadsheet show the text as it is. */
export function withoutFormula(text: string, { header }: { header: boolean }): string {
  return !header && FORMULA.test(text) ? `'${text}` : text
}

async function* withTotal(
  columns: Columns,
  rows: AsyncIterable<TableRow> | Iterable<TableRow>,
  check: ((sums: Amounts) => Promise<void>) | null,
): AsyncGenerator<Row> {
  const sums = noSums(columns)
  for await (const row of rows) {
    for (const [column, amount] of Object.entries(row.amounts))
      sums[column] = (sums[column] ?? 0) + (amount ?? 0)
    yield flat(row)
  }
  if (check === null) return
  await check(sums)
  yield totalRow(columns, sums)
}

function flat({ before, amounts, after }: TableRow): Row {
  return { ...before, ...amountCells(amounts), ...after }
}

/** Two columns an amount, in dollars and in microdollars. */
export function amountCells(amounts: Amounts): Row {
  return Object.fromEntries(
    Object.entries(amounts).flatMap(([name, amount]): [string, Cell][] => [
      [`${name}_usd`, amount === null ? null : dollarsOf(amount)],
      [`${name}_microdollars`, amount],
    ]),
  )
}

function noSums({ amounts }: Columns): Record<string, number> {
  return Object.fromEntries(amounts.map((column) => [column, 0]))
}

function totalRow({ before, after }: Columns, sums: Record<string, number>): Row {
  const [label = ''] = before
  return flat({
    before: { ...emptyCells(before), [label]: 'total' },
    amounts: sums,
    after: emptyCells(after),
  })
}

function emptyCells(columns: readonly string[]): Row {
  return Object.fromEntries(columns.map((column) => [column, null]))
}

/** Dollars with six decimals, without a currency sign: what a spreadsheet takes for a number. */
function dollarsOf(microdollars: number): Dollars {
  return { usd: dollars(microdollars).replace(/[$,]/g, '') }
}

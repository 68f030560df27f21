import { dollars } from '../../lambda/exit-card.ts'

/** How a column of a table is set. */
export type Align = 'left' | 'right'

/** Rows of cells as lines, each column as wide as its widest cell, two spaces between. */
export function table(rows: readonly (readonly string[])[], align: readonly Align[]): string[] {
  const widths = align.map((_, column) => Math.max(0, ...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) =>
        align[column] === 'right' ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  )
}

/** Amounts in dollars with all their cents, their points under each other when set to the right. */
export function money(microdollars: readonly (number | null)[]): string[] {
  const texts = microdollars.map((amount) => (amount === null ? '–' : dollars(amount)))
  const decimals = Math.max(...texts.map(decimalsOf))
  return texts.map((text) => text + ' '.repeat(decimals - decimalsOf(text)))
}

/** Of a text without a point, as many as cents have: a dash stands where the cents end. */
function decimalsOf(text: string): number {
  const point = text.indexOf('.')
  return point === -1 ? 2 : text.length - point - 1
}

export function count(number: number): string {
  return number.toLocaleString('en-US')
}

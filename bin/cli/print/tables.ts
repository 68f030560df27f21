import Table from 'cli-table3'
import { dollars, grouped } from '../../../lambda/exit-card.ts'

/** A column of a table. */
export type Column = {
  readonly head: string
  readonly right?: true
  /**
   * Where the table is wider than the terminal, such columns are shortened, but not below `least` characters.
   */
  readonly least?: number
  /** Where that does not suffice, such columns are left out, the highest number first. */
  readonly optional?: number
}

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
}
const GAP = 2

/**
 * Rows of cells below a line of headings (left out where all are empty), no line wider than `width`
 * characters as long as the columns that are neither shortened nor left out fit.
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
): string[] {
  const cells = [
    ...(columns.some(({ head }) => head !== '') ? [columns.map(({ head }) => head)] : []),
    ...rows,
  ]
  return drawn(columns, cells, fitted(columns, cells, width), false)
}

/** A column of a wrapped table has at least this many characters, and room for its longest word. */
const LEAST_WRAPPED = 16

/**
 * The same with long cells broken between words, so that nothing is cut off; null where that does not fit.
 */
export function wrappedTable(
  columns: readonly Pick<Column, 'head' | 'right'>[],
  rows: readonly (readonly string[])[],
  width: number,
): string[] | null {
  const cells = [columns.map(({ head }) => head), ...rows]
  const shrinkable = columns.map((column, place) => ({
    ...column,
    least: Math.max(LEAST_WRAPPED, ...cells.flatMap((row) => lengthsOfWords(row[place] ?? ''))),
  }))
  const layout = fitted(shrinkable, cells, width)
  const needed = layout.widths.reduce((sum, one) => sum + one, GAP * (columns.length - 1))
  return needed > width ? null : drawn(columns, cells, layout, true)
}

function lengthsOfWords(text: string): number[] {
  return text.split(' ').map(({ length }) => length)
}

function drawn(
  columns: readonly Column[],
  cells: readonly (readonly string[])[],
  { shown, widths }: Fitted,
  wordWrap: boolean,
): string[] {
  const text = new Table({
    wordWrap,
    chars: NO_LINES,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
    colWidths: widths,
    colAligns: shown.map((place) => (columns[place]?.right ? 'right' : 'left')),
  })
  text.push(...cells.map((row) => shown.map((place) => row[place] ?? '')))
  return text
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
}

type Fitted = { readonly shown: readonly number[]; readonly widths: number[] }

function fitted(columns: readonly Column[], cells: readonly (readonly string[])[], width: number): Fitted {
  const natural = columns.map((_, place) => Math.max(1, ...cells.map((row) => row[place]?.length ?? 0)))
  let shown = columns.map((_, place) => place)
  for (;;) {
    const widths = shrunk(columns, shown, natural, width)
    if (widths !== null) return { shown, widths }
    const last = shown
      .filter((place) => columns[place]?.optional !== undefined)
      .toSorted((a, b) => (columns[b]?.optional ?? 0) - (columns[a]?.optional ?? 0))[0]
    if (last === undefined) return { shown, widths: shown.map((place) => natural[place] ?? 1) }
    shown = shown.filter((place) => place !== last)
  }
}

/** Widths that fit, the widest column that may be shortened first; null where none do. */
function shrunk(
  columns: readonly Column[],
  shown: readonly number[],
  natural: readonly number[],
  width: number,
): number[] | null {
  const widths = shown.map((place) => natural[place] ?? 1)
  const least = shown.map((place, at) => Math.min(columns[place]?.least ?? Infinity, widths[at] ?? 1))
  let over = widths.reduce((sum, one) => sum + one, GAP * (shown.length - 1)) - width
  while (over > 0) {
    const room = widths.map((one, at) =>
      columns[shown[at] ?? -1]?.least === undefined ? 0 : one - (least[at] ?? one),
    )
    const at = room.indexOf(Math.max(...room))
    if ((room[at] ?? 0) <= 0) return null
    widths[at] = (widths[at] ?? 1) - 1
    over -= 1
  }
  return widths
}

/** Amounts in dollars with all their cents, their decimal points below each other when set to the right. */
export function money(microdollars: readonly (number | null)[]): string[] {
  const texts = microdollars.map((amount) => (amount === null ? '–' : dollars(amount)))
  const decimals = Math.max(0, ...texts.map(decimalsOf))
  return texts.map((text) => text + ' '.repeat(decimals - decimalsOf(text)))
}

/** A dash has as many as cents. */
function decimalsOf(text: string): number {
  const point = text.indexOf('.')
  return point === -1 ? 2 : text.length - point - 1
}

export { grouped as count }

/** A heading with its lines below an empty line; nothing at all without lines. */
export function section(heading: string, body: readonly string[]): string[] {
  return body.length === 0 ? [] : ['', heading, ...body]
}

export function textOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}

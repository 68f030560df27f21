import { dollars, type ExitCard } from '../../../lambda/exit-card.ts'
import { nextSection } from './report.ts'
import { wrapped } from './prose.ts'
import { count, textOf, wrappedTable } from './tables.ts'
import { type Output, printable } from '../terminal.ts'
import { inCommandWords } from '../line/wording.ts'
import { DIFFERENT, FAILED, INCOMPLETE } from '../../exit-status.ts'

type Out = Pick<Output, 'columns' | 'style'>
type Fields = Readonly<Record<string, unknown>>
/** What every answer has. */
type Answered = Fields & {
  readonly answer: string
  readonly result: unknown
  readonly next: ExitCard['next']
}

const EXIT_STATUS: Readonly<Record<string, number>> = {
  failed: FAILED,
  differences: DIFFERENT,
  different: DIFFERENT,
  incomplete: INCOMPLETE,
}

/** The results of a hold and a release, unless another person was faster. */
const AS_ASKED: Readonly<Record<string, string>> = { hold: 'held', release: 'released' }

/** The exit status of the command by its answer. */
export function exitStatusOf({ answer, result }: Answered): number {
  const asked = AS_ASKED[answer]
  if (asked !== undefined) return result === asked ? 0 : INCOMPLETE
  return EXIT_STATUS[String(result)] ?? 0
}

/**
 * Any answer that is no exit card as text: a line for each value, a table for a list of records, and the next
 * command. Fields that end in `Microdollars` are shown in dollars.
 */
export function answerText({ answer, result, next, ...fields }: Answered, out: Out): string {
  const all: Fields = isRecord(result) ? { ...result, ...fields } : fields
  const title = typeof result === 'string' ? `${labelOf(answer)}: ${result}` : labelOf(answer)
  return textOf([
    out.style('bold', title),
    ...recordLines(all, { depth: 0, amounts: false }, out),
    ...nextSection(next, out),
  ])
}

/** How deep a value is nested, and whether its numbers are microdollars. */
type Place = { readonly depth: number; readonly amounts: boolean }

/** Simple values first, one a line; then what is nested, indented. */
function recordLines(record: Fields, { depth, amounts }: Place, out: Out): string[] {
  const indent = '  '.repeat(depth)
  const entries = entriesOf(record).map(([key, value]) => ({
    value,
    label: labelOf(key),
    amounts: amounts || isAmount(key),
  }))
  return [
    ...entries
      .filter(({ value }) => isSimple(value))
      .flatMap((entry) => {
        const text = `${entry.label}: ${textFor(entry.value, entry.amounts)}`
        return wrapped(text, out.columns, indent, `${indent}    `)
      }),
    ...entries
      .filter(({ value }) => !isSimple(value))
      .flatMap((entry) => [
        `${indent}${entry.label}`,
        ...nestedLines(entry.value, { depth: depth + 1, amounts: entry.amounts }, out),
      ]),
  ]
}

function nestedLines(value: unknown, place: Place, out: Out): string[] {
  if (!Array.isArray(value)) return isRecord(value) ? recordLines(value, place, out) : []
  const records = value.filter(isRecord)
  const indent = '  '.repeat(place.depth)
  const rows = tableOf(records, out.columns - indent.length)
  if (rows !== null) return rows.map((row) => `${indent}${row}`)
  return records.flatMap((record, at) => [...(at === 0 ? [] : ['']), ...recordLines(record, place, out)])
}

/** Null where a record holds more than simple values, or where the columns have no room. */
function tableOf(records: readonly Fields[], width: number): string[] | null {
  const entries = records.map(entriesOf)
  if (!entries.flat().every(([, value]) => isSimple(value))) return null
  const keys = [...new Set(entries.flat().map(([key]) => key))]
  const columns = keys.map((key) => {
    const isNumber = records.every((record) => ['number', 'undefined'].includes(typeof record[key]))
    return { head: labelOf(key), ...(isNumber && { right: true as const }) }
  })
  const rows = records.map((record) =>
    keys.map((key) => (isEmpty(record[key]) ? '' : textFor(record[key], isAmount(key)))),
  )
  return wrappedTable(columns, rows, width)
}

/** Without what is empty, and without the text in dollars beside an amount in microdollars. */
function entriesOf(record: Fields): [string, unknown][] {
  return Object.entries(record).filter(
    ([key, value]) => !isEmpty(value) && record[`${key}Microdollars`] === undefined,
  )
}

function textFor(value: unknown, amounts: boolean): string {
  if (Array.isArray(value)) return value.map((item) => textFor(item, amounts)).join(', ')
  if (typeof value === 'number') return amounts ? dollars(value) : count(value)
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return printable(inCommandWords(String(value)))
}

function isAmount(key: string): boolean {
  return key.endsWith('Microdollars')
}

/** `mayCommitUntil` → `May commit until` */
function labelOf(key: string): string {
  const words = printable(key.replace(/Microdollars$/, ''))
    .replaceAll(/(?<=[a-z])(?=[A-Z])|_/g, ' ')
    .toLowerCase()
    .replace(/\bids?\b/, (word) => word.replace('id', 'ID'))
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

function isSimple(value: unknown): boolean {
  return Array.isArray(value) ? !value.some(isRecord) : !isRecord(value)
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

import { type CommandOption, isSeveral, isSwitch, longFlag, OPTIONS } from './options.ts'
import { printable } from '../terminal.ts'

const BY_FIELD: ReadonlyMap<string | undefined, readonly CommandOption[]> = Map.groupBy(
  OPTIONS,
  ({ field }) => field,
)

/** The option that sets a field of the payload: `--limit-usd` for `limits.usd`. */
export function optionFor(field: string): string | undefined {
  const option = BY_FIELD.get(field)?.[0]
  return option && longFlag(option)
}

/** The command line that sends a payload, to be pasted into a shell. */
export function commandFor(payload: Readonly<Record<string, unknown>>): string {
  const options = optionsFor(payload, '')
  if (options === null) return `npm start -- --event ${quoted(JSON.stringify(payload))}`
  return ['npm start', ...(options.length > 0 ? ['--', ...options] : [])].join(' ')
}

/** Null where a field has no option, or its value cannot be written as one. */
function optionsFor(payload: Readonly<Record<string, unknown>>, prefix: string): string[] | null {
  const parts = Object.entries(payload).map(([name, value]) => {
    const field = `${prefix}${name}`
    if (isObject(value)) return optionsFor(value, `${field}.`)
    const text = optionText(field, value)
    return text === null ? null : [text]
  })
  return parts.every((part) => part !== null) ? parts.flat() : null
}

function optionText(field: string, value: unknown): string | null {
  const candidates = BY_FIELD.get(field) ?? []
  const switched = candidates.find((option) => isSwitch(option) && option.sends === value)
  if (switched) return longFlag(switched)
  const option = candidates.find((candidate) => !isSwitch(candidate))
  if (option && isSeveral(option) && Array.isArray(value)) {
    const words = value.map(String)
    return words.every(isPlain) ? [longFlag(option), ...words.map(quoted)].join(' ') : null
  }
  const text = Array.isArray(value) ? listText(value) : typeof value === 'number' ? String(value) : value
  if (option === undefined || typeof text !== 'string' || !isPlain(text)) return null
  return `${longFlag(option)} ${quoted(text)}`
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether a text can be the value of an option on one line. */
function isPlain(text: string): boolean {
  return text.trim() !== '' && !text.startsWith('-') && text === printable(text)
}

/** A comma, or a space at the ends, would not come back as it was. */
function listText(values: readonly unknown[]): string | null {
  const texts = values.filter(
    (value) => typeof value === 'string' && value !== '' && !value.includes(',') && value === value.trim(),
  )
  return texts.length === values.length ? texts.join(',') : null
}

/** A word as a POSIX shell takes it literally; a placeholder such as `<run id>` stays as it is. */
export function quoted(text: string): string {
  return /^([\w@%+=:,./-]+|<[\w ]+>)$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

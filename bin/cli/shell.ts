import { printable } from './terminal.ts'

/** Options by the payload field that each sets; a payload with any other field goes through `--event`. */
const SIMPLE: Readonly<Record<string, string>> = {
  plan: '--plan',
  rollback: '--rollback',
  resume: '--resume',
  cancel: '--cancel',
  status: '--status',
  reason: '--reason',
  restart: '--restart',
  batchSize: '--batch-size',
  concurrency: '--concurrency',
  domains: '--domains',
  userIds: '--user-ids',
}

/** The command line that sends a payload, to be pasted into a shell. */
export function commandFor(payload: Readonly<Record<string, unknown>>): string {
  const options = Object.entries(payload).map(([field, value]) => optionFor(field, value))
  if (options.every((option) => option !== null))
    return ['npm start', ...(options.length > 0 ? ['--', ...options] : [])].join(' ')
  return `npm start -- --event ${quoted(JSON.stringify(payload))}`
}

function optionFor(field: string, value: unknown): string | null {
  if (field === 'execute') return value === true ? '--execute' : null
  const option = SIMPLE[field]
  const text = Array.isArray(value) ? listText(value) : typeof value === 'number' ? String(value) : value
  if (option === undefined || typeof text !== 'string' || !isPlain(text)) return null
  return `${option} ${quoted(text)}`
}

/** Whether a text can stand behind an option on one line as it is; JSON can say the others. */
function isPlain(text: string): boolean {
  return text.trim() !== '' && !text.startsWith('-') && text === printable(text)
}

/** A comma or a space at the ends would not come back as it was. */
function listText(values: readonly unknown[]): string | null {
  const texts = values.filter(
    (value) => typeof value === 'string' && value !== '' && !value.includes(',') && value === value.trim(),
  )
  return texts.length === values.length ? texts.join(',') : null
}

/** A word as a POSIX shell takes it literally. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

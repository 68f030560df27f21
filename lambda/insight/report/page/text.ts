import { grouped } from '../../../exit-card.ts'

/**
 * Characters that hide, reorder or break text: controls, line separators, zero-width and bidirectional
 * marks.
 */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/**
 * Text from a log as a reader may see it: white space as one space, invisible characters by their code
 * (`[U+202E]`), and no longer than `limit` characters.
 */
export function shown(text: string, limit: number): string {
  const plain = cut(text, limit).toWellFormed().replace(/\s+/g, ' ')
  return plain.replace(INVISIBLE, (character) => `[U+${hex(character)}]`)
}

/**
 * Through bytes, since a slice alone would keep the whole long text in memory; never half of a surrogate
 * pair.
 */
function cut(text: string, limit: number): string {
  if (text.length <= limit) return text
  const start = text.slice(0, limit - 1).replace(/[\uD800-\uDBFF]$/, '')
  return `${Buffer.from(start).toString()}…`
}

function hex(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
}

/** `1 user`, `212 users`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${number(count)} ${count === 1 ? one : many}`
}

export function number(count: number): string {
  return grouped(count)
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(items: readonly string[]): string {
  return new Intl.ListFormat('en-GB').format(items)
}

/** Made once: making it takes far longer than using it. */
const LONG_DATE = new Intl.DateTimeFormat('en-US', { dateStyle: 'long', timeZone: 'UTC' })

/** `November 22, 2026 at 06:12 UTC`; text that is no time is shown as it is. */
export function whenText(iso: string): string {
  const time = new Date(iso)
  if (Number.isNaN(time.getTime())) return iso
  return `${LONG_DATE.format(time)} at ${time.toISOString().slice(11, 16)} UTC`
}

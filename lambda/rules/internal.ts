/**
 * A text with its ASCII letters in lower case and nothing else changed. `toLowerCase` would turn `İ` (U+0130)
 * and the Kelvin sign into ASCII letters, and SQL under the "C" collation does not: both sides must fold
 * alike.
 */
export function foldAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

/**
 * Whether an e-mail belongs to an internal user: its part after the last `@`, with ASCII letters in lower
 * case, equals one of the domains (given in lower case). A subdomain or a lookalike is not internal
 * (1-ledger-rules, "Who and what").
 */
export function isInternal(email: string, domains: readonly string[]): boolean {
  const at = email.lastIndexOf('@')
  return at >= 0 && domains.includes(foldAscii(email.slice(at + 1)))
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * Whether a text is a registrable domain name in lower case: two labels at least, so never a bare top-level
 * domain.
 */
export function isDomainName(text: string): boolean {
  const labels = text.split('.')
  return (
    text.length <= 253 &&
    labels.length >= 2 &&
    labels.every((label) => LABEL.test(label)) &&
    !/^\d+$/.test(labels.at(-1) ?? '')
  )
}

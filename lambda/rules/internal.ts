/**
 * Whether an e-mail belongs to an internal user: its part after the last `@`, lower-cased, equals one of
 * the domains (given in lower case). A subdomain or a lookalike is not internal (1-ledger-rules, "Who and what").
 */
export function isInternal(email: string, domains: readonly string[]): boolean {
  const at = email.lastIndexOf('@')
  return at >= 0 && domains.includes(email.slice(at + 1).toLowerCase())
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/** Whether a text is a registrable domain name in lower case: two labels at least, so never a bare top-level domain. */
export function isDomainName(text: string): boolean {
  const labels = text.split('.')
  return (
    text.length <= 253 &&
    labels.length >= 2 &&
    labels.every((label) => LABEL.test(label)) &&
    !/^\d+$/.test(labels.at(-1) ?? '')
  )
}

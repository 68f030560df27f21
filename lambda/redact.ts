/**
 * A local part may be quoted, spaces and all, may hold an apostrophe, and does not end in a slash: a path
 * may.
 */
const EMAIL = /("[^"]*"|[^\s"<>(),:;=]*[^\s"<>(),:;=/\\])@[^\s"'<>(),:;=]+/g
const URL_SECRET = /(\w+:\/\/[^:/\s]*:)[^@\s]*@/g

/** Who did something, for a text that must not hold an e-mail address: an address without its domain. */
export function personOf(by: string): string {
  return by.replace(/@\S*/g, '')
}

/**
 * A text without e-mail addresses and without passwords in URLs, for every message that may reach CloudWatch,
 * a caller or a notification. Paths of packages (`node_modules/@scope/name`) stay as they are.
 */
export function redact(text: string): string {
  return text.replace(URL_SECRET, '$1***@').replace(EMAIL, '***')
}

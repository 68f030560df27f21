import { hash, randomInt } from 'node:crypto'

/** The namespace of this job's ids; any fixed UUID does, but never another one. */
const NAMESPACE = Buffer.from('5f0c6d1e3b0e4d3f9a54c1f3a8e2b7d6', 'hex')

/**
 * The id of a row that an attempt inserts: UUID v5 of (run id, attempt, grant id or user id). An id in the database
 * so says which attempt wrote it, and the same attempt cannot insert a row twice.
 */
export function rowId(runId: string, attempt: string, subject: string): string {
  const hex = hash('sha1', Buffer.concat([NAMESPACE, Buffer.from(`${runId}/${attempt}/${subject}`)]))
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'

/** `2026-11-22T06-12-30-123Z-execute-k3j9`: sorts by time, and is safe in a key. */
export function newRunId(instant: string, mode: string): string {
  const suffix = Array.from({ length: 4 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')
  return `${instant.replace(/[:.]/g, '-')}-${mode}-${suffix}`
}

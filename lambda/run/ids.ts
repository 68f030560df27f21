import { hash, randomInt } from 'node:crypto'

/** The namespace of this job's ids. It must never change. */
const NAMESPACE = Buffer.from('5f0c6d1e3b0e4d3f9a54c1f3a8e2b7d6', 'hex')

/**
 * The id of a row that an attempt inserts: UUID v5 of (run id, attempt, grant id or user id). An id in the
 * database so names the attempt that wrote it, and one attempt cannot insert a row twice.
 */
export function rowId(runId: string, attempt: string, subject: string): string {
  return uuidV5(`${runId}/${attempt}/${subject}`)
}

/** RFC 9562, 5.5. In half the time of a library: a run makes ids by the thousand. */
function uuidV5(name: string): string {
  const sha1 = hash('sha1', Buffer.concat([NAMESPACE, Buffer.from(name)]))
  const variant = (8 + (Number.parseInt(sha1.charAt(16), 16) % 4)).toString(16)
  const parts = [sha1.slice(0, 8), sha1.slice(8, 12), `5${sha1.slice(13, 16)}`, variant + sha1.slice(17, 20)]
  return `${parts.join('-')}-${sha1.slice(20, 32)}`
}

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'

/** `2026-11-22T06-12-30-123Z-execute-k3j9`: sorts by time, and is safe in a key. */
export function newRunId(instant: string, mode: string): string {
  const suffix = Array.from({ length: 4 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')
  return `${instant.replace(/[:.]/g, '-')}-${mode}-${suffix}`
}

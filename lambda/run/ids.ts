import { randomInt } from 'node:crypto'
import { parse, v5 } from 'uuid'

/** The namespace of this job's ids. It must never change. */
const NAMESPACE = parse('5f0c6d1e-3b0e-4d3f-9a54-c1f3a8e2b7d6')

/**
 * The id of a row that an attempt inserts: UUID v5 of (run id, attempt, grant id or user id). An id in the
 * database so names the attempt that wrote it, and one attempt cannot insert a row twice.
 */
export function rowId(runId: string, attempt: string, subject: string): string {
  return v5(Buffer.from(`${runId}/${attempt}/${subject}`), NAMESPACE)
}

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'

/** `2026-11-22T06-12-30-123Z-execute-k3j9`: sorts by time, and is safe in a key. */
export function newRunId(instant: string, mode: string): string {
  const suffix = Array.from({ length: 4 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')
  return `${instant.replace(/[:.]/g, '-')}-${mode}-${suffix}`
}

import type * as z from 'zod'
import { ArchiveCorrupt, ifLost } from './errors.ts'

export const JSON_TYPE = 'application/json'
export const JSONL_TYPE = 'application/x-ndjson'
export const BINARY_TYPE = 'application/octet-stream'

/** A document together with the ETag that a later compare-and-swap needs. */
export type Versioned<T> = { readonly document: T; readonly etag: string }

/** A document as the text that is stored: indented, since people read these. */
export function serialize(document: object): string {
  return `${JSON.stringify(document, null, 2)}\n`
}

/** The same, on one line: for documents that are large or written often. */
export function serializeCompactly(document: object): string {
  return `${JSON.stringify(document)}\n`
}

/**
 * Reads a stored document.
 * @throws ArchiveCorrupt naming the key when it is not the JSON that it must be
 */
export function parseDocument<T>(schema: z.ZodType<T>, key: string, body: string): T {
  try {
    return schema.parse(JSON.parse(body))
  } catch (error) {
    throw new ArchiveCorrupt(
      `${key} is damaged or incomplete. It was not changed. Restore its last good version in S3, ` +
        `then send the payload again.${ifLost(key)}`,
      { cause: error },
    )
  }
}

/**
 * Serializes a document that will be read back, and refuses one that could not be.
 * @throws ZodError naming the field, before anything is stored
 */
export function checked<T>(schema: z.ZodType<T>, document: T): T {
  return schema.parse(document)
}

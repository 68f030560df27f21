/** An error as S3 gives it: the HTTP status, and the code that the AWS SDK takes as the error's name. */
export type S3Answer = { status: number; code: string }

/** A request, as far as conditional writes depend on it. */
type Write = {
  method: string
  key: string
  query: Readonly<Record<string, string | undefined>>
  ifMatch: string | undefined
  ifNoneMatch: string | undefined
}

/**
 * What S3 answers to a PutObject or CompleteMultipartUpload whose If-Match or If-None-Match does not hold, or undefined
 * when the request may go on. `etagOf` gives the ETag of the object that is there now.
 * Source: Amazon S3 user guide, "Add preconditions to S3 operations with conditional requests".
 */
export function failedCondition(write: Write, etagOf: () => string | undefined): S3Answer | undefined {
  if (!createsObject(write)) return undefined
  const { ifMatch, ifNoneMatch } = write
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*') return { status: 501, code: 'NotImplemented' }
  const etag = etagOf()
  if (ifNoneMatch === '*' && etag !== undefined) return { status: 412, code: 'PreconditionFailed' }
  if (ifMatch === undefined) return undefined
  if (etag === undefined) return { status: 404, code: 'NoSuchKey' }
  return unquoted(ifMatch) === unquoted(etag) ? undefined : { status: 412, code: 'PreconditionFailed' }
}

function createsObject({ method, key, query }: Write): boolean {
  if (key === '') return false
  if (method === 'PUT') return query['uploadId'] === undefined
  return method === 'POST' && query['uploadId'] !== undefined
}

function unquoted(etag: string): string {
  return etag.replaceAll('"', '')
}

/** The XML body of an S3 error. */
export function errorXml(code: string, message: string, resource: string): string {
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<Error><Code>${escapeXml(code)}</Code><Message>${escapeXml(message)}</Message>` +
      `<Resource>${escapeXml(resource)}</Resource></Error>`,
  ].join('\n')
}

function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

/**
 * S3 did not do what was asked, and trying again did not help. The message says what was asked and what to
 * do.
 */
export class ArchiveUnavailable extends Error {
  override readonly name = 'ArchiveUnavailable'
}

/** An object is missing, cut short, edited, or not of the shape it must have. Never a reason to guess. */
export class ArchiveCorrupt extends Error {
  override readonly name = 'ArchiveCorrupt'
}

/** Another invocation has written a document that only the holder of the lease may write. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
}

/** S3 did not do what was asked, and trying again did not help. The message says what was asked and what to look at. */
export class ArchiveUnavailable extends Error {
  override readonly name = 'ArchiveUnavailable'
}

/** An object is missing, cut short or not of the shape it must have. Never a reason to guess or to start afresh. */
export class ArchiveCorrupt extends Error {
  override readonly name = 'ArchiveCorrupt'
}

/** Somebody else has written a document that only the holder of the lease may write. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
}

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

/** Restoring a version of such an object would not help: the message names what reads it. */
export function writtenByVersion010(what: string, whichRuns: string): ArchiveCorrupt {
  return new ArchiveCorrupt(
    `${what} was written by version 0.1.0, whose log layout this version does not read. ` +
      `Nothing was done. Use version 0.1.0 of credit-expiry for ${whichRuns}, or another LOG_BUCKET.`,
  )
}

const RUN_OF_KEY = /^(?:runs|intents|logs\/[a-z]+)\/([^/]+)\//

/** What is left to do where an object of a run is lost for good: the end of a message about it. */
export function ifLost(key: string): string {
  const [, runId] = RUN_OF_KEY.exec(key) ?? []
  if (runId === undefined) return ''
  return runId.includes('-dry-run-')
    ? ' If that is impossible, send the payload of that run again: a dry run changes nothing.'
    : ` If that is impossible and the run is open, {"abandon": "${runId}", "reason": "…"} abandons it.`
}

/** Another invocation has written a document that only the holder of the lease may write. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
}

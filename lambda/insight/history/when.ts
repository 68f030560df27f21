/**
 * What part of the time a question is about: each bound is a time or the beginning of one, like `2026-10`.
 */
export type Period = { readonly from?: string | undefined; readonly to?: string | undefined }

const RUN_TIME = /^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)-(\d{3})Z-/

/** A run's instant, from its id. */
export function instantOf(runId: string): string {
  return runId.replace(RUN_TIME, '$1T$2:$3:$4.$5Z').slice(0, '2026-11-22T06:12:30.123Z'.length)
}

/**
 * Whether a run's instant is in a period. Both bounds are inclusive: `to` 2026-10 means until the end of
 * October.
 */
export function isWithin(instant: string, { from, to }: Period): boolean {
  const begin = from?.replace('Z', '') ?? ''
  const end = to?.replace('Z', '')
  return instant >= begin && (end === undefined || instant.replace('Z', '').slice(0, end.length) <= end)
}

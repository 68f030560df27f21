import * as z from 'zod'
import type { NamedPage } from '../../../lambda/archive/cursor.ts'
import { readLog } from '../../../lambda/archive/logs.ts'
import type { Store } from '../../../lambda/archive/s3/store.ts'
import { loggedLine, SHOWN_OF_A_USER } from '../../../lambda/insight/logged-line.ts'
import { isSkipped } from './words.ts'

/** A line of the users log, as far as it is shown. Amounts in microdollars. */
const userLine = loggedLine.pick({ ...SHOWN_OF_A_USER, flags: true })
export type UserLine = z.infer<typeof userLine>

const errorLine = z.object({
  user_id: z.string(),
  stage: z.string(),
  error: z.string(),
  sqlstate: z.string().nullable(),
  message: z.string(),
})
export type ErrorLine = z.infer<typeof errorLine>

/** The first of a ranking, and how many there are in all. */
export type Top<T> = { readonly first: readonly T[]; readonly all: number }

/** The lines of a run's logs that a person looks for first. */
export type Highlights = {
  readonly changes: Top<UserLine>
  readonly corrections: Top<UserLine>
  readonly warnings: Top<UserLine>
  readonly failures: Top<ErrorLine>
}

/**
 * Reads the logs of a closed run's pages once, and keeps the first `size` of each ranking only: a log may be
 * far larger than memory. Null when `stop` says so meanwhile.
 * @throws ArchiveUnavailable, ArchiveCorrupt
 */
export async function readHighlights(
  store: Store,
  { runId, pages }: { readonly runId: string; readonly pages: readonly NamedPage[] },
  size: number,
  stop: () => boolean,
): Promise<Highlights | null> {
  const changes = ranking<UserLine>(size, (line) => Math.abs(changedBy(line)))
  const corrections = ranking<UserLine>(size, (line) => Math.abs(line.correction_microdollars))
  const warnings = ranking<UserLine>(size, () => 0)
  const failures = ranking<ErrorLine>(size, () => 0)

  for await (const line of readLog(store, runId, 'users', pages, userLine)) {
    if (stop()) return null
    if (changedBy(line) !== 0) changes.add(line)
    if (line.correction_microdollars !== 0) corrections.add(line)
    if (line.flags.length > 0 || isSkipped(line.outcome)) warnings.add(line)
  }
  for await (const line of readLog(store, runId, 'errors', pages, errorLine)) {
    if (stop()) return null
    failures.add(line)
  }
  return {
    changes: changes.top(),
    corrections: corrections.top(),
    warnings: warnings.top(),
    failures: failures.top(),
  }
}

/** What expired for a user, in microdollars; negative where it was restored. */
export function changedBy(line: UserLine): number {
  return line.expired_microdollars + line.due_paid_microdollars
}

/** The largest by `measure`, the earlier first where it is equal. */
function ranking<T>(size: number, measure: (item: T) => number): { add(item: T): void; top(): Top<T> } {
  const first: T[] = []
  let all = 0
  return {
    add(item) {
      all += 1
      const last = first.at(-1)
      if (first.length === size && last !== undefined && measure(item) <= measure(last)) return
      const at = first.findIndex((other) => measure(other) < measure(item))
      first.splice(at === -1 ? first.length : at, 0, item)
      first.splice(size)
    },
    top: () => ({ first, all }),
  }
}

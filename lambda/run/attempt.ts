import type { Run } from '../archive/documents.ts'
import { attemptId } from '../archive/keys.ts'
import { putIntent, toLines } from '../archive/segments.ts'
import type { Store } from '../archive/store.ts'
import type { RowsMeaningDone } from '../ledger/settle.ts'
import type { UserResult } from './page.ts'

/** Which attempt it is, and until when it may commit. */
export type AttemptName = {
  readonly page: number
  readonly epoch: number
  readonly n: number
  readonly leaseExpiresAt: string
}

/** One user of an attempt: what tells whether it was committed, and the result that is theirs then. */
export type Candidate = {
  readonly userId: string
  /** The rows that the attempt inserts, or deletes in a rollback. */
  readonly rowIds: readonly string[]
  readonly result: UserResult
  readonly correctionMicrodollars: number
  /** The grants that get a closing row: what a unique violation may be about. */
  readonly closes: readonly string[]
}

/** An execute inserts rows, so rows that are there mean done; a rollback deletes rows that its intent saw. */
export function rowsMeaningDone(mode: string): RowsMeaningDone {
  return mode === 'rollback' ? 'absent' : 'present'
}

/**
 * Makes an attempt durable before anything of it is written to the database: a head that says what follows, then for
 * each user a line with the planned outcome, and those of the mutations. Whoever settles the attempt after a crash needs
 * nothing else.
 * `signal` gives up where a lock is held meanwhile.
 * @throws ArchiveUnavailable, ArchiveCorrupt
 */
export async function writeIntent(
  store: Store,
  run: Run,
  name: AttemptName,
  candidates: readonly Candidate[],
  signal?: AbortSignal,
): Promise<void> {
  const attempt = attemptId(name.page, name.epoch, name.n)
  const head = {
    run_id: run.runId,
    attempt,
    page: name.page,
    epoch: name.epoch,
    lease_expires_at: name.leaseExpiresAt,
    users: candidates.length,
  }
  const lines = candidates.flatMap(({ userId, rowIds, result: { line, mutations } }) => [
    Buffer.from(
      `{"user_id":${JSON.stringify(userId)},"row_ids":${JSON.stringify(rowIds)},"mutations":${mutations.lines},"line":`,
    ),
    line ? line.bytes.subarray(0, -1) : Buffer.from('null'),
    Buffer.from('}\n'),
    mutations.bytes,
  ])
  await putIntent(store, run.runId, attempt, [toLines([JSON.stringify(head)]), ...lines], signal)
}

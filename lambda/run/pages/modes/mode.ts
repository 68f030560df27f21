import { createHash } from 'node:crypto'
import type { IntentUser } from '../../../archive/intents.ts'
import type { LedgerTransaction } from '../../../ledger/connection/connect.ts'
import type { Reading } from '../../../ledger/read.ts'
import type { PlannedUser } from '../../../ledger/write.ts'
import type { InsertedRow, Rollback } from '../../../rules/rollback.ts'
import type { UserResult } from '../outcome.ts'

/** What is read of a page's users before they are planned; `inserted` is of a rollback's rows only. */
export type Observed = {
  readonly readings: ReadonlyMap<string, Reading>
  readonly inserted: ReadonlyMap<string, InsertedRow>
  /** Grants that a row of another user links to, where that is looked up: an approved plan knew them too. */
  readonly takenLinks?: ReadonlySet<string>
}

/**
 * One user to be changed by an attempt: what is written, what shows that it was, and the result if it was.
 */
export type Candidate = {
  readonly userId: string
  readonly email: string
  /** What planning was given, as the intent keeps it. */
  readonly inputs: unknown
  readonly change:
    | { readonly kind: 'expiration'; readonly planned: PlannedUser }
    | { readonly kind: 'rollback'; readonly rollback: Rollback }
  /** The rows that the attempt inserts, or deletes in a rollback. */
  readonly rowIds: readonly string[]
  /** About how many rows the attempt writes for the user. */
  readonly rows: number
  readonly result: UserResult
  readonly correctedMicrodollars: number
  readonly expiredMicrodollars: number
  /** The grants that get a closing row: what a unique violation may be about. */
  readonly closes: readonly string[]
}

/** What planning a user leads to: something to write, or a result. */
export type Planning = { readonly candidate: Candidate } | { readonly result: UserResult }

/**
 * What a writing mode does to the users of one page. Intents, transactions, retries and settling are the same
 * for both.
 */
export type PageMode = {
  /** Reads users with everything that planning them takes. */
  read(sql: LedgerTransaction, userIds: readonly string[]): Promise<Observed>
  /** Plans one user; `attempt` goes into the ids of rows and into the lines. */
  plan(userId: string, observed: Observed, attempt: string, takenLinks: ReadonlySet<string>): Planning
  /**
   * Plans a user of an intent again, from what the intent holds.
   * @throws UnreadableInputs, PlannedByOtherVersion
   */
  planAgain(user: IntentUser, attempt: string): Candidate
  /** Writes candidates whose users are locked; returns those whose guard held. */
  write(tx: LedgerTransaction, candidates: readonly Candidate[]): Promise<ReadonlySet<string>>
  /**
   * The users whose attempts took effect, of users that are locked or whose rows are there.
   * For each the name of the attempt that did.
   */
  findDone(tx: LedgerTransaction, attempts: readonly AttemptedUser[]): Promise<ReadonlyMap<string, string>>
}

/** One user of one attempt that may have been committed. */
export type AttemptedUser = {
  readonly attempt: string
  readonly candidate: Pick<Candidate, 'userId' | 'rowIds'>
}

/** SHA-256 of the log lines that an attempt's users get if it commits. */
export function digestOf(candidates: readonly Candidate[]): string {
  const sha256 = createHash('sha256')
  for (const { result } of candidates) sha256.update(result.line).update(result.mutations.bytes)
  return sha256.digest('hex')
}

import type { Sql } from './connect.ts'
import { CommitUncertain, explain, failureOf } from './errors.ts'
import { writeTransaction } from './transaction.ts'

/** What one attempt would have inserted (or, in a rollback, deleted) for one user. */
export type Attempted = {
  readonly userId: string
  readonly attempt: string
  readonly rowIds: readonly string[]
}

/** Whether rows that are there, or rows that are gone, say that an attempt was committed. */
export type RowsMeaningDone = 'present' | 'absent'

/** What became of a user's attempts: the one that committed, or none. */
export type Settled = { readonly doneBy: string | null }

const TRIES = 8
const PAUSE_MS = 250

/**
 * Finds out what became of attempts whose commit nobody answered (2-run-protocol, "Crashes and stalls"). A user
 * whose rows are there is done. Not done takes a lock on the user's row, and a later statement that finds
 * nothing: an attempt in flight would hold that lock, and a statement that both locks and looks misses a row that
 * was committed while it waited. Where several attempts deleted the same rows, the latest one did it. Users who stay locked by somebody are not in the result: they are still open.
 * @throws LedgerUnavailable after many tries
 */
export async function settleAttempts(
  sql: Sql,
  attempts: readonly Attempted[],
  meaningDone: RowsMeaningDone,
  pause: (milliseconds: number) => Promise<void>,
): Promise<Map<string, Settled>> {
  const settled = new Map<string, Settled>()
  for (let tries = 1; tries <= TRIES; tries++) {
    const open = attempts.filter(({ userId }) => !settled.has(userId))
    if (open.length === 0) break
    if (tries > 1) await pause(PAUSE_MS)
    try {
      for (const [userId, answer] of await settleUnlocked(sql, open, meaningDone)) settled.set(userId, answer)
    } catch (error) {
      if (!goesAway(error) || tries === TRIES)
        throw explain(error instanceof CommitUncertain ? error.cause : error)
    }
  }
  return settled
}

/** Nothing is written here, so a commit that nobody answered is a lost connection and no more. */
function goesAway(error: unknown): boolean {
  const failure = failureOf(error instanceof CommitUncertain ? error.cause : error)
  return failure === 'lost' || failure === 'busy'
}

async function settleUnlocked(
  sql: Sql,
  attempts: readonly Attempted[],
  meaningDone: RowsMeaningDone,
): Promise<Map<string, Settled>> {
  return writeTransaction(sql, async (tx) => {
    const userIds = JSON.stringify(attempts.map(({ userId }) => userId))
    // A user who is gone has no row to lock, and no transaction that could hold it.
    const blocked = await tx<{ id: string }[]>`
      with wanted as (
        select id from kilocode_users where id = any (array(select jsonb_array_elements_text(${userIds}::text::jsonb)))
      ),
      locked as (
        select id from kilocode_users
        where id in (select id from wanted)
        order by id
        for no key update skip locked
      )
      select id from wanted except select id from locked
    `
    const rowIds = JSON.stringify(attempts.flatMap((attempt) => attempt.rowIds))
    const rows = await tx<{ id: string }[]>`
      select id
      from credit_transactions
      where id = any (array(select jsonb_array_elements_text(${rowIds}::text::jsonb)::uuid))
    `
    const there = new Set(rows.map((row) => row.id))
    const done = attempts
      .filter((attempt) => attempt.rowIds.some((id) => there.has(id)) === (meaningDone === 'present'))
      .toSorted((a, b) => (a.attempt < b.attempt ? -1 : 1))
    const stillBlocked = new Set(blocked.map((row) => row.id))
    const free = attempts.filter(({ userId }) => !stillBlocked.has(userId))
    return new Map([
      ...free.map(({ userId }): [string, Settled] => [userId, { doneBy: null }]),
      ...done.map(({ userId, attempt }): [string, Settled] => [userId, { doneBy: attempt }]),
    ])
  })
}

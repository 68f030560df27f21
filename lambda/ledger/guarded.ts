import type { Sql, Transaction } from './connect.ts'
import { GuardConflict, LeaseExpired } from './errors.ts'
import { writeTransaction } from './transaction.ts'

/**
 * Runs a page's writes in one short transaction: user rows locked first, lease checked last. `write` gets the users
 * whose rows are locked, and returns those for whom it wrote; the others were locked by somebody, or are not as they
 * were read. Returns the users for whom it committed.
 * @throws GuardConflict, LeaseExpired or the database's error, with nothing committed; CommitUncertain
 */
export async function writeGuarded(
  sql: Sql,
  userIds: readonly string[],
  leaseExpiresAt: string,
  write: (tx: Transaction, locked: ReadonlySet<string>) => Promise<ReadonlySet<string>>,
): Promise<ReadonlySet<string>> {
  return writeTransaction(sql, async (tx) => {
    const held = await write(tx, await lockUsers(tx, userIds))
    await checkLease(tx, leaseExpiresAt)
    return held
  })
}

/**
 * The same for one user whose row is waited for and locked before `write` reads it: for users who are never still
 * between read and write. Returns whether anything was committed.
 * @throws as writeGuarded, and whatever `write` throws
 */
export async function writeUnderLock(
  sql: Sql,
  userId: string,
  leaseExpiresAt: string,
  write: (tx: Transaction) => Promise<ReadonlySet<string> | null>,
): Promise<boolean> {
  return writeTransaction(sql, async (tx) => {
    await tx`select id from kilocode_users where id = ${userId} for no key update`
    const held = await write(tx)
    if (held === null) return false
    if (!held.has(userId)) throw new GuardConflict(`The user ${userId} changed under the lock.`)
    await checkLease(tx, leaseExpiresAt)
    return true
  })
}

/** In id order, so that two of this job's transactions never wait for each other; skipping, so that one busy user holds up nobody. */
async function lockUsers(tx: Transaction, userIds: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await tx<{ id: string }[]>`
    select id
    from kilocode_users
    where id = any (array(select jsonb_array_elements_text(${JSON.stringify(userIds)}::text::jsonb)))
    order by id
    for no key update skip locked
  `
  return new Set(rows.map((row) => row.id))
}

/** A statement of its own, later than all writes: COMMIT goes out only after its reply. By the database's clock. */
async function checkLease(tx: Transaction, leaseExpiresAt: string): Promise<void> {
  const rows = await tx<{ in_time: boolean }[]>`
    select clock_timestamp() < ${leaseExpiresAt}::text::timestamptz as in_time
  `
  if (rows[0]?.in_time === true) return
  throw new LeaseExpired(
    'The lease of this invocation ran out before the commit. Nothing of this page was committed.',
  )
}

import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { connect } from '../../lambda/ledger/connection/connect.ts'
import { lockUsers } from '../../lambda/ledger/rows.ts'
import { writeTransaction } from '../../lambda/ledger/connection/transaction.ts'
import { type Fate, startProxy } from '../faults/proxy.ts'
import { freshDatabase, insertUser } from '../support/ledger.ts'

test('a client that stalls between any two messages to the server keeps no user locked past the idle timeout', async () => {
  const database = await freshDatabase()
  await insertUser(database.sql, { id: 'ada' })
  let trips = 0
  let stallAt = Infinity
  const decide = (): Fate => (++trips === stallAt ? 'stall' : 'pass')
  const proxy = await startProxy(database.url, decide)
  const pool = connect({ url: proxy.url }, 1, { statementMs: 3_000, idleMs: 500 })
  const lockTwice = async () =>
    writeTransaction(pool, async (tx) => {
      await lockUsers(tx, ['ada'], 'wait')
      await lockUsers(tx, ['ada'], 'wait')
    })
  await lockTwice()
  // Connect, begin, the two statements, commit.
  expect(trips).toBe(5)

  // The first time over the connection that is open already; the others begin with a connect.
  for (const trip of [1, 3, 4]) {
    trips = 0
    stallAt = trip
    await expect(lockTwice()).rejects.toMatchObject({ name: 'LedgerUnavailable' })
    await untilUnlocked(database.sql)
  }
  await pool.end()
  await proxy.stop()
  await database.drop()
})

/** Waits for the row's lock; a lock that lasts fails the test at its timeout. */
async function untilUnlocked(sql: Awaited<ReturnType<typeof freshDatabase>>['sql']): Promise<void> {
  for (;;) {
    const rows = await sql`SELECT id FROM kilocode_users WHERE id = 'ada' FOR UPDATE SKIP LOCKED`
    if (rows.length > 0) return
    await pause(50)
  }
}

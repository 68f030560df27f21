import { expect, test } from 'vitest'
import { connect } from '../../../lambda/ledger/connection/connect.ts'
import { readTransaction } from '../../../lambda/ledger/connection/transaction.ts'

test('a connection that fails before the driver listens is a named error, and does not end the process', async () => {
  // A socket to a multicast address fails at once, like every socket where no file descriptor is left.
  const sql = connect({ url: 'postgres://user:password@224.0.0.1:5432/ledger?sslmode=disable' }, 1)
  const work = readTransaction(sql, async (tx) => tx`select 1`)
  await expect(work).rejects.toMatchObject({
    name: 'LedgerUnavailable',
    message: expect.stringMatching(/^The database cannot be reached: connect E(NETUNREACH|HOSTUNREACH) /),
  })
  await sql.end()
})

import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { betweenReadAndWrite } from '../../support/between.ts'
import {
  bucket,
  execute,
  expectTheLogToBeTrue,
  expectTheMoneyToAddUp,
  s3,
  sql,
  USD,
  useFiveUsers,
} from '../../support/places/five-users.ts'
import { dump, insertTransaction } from '../../support/ledger.ts'
import { readIntents, readLogs } from '../../support/logs.ts'
import { productionPass } from '../../support/places/production.ts'

/** What the application does to a user between the job's read and its write. */
useFiveUsers()

const changes: [string, () => Promise<unknown>, { final: number }][] = [
  [
    'spends',
    () => sql`UPDATE kilocode_users SET microdollars_used = microdollars_used + ${USD} WHERE id = 'ada'`,
    { final: 0 },
  ],
  ['is expired by production', () => productionPass(sql, 'ada'), { final: 0 }],
  [
    'buys credit',
    async () => {
      await insertTransaction(sql, { kilo_user_id: 'ada', is_free: false, amount_microdollars: 7 * USD })
      await sql`
        UPDATE kilocode_users SET total_microdollars_acquired = total_microdollars_acquired + ${7 * USD}
        WHERE id = 'ada'`
    },
    { final: 7 },
  ],
  [
    'has a grant taken down to half',
    () =>
      sql.begin(async (tx) => {
        await tx`
          UPDATE credit_transactions SET amount_microdollars = ${5 * USD}
          WHERE kilo_user_id = 'ada' AND expiry_date IS NULL`
        await tx`UPDATE kilocode_users SET total_microdollars_acquired = ${15 * USD} WHERE id = 'ada'`
      }),
    { final: 0 },
  ],
  [
    'has a grant dated',
    () => sql`
      UPDATE credit_transactions
      SET expiry_date = '2099-01-01', expiration_baseline_microdollars_used = 0
      WHERE kilo_user_id = 'ada' AND expiry_date IS NULL`,
    { final: 0 },
  ],
]

test.each(changes)(
  'a user who %s between read and write is not changed by that attempt, and is expired by a later one',
  async (_what, change, { final }) => {
    const afterChange: unknown[] = []
    betweenReadAndWrite(s3, bucket, async (nth) => {
      if (nth === 1) await change()
      afterChange.push((await dump(sql)).users.find(({ id }) => id === 'ada'))
    })
    const card = await execute()
    expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 5, usersFailed: 0 } })
    // The second attempt begins with Ada as the change left her.
    expect(afterChange[1]).toEqual(afterChange[0])
    const { users } = await readLogs(bucket, card.runId)
    expect(users.find((line) => line.user_id === 'ada')).toMatchObject({
      final_balance_microdollars: final * USD,
      correction_microdollars: 0,
    })
    await expectTheMoneyToAddUp()
    await expectTheLogToBeTrue(card.runId)
  },
)

test('the other users of the page are written in the first attempt', async () => {
  betweenReadAndWrite(s3, bucket, async (nth) => {
    if (nth === 1)
      await sql`UPDATE kilocode_users SET microdollars_used = microdollars_used + 1 WHERE id = 'ada'`
  })
  const { runId } = await execute()
  expect(await readIntents(bucket, runId)).toEqual([
    { attempt: '00000-0001-001', userIds: ['aaron', 'abel', 'ada', 'bea', 'bob'] },
    { attempt: '00000-0001-002', userIds: ['ada'] },
  ])
})

test('a user who is no longer internal at the write is skipped', async () => {
  betweenReadAndWrite(s3, bucket, async (nth) => {
    if (nth === 1) await sql`UPDATE kilocode_users SET google_user_email = 'ada@example.com' WHERE id = 'ada'`
  })
  const before = (await dump(sql)).transactions.filter(({ kilo_user_id }) => kilo_user_id === 'ada')
  const card = await execute()
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 4, usersSkipped: 1 } })
  const { users } = await readLogs(bucket, card.runId)
  expect(users.find((line) => line.user_id === 'ada')).toMatchObject({
    outcome: 'not_internal',
    email: 'ada@example.com',
  })
  expect((await dump(sql)).transactions.filter(({ kilo_user_id }) => kilo_user_id === 'ada')).toEqual(before)
})

test('a user who spends continuously is expired exactly, under the lock', async () => {
  const usage = { spending: true, spent: 4 * USD }
  const spender = (async () => {
    for (; usage.spending; usage.spent++)
      await sql`UPDATE kilocode_users SET microdollars_used = microdollars_used + 1 WHERE id = 'ada'`
  })()
  betweenReadAndWrite(s3, bucket, async () => {
    // At least one more usage between read and write, unless the row is locked.
    const next = usage.spent + 1
    for (let waited = 0; usage.spent < next && waited < 50; waited++) await pause(2)
  })
  const card = await execute()
  usage.spending = false
  await spender
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: 5 } })
  const { users } = await readLogs(bucket, card.runId)
  const line = users.find(({ user_id }) => user_id === 'ada')
  expect(line).toMatchObject({ outcome: 'expired', final_balance_microdollars: 0 })
  const { users: rows, transactions } = await dump(sql)
  const ada = rows.find(({ id }) => id === 'ada')
  expect(ada).toMatchObject({
    microdollars_used: String(usage.spent),
    total_microdollars_acquired: String(line?.used_microdollars),
  })
  const sum = transactions
    .filter((row) => row.kilo_user_id === 'ada')
    .reduce((all, row) => all + Number(row.amount_microdollars), 0)
  expect(sum).toBe(line?.used_microdollars)
  await expectTheLogToBeTrue(card.runId)
  expect(
    (await readIntents(bucket, card.runId)).filter(({ userIds }) => userIds.includes('ada')).length,
  ).toBeGreaterThan(1)
})

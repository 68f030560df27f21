import { expect, test } from 'vitest'
import { freshBucket, keys, readJson, readLines } from '../support/bucket.ts'
import { dump, freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { put } from './s3-requests.ts'

test('a dump shows both tables as text, to the microsecond', async () => {
  const { sql, drop } = await freshDatabase()
  const at = '2026-01-02T03:04:05.123456Z'
  const odd = { id: 'b', google_user_email: "o'b%_@kilo.ai" }
  await insertUser(sql, { ...odd, updated_at: at, next_credit_expiration_at: 'infinity' })
  await insertUser(sql, { id: 'a', microdollars_used: '9223372036854775807' })
  await insertTransaction(sql, {
    kilo_user_id: 'b',
    expiry_date: at,
    created_at: '2026-01-02T03:04:05+02:00',
  })
  const { users, transactions } = await dump(sql)
  expect(users).toMatchObject([
    { id: 'a', microdollars_used: '9223372036854775807', next_credit_expiration_at: null },
    {
      id: 'b',
      google_user_email: "o'b%_@kilo.ai",
      updated_at: '2026-01-02 03:04:05.123456+00',
      next_credit_expiration_at: 'infinity',
    },
  ])
  expect(transactions).toMatchObject([
    {
      amount_microdollars: '10000000',
      is_free: 't',
      expiry_date: '2026-01-02 03:04:05.123456+00',
      created_at: '2026-01-02 01:04:05+00',
    },
  ])
  expect(Object.keys(users[0] ?? {})).toHaveLength(15)
  expect(Object.keys(transactions[0] ?? {})).toHaveLength(16)
  expect((await dump(sql, { updatedAt: false })).users[0]).not.toHaveProperty('updated_at')
  await drop()
})

test('databases and buckets are fresh, each time', async () => {
  const [one, two] = await Promise.all([freshDatabase(), freshDatabase()])
  await insertUser(one.sql)
  expect((await dump(one.sql)).users).toHaveLength(1)
  expect((await dump(two.sql)).users).toHaveLength(0)
  await Promise.all([one.drop(), two.drop()])
  const bucket = await freshBucket()
  await put(bucket, 'a.json', '{"a":1}')
  await put(bucket, 'a.jsonl', '{"a":1}\n{"a":2}\n')
  expect(await readJson(bucket, 'a.json')).toEqual({ a: 1 })
  expect(await readLines(bucket, 'a.jsonl')).toEqual([{ a: 1 }, { a: 2 }])
  expect(await keys(await freshBucket())).toEqual([])
})

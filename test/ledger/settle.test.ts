import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { connect, type Sql } from '../../lambda/ledger/connect.ts'
import { settleAttempts } from '../../lambda/ledger/settle.ts'
import { freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'

let database: Awaited<ReturnType<typeof freshDatabase>>
let job: Sql
beforeAll(async () => {
  database = await freshDatabase()
  job = connect({ url: database.url }, 2)
})
afterAll(async () => {
  await job.end()
  await database.drop()
})
beforeEach(async () => {
  await database.sql`TRUNCATE kilocode_users, credit_transactions CASCADE`
  await insertUser(database.sql, { id: 'ada' })
  await insertUser(database.sql, { id: 'bob' })
})

const wait = async (): Promise<void> => pause(1)
const attempt = (userId: string, name = 'first') => ({
  userId,
  attempt: name,
  rowIds: [randomUUID(), randomUUID()],
})

test('rows that are there mean done, by the attempt that wrote them; none, under the lock, mean not done', async () => {
  const [first, second, other] = [attempt('ada'), attempt('ada', 'second'), attempt('bob')]
  await insertTransaction(database.sql, { id: second.rowIds[1] ?? '', kilo_user_id: 'ada' })
  const settled = await settleAttempts(job, [first, second, other], 'present', wait)
  expect(settled).toEqual(
    new Map([
      ['ada', { doneBy: 'second' }],
      ['bob', { doneBy: null }],
    ]),
  )
})

test('a user who is gone has nothing in flight', async () => {
  expect(await settleAttempts(job, [attempt('nobody')], 'present', wait)).toEqual(
    new Map([['nobody', { doneBy: null }]]),
  )
})

test('a transaction in flight keeps its user open, until it has come to its end', async () => {
  const flying = attempt('ada')
  let looks = 0
  const landed = Promise.withResolvers<void>()
  const taken = Promise.withResolvers<void>()
  const inFlight = database.sql.begin(async (tx) => {
    await tx`SELECT FROM kilocode_users WHERE id = 'ada' FOR NO KEY UPDATE`
    await tx`INSERT INTO credit_transactions (id, kilo_user_id, amount_microdollars, is_free) VALUES (${flying.rowIds[0] ?? ''}, 'ada', 0, true)`
    taken.resolve()
    await landed.promise
  })
  await taken.promise
  // It commits while the job waits for its third look.
  const settled = await settleAttempts(job, [flying, attempt('bob')], 'present', async () => {
    if (++looks !== 2) return
    landed.resolve()
    await inFlight
  })
  expect(settled).toEqual(
    new Map([
      ['bob', { doneBy: null }],
      ['ada', { doneBy: 'first' }],
    ]),
  )
  expect(looks).toBe(2)
})

test('one that stays in flight stays open: neither done nor not done', async () => {
  const settled = await database.sql.begin(async (tx) => {
    await tx`SELECT FROM kilocode_users WHERE id = 'ada' FOR NO KEY UPDATE`
    return settleAttempts(job, [attempt('ada'), attempt('bob')], 'present', wait)
  })
  expect(settled).toEqual(new Map([['bob', { doneBy: null }]]))
})

test('in a rollback rows that are gone mean done, by the latest attempt', async () => {
  const kept = attempt('bob')
  const gone = attempt('ada')
  for (const id of kept.rowIds) await insertTransaction(database.sql, { id, kilo_user_id: 'bob' })
  const settled = await settleAttempts(
    job,
    [{ ...gone, attempt: '000000-0001-002' }, { ...gone, attempt: '000000-0001-001' }, kept],
    'absent',
    wait,
  )
  expect(settled).toEqual(
    new Map([
      ['ada', { doneBy: '000000-0001-002' }],
      ['bob', { doneBy: null }],
    ]),
  )
})

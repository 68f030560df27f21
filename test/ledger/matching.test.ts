import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { connect, type Sql } from '../../lambda/ledger/connection/connect.ts'
import {
  findNamedUsers,
  type MatchingUser,
  readMatchingUsers,
  type UserSelection,
  type TargetSettings,
} from '../../lambda/ledger/matching.ts'
import { isInternal } from '../../lambda/rules/internal.ts'
import { freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { LISTED_CORRECTION } from '../support/plans.ts'

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
})

const SETTINGS: TargetSettings = {
  correctionDescriptions: [LISTED_CORRECTION],
  categories: null,
  excludedCategories: [],
}

async function matching(
  domains: string[] = ['kilo.ai', 'kilocode.ai'],
  userIds: UserSelection['userIds'] = null,
  settings: Partial<TargetSettings> = {},
): Promise<MatchingUser[]> {
  const found: MatchingUser[] = []
  const take = (user: MatchingUser): void => void found.push(user)
  await readMatchingUsers(job, { domains, userIds }, { ...SETTINGS, ...settings }, take)
  return found
}

test('internal users of any case, and no lookalike', async () => {
  const internal = [
    'a@kilo.ai',
    'B@KILO.AI',
    'c@KiloCode.ai',
    '"d@x"@kilo.ai',
    'e%f@kilo.ai',
    "o'g@kilo.ai",
    '@kilo.ai',
  ]
  const others = [
    'x@eu.kilo.ai',
    'x@notkilo.ai',
    'x@kilo.ai.example.com',
    'x@kiloxai',
    'kilo.ai',
    'x@kilo.ai ',
    'x@kilo.ai\n',
    'x@kilo_ai',
    '',
  ]
  for (const email of [...internal, ...others])
    await insertUser(database.sql, { id: email, google_user_email: email })
  const found = (await matching()).map(({ email }) => email)
  expect(found.toSorted()).toEqual(internal.toSorted())
  for (const email of internal) expect(isInternal(email, ['kilo.ai', 'kilocode.ai'])).toBe(true)
})

test.each(['k_lo.ai', 'k%.ai', 'k\\lo.ai', 'kilo.ai\\'])('the domain %s is no pattern', async (domain) => {
  for (const other of ['kilo.ai', 'kxlo.ai', 'klo.ai', domain])
    await insertUser(database.sql, { id: other, google_user_email: `x@${other}` })
  expect(await matching([domain])).toMatchObject([{ id: domain }])
})

test('the order is that of the database, and named users must be internal all the same', async () => {
  for (const id of ['b', 'B', 'a', 'ä', '10', '9', "'"]) await insertUser(database.sql, { id })
  await insertUser(database.sql, { id: 'outsider', google_user_email: 'x@example.com' })
  const inOrder = await database.sql<
    { id: string }[]
  >`SELECT id FROM kilocode_users WHERE id <> 'outsider' ORDER BY id`
  expect((await matching()).map(({ id }) => id)).toEqual(inOrder.map(({ id }) => id))
  expect((await matching(['kilo.ai'], ['ä', "'", 'outsider', 'nobody'])).map(({ id }) => id)).toEqual([
    "'",
    'ä',
  ])
})

test('counts all rows, the targeted grants, and their face value', async () => {
  await insertUser(database.sql, { id: 'ada' })
  const add = async (given: Partial<Parameters<typeof insertTransaction>[1]> = {}) =>
    insertTransaction(database.sql, { kilo_user_id: 'ada', amount_microdollars: 1, ...given })
  await add()
  await add({ amount_microdollars: 2, expiry_date: 'infinity' })
  await add({ amount_microdollars: 4, credit_category: 'accounting_adjustment', description: null })
  await add({
    amount_microdollars: 8,
    credit_category: 'accounting_adjustment',
    description: 'Something else',
  })
  await add({ amount_microdollars: 16, credit_category: null, description: LISTED_CORRECTION })
  // Not targeted: paid, of an organization, not positive, corrections, closed, and linked to by a row of
  // another user.
  await add({ is_free: false })
  await add({ credit_category: 'credits_expired' })
  await add({ credit_category: 'orb_credit_voided' })
  await add({ organization_id: '00000000-0000-4000-8000-000000000001' })
  await add({ amount_microdollars: 0 })
  await add({ amount_microdollars: -5 })
  await add({ credit_category: 'accounting_adjustment', description: LISTED_CORRECTION })
  await add({
    credit_category: 'accounting_adjustment',
    description: 'Balance restored to zero after expiring internal free credits',
  })
  const closed = await add()
  await add({
    amount_microdollars: -1,
    credit_category: 'credits_expired',
    original_transaction_id: closed.id,
  })
  const refunded = await add()
  await insertTransaction(database.sql, {
    kilo_user_id: 'another user',
    amount_microdollars: -1,
    credit_category: 'refund',
    original_transaction_id: refunded.id,
  })
  expect(await matching()).toEqual([
    { id: 'ada', email: 'ada@kilo.ai', rows: 16, grants: 5, faceValueMicrodollars: 31 },
  ])
})

test('counts only grants of the categories that are selected and not excluded', async () => {
  await insertUser(database.sql, { id: 'ada' })
  for (const [index, credit_category] of [
    'promo',
    'promo-2',
    'kilo-pass-bonus',
    'a_b',
    'axb',
    null,
  ].entries())
    await insertTransaction(database.sql, {
      kilo_user_id: 'ada',
      amount_microdollars: 2 ** index,
      credit_category,
    })
  const faceValue = async (settings: Partial<TargetSettings>) =>
    (await matching(['kilo.ai'], null, settings))[0]?.faceValueMicrodollars
  expect(await faceValue({})).toBe(63)
  expect(await faceValue({ categories: ['promo'] })).toBe(1)
  expect(await faceValue({ categories: ['promo*'] })).toBe(3)
  expect(await faceValue({ categories: ['*'] })).toBe(31)
  expect(await faceValue({ categories: ['a_b', 'kilo-pass-*'] })).toBe(12)
  expect(await faceValue({ excludedCategories: ['promo*'] })).toBe(60)
  expect(await faceValue({ excludedCategories: ['*'] })).toBe(32)
  expect(await faceValue({ categories: ['promo*'], excludedCategories: ['promo'] })).toBe(2)
})

describe('users who are named', () => {
  test('are found by id and by e-mail, ASCII letters in any case, in the order of the list', async () => {
    await insertUser(database.sql, { id: 'ada', google_user_email: 'Ada@Kilo.ai' })
    await insertUser(database.sql, { id: 'bea', google_user_email: 'bea@kilo.ai' })
    await insertUser(database.sql, { id: 'bea 2', google_user_email: 'BEA@kilo.ai' })
    await insertUser(database.sql, { id: 'cy@kilo.ai', google_user_email: 'cy@kilo.ai' })
    const named = await findNamedUsers(job, [
      'BEA@KILO.AI',
      'nobody',
      'ada@kilo.ai',
      'ada',
      'cy@kilo.ai',
      'ADA',
    ])
    expect(named.map(({ place, id }) => [place, id])).toEqual([
      [0, 'bea'],
      [0, 'bea 2'],
      [2, 'ada'],
      [3, 'ada'],
      [4, 'cy@kilo.ai'],
    ])
  })
})

test('amounts beyond 2^53 - 1 do not stop the reading of the others', async () => {
  for (const id of ['ada', 'bob']) {
    await insertUser(database.sql, { id })
    await insertTransaction(database.sql, { kilo_user_id: id, amount_microdollars: '9223372036854775807' })
    await insertTransaction(database.sql, { kilo_user_id: id, amount_microdollars: '9223372036854775807' })
  }
  expect(await matching()).toMatchObject([
    { id: 'ada', grants: 2 },
    { id: 'bob', grants: 2 },
  ])
})

test('what goes wrong while a user is taken ends the reading', async () => {
  for (const id of ['a', 'b', 'c']) await insertUser(database.sql, { id })
  const reading = readMatchingUsers(job, { domains: ['kilo.ai'], userIds: null }, SETTINGS, () => {
    throw new Error('not this one')
  })
  await expect(reading).rejects.toThrow('not this one')
  expect(await matching()).toHaveLength(3)
})

import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import type { ExitCard } from '../../lambda/exit-card.ts'
import type { VerifyAnswer } from '../../lambda/insight/verify/verify.ts'
import { freshBucket, readText, type TestBucket } from '../support/bucket.ts'
import { invokeJob, type JobPlace } from '../support/job.ts'
import { freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { timeForPages } from '../support/stops.ts'
import { ask } from './ask.ts'
import { putText, removeObject } from './objects.ts'

const { url, sql, drop } = await freshDatabase()
let bucket: TestBucket
let place: JobPlace
let run: ExitCard

beforeEach(async () => {
  await sql`TRUNCATE kilocode_users, credit_transactions CASCADE`
  bucket = await freshBucket()
  place = { databaseUrl: url, bucket }
  await insertUser(sql, {
    id: 'ada',
    total_microdollars_acquired: 30_000_000,
    microdollars_used: 14_000_000,
  })
  await insertTransaction(sql, { kilo_user_id: 'ada' })
  await insertTransaction(sql, { kilo_user_id: 'ada', description: 'Hack day' })
  await insertTransaction(sql, {
    kilo_user_id: 'ada',
    is_free: false,
    expiry_date: '2099-01-01T00:00:00Z',
    expiration_baseline_microdollars_used: 0,
  })
  await insertUser(sql, { id: 'bea', total_microdollars_acquired: 0 })
  await insertTransaction(sql, { kilo_user_id: 'bea' })
  await insertUser(sql, { id: 'cid', total_microdollars_acquired: 7_000_000 })
  await insertTransaction(sql, { kilo_user_id: 'cid' })
  await insertTransaction(sql, {
    kilo_user_id: 'cid',
    amount_microdollars: -3_000_000,
    credit_category: 'manual_decrement',
    created_at: '2026-11-20T00:00:00Z',
  })
  run = await invokeJob(place, { execute: true, batchSize: 2 })
})

afterAll(drop)

const verify = async (runId = run.runId): Promise<VerifyAnswer> => ask<VerifyAnswer>(place, { verify: runId })
const part = (kind: string, page = 0): string => `logs/${kind}/${run.runId}/0000${page}-0001.jsonl`

describe('a run as it was left', () => {
  test('is verified: logs, ledger and chain', async () => {
    expect(await verify()).toEqual({
      answer: 'verify',
      runId: run.runId,
      result: 'verified',
      checked: { parts: 4, users: 3, mutations: 10, chain: 1, signed: null },
      differenceCount: 0,
      differences: [],
      explained: [],
      next: null,
    })
    expect((await verify('latest')).result).toBe('verified')
  })

  test('is verified still after usage and a new grant', async () => {
    await sql`UPDATE kilocode_users SET microdollars_used = microdollars_used + 5000000 WHERE id = 'ada'`
    await insertTransaction(sql, { kilo_user_id: 'ada', amount_microdollars: 4_000_000 })
    await sql`UPDATE kilocode_users SET total_microdollars_acquired = total_microdollars_acquired + 4000000
      WHERE id = 'ada'`
    expect((await verify()).result).toBe('verified')
  })

  test('is verified after later runs: they explain what differs, by name', async () => {
    const rollback = await invokeJob(place, { rollback: run.runId, execute: true })
    const after = await verify()
    expect(after).toMatchObject({ result: 'verified', differenceCount: 0 })
    expect(after.explained).toMatchObject([{ runId: rollback.runId }])

    const again = await invokeJob(place, { execute: true })
    const later = await verify()
    expect(later.result).toBe('verified')
    expect(later.explained.map(({ runId }) => runId).toSorted()).toEqual([rollback.runId, again.runId])
    expect(await verify(rollback.runId)).toMatchObject({
      result: 'verified',
      checked: { users: 2, chain: 3 },
      explained: [{ runId: again.runId }],
    })
    expect(await verify(again.runId)).toMatchObject({ result: 'verified', explained: [] })
  })

  test('is verified where it is a dry run, by its logs alone', async () => {
    const dryRun = await invokeJob(place, {})
    expect(await verify(dryRun.runId)).toMatchObject({ result: 'verified', checked: { users: 3, chain: 0 } })
  })
})

test('how many differences were found is told, none as well: an alarm reads it', async () => {
  const told: number[] = []
  const host = { onVerified: (differences: number) => void told.push(differences) }
  await ask<VerifyAnswer>(place, { verify: run.runId }, { host })
  await removeObject(bucket, part('users', 1))
  const { differenceCount } = await ask<VerifyAnswer>(place, { verify: run.runId }, { host })
  expect(differenceCount).toBeGreaterThan(0)
  expect(told).toEqual([0, differenceCount])
})

test('"latest" is the newest execute that is closed; without one there is nothing to verify', async () => {
  const open = await invokeJob(place, { execute: true, batchSize: 1 }, timeForPages(1))
  expect(open.status).toBe('incomplete')
  expect(await verify('latest')).toMatchObject({ runId: run.runId, result: 'verified' })
  const empty = { ...place, bucket: await freshBucket() }
  expect(await ask<VerifyAnswer>(empty, { verify: 'latest' })).toMatchObject({
    runId: null,
    result: 'nothing_to_verify',
    differenceCount: 0,
  })
})

describe('the ledger against the log', () => {
  test('names user, row and column of a row that was edited by hand, with both values', async () => {
    const [row] = await sql`UPDATE credit_transactions SET amount_microdollars = -7000000
      WHERE kilo_user_id = 'ada' AND amount_microdollars = -6000000 RETURNING id`
    expect(await verify()).toMatchObject({
      result: 'differences',
      differenceCount: 1,
      differences: [
        {
          step: 'ledger',
          userId: 'ada',
          where: 'credit_transactions',
          row: row?.id,
          column: 'amount_microdollars',
          expected: '-6000000',
          found: '-7000000',
          explainedBy: null,
        },
      ],
    })
  })

  test('names a row that was deleted, and a total that rows do not account for', async () => {
    const [row] = await sql`DELETE FROM credit_transactions
      WHERE kilo_user_id = 'bea' AND credit_category = 'accounting_adjustment' RETURNING id`
    await sql`UPDATE kilocode_users SET total_microdollars_acquired = 1 WHERE id = 'ada'`
    const { differences } = await verify()
    expect(differences).toMatchObject([
      {
        userId: 'ada',
        where: 'kilocode_users',
        column: 'total_microdollars_acquired',
        expected: 24_000_000,
        found: 1,
      },
      { userId: 'bea', where: 'credit_transactions', row: row?.id, column: 'id', found: null },
    ])
  })

  test('names a date and a baseline that were changed by hand, and a user who is gone', async () => {
    await sql`UPDATE credit_transactions SET expiry_date = NULL, expiration_baseline_microdollars_used = 7
      WHERE kilo_user_id = 'ada' AND description = 'Hack day'`
    await sql`DELETE FROM kilocode_users WHERE id = 'bea'`
    expect((await verify()).differences).toMatchObject([
      { userId: 'ada', column: 'expiry_date', found: null },
      { userId: 'ada', column: 'expiration_baseline_microdollars_used', expected: 10_000_000, found: 7 },
      { userId: 'bea', where: 'kilocode_users', column: 'id', found: null },
    ])
  })

  test('is read where the database refuses every write', async () => {
    const database = url.split('/').at(-1)
    await sql.unsafe(`ALTER DATABASE ${database} SET default_transaction_read_only = on`)
    try {
      expect((await verify()).result).toBe('verified')
    } finally {
      await sql.unsafe(`ALTER DATABASE ${database} SET default_transaction_read_only = off`)
    }
  })
})

describe('the logs against rules, manifest and card', () => {
  test('an edited part is named, and the value that was edited', async () => {
    const key = part('users')
    const text = await readText(bucket, key)
    await putText(
      bucket,
      key,
      text.replace('"expired_microdollars":6000000', '"expired_microdollars":5000000'),
    )
    const { differences } = await verify()
    expect(differences).toContainEqual(
      expect.objectContaining({ step: 'logs', where: key, column: 'sha256' }),
    )
    expect(differences).toContainEqual(
      expect.objectContaining({
        step: 'rules',
        userId: 'ada',
        column: 'expired_microdollars',
        expected: 6_000_000,
        found: 5_000_000,
      }),
    )
    expect(differences).toContainEqual(
      expect.objectContaining({
        step: 'logs',
        column: 'totals.expiredMicrodollars',
        expected: 15_000_000,
        found: 16_000_000,
      }),
    )
  })

  test('an edit with a new hash in the manifest is found by the rules, and breaks the chain', async () => {
    const key = part('mutations')
    const manifestKey = `runs/${run.runId}/manifest.json`
    const { hash } = await import('node:crypto')
    const before = await readText(bucket, key)
    const edited = before.replace('"amount_microdollars":-6000000', '"amount_microdollars":-6000001')
    await putText(bucket, key, edited)
    const manifest = await readText(bucket, manifestKey)
    await putText(bucket, manifestKey, manifest.replace(hash('sha256', before), hash('sha256', edited)))
    const { differences } = await verify()
    expect(differences).toContainEqual(
      expect.objectContaining({ step: 'rules', expected: -6_000_000, found: -6_000_001 }),
    )
    expect(differences).toContainEqual(expect.objectContaining({ step: 'chain', where: manifestKey }))
    expect(differences.filter(({ column }) => column === 'sha256')).toEqual([])
  })

  test.for(['users', 'mutations'])('a missing part of the %s log is named', async (kind) => {
    await removeObject(bucket, part(kind, 1))
    const { differences } = await verify()
    expect(differences).toContainEqual({
      step: 'logs',
      userId: null,
      where: part(kind, 1),
      row: null,
      column: 'object',
      expected: 'present',
      found: null,
      explainedBy: null,
    })
  })

  test('a part that no manifest names, a line that is cut short and a user without a line are named', async () => {
    const stray = part('users').replace('0001', '0009')
    await putText(bucket, stray, '{}\n')
    const text = await readText(bucket, part('users'))
    await putText(bucket, part('users'), text.slice(0, -40))
    const { differences } = await verify()
    const found = differences.map(({ where, column }) => [where, column])
    expect(found).toContainEqual([stray, 'object'])
    expect(found).toContainEqual([part('users'), 'line 2'])
    expect(differences).toContainEqual(
      expect.objectContaining({ userId: 'bea', where: part('users'), column: 'line' }),
    )
  })

  test('a card whose total was edited is named', async () => {
    const key = `runs/${run.runId}/summary.json`
    await putText(
      bucket,
      key,
      (await readText(bucket, key)).replace('"usersProcessed": 2', '"usersProcessed": 3'),
    )
    expect((await verify()).differences.map(({ column }) => column)).toEqual([
      'sha256',
      'totals.usersProcessed',
      'users_processed',
    ])
  })
})

describe('the chain', () => {
  test('names a run whose manifest is missing, of whichever run it is asked', async () => {
    await insertTransaction(sql, { kilo_user_id: 'ada' })
    const second = await invokeJob(place, { execute: true })
    expect((await verify(second.runId)).checked.chain).toBe(2)
    await removeObject(bucket, `runs/${run.runId}/manifest.json`)
    expect((await verify(second.runId)).differences).toMatchObject([
      { step: 'chain', where: `runs/${run.runId}/manifest.json`, found: null },
    ])
  })
})

test('a run that is open, and one that is not there, are refused', async () => {
  await expect(verify('2026-11-22T06-12-30-123Z-execute-k3j9')).rejects.toThrow('No run')
  let calls = 0
  const open = await invokeJob(place, { batchSize: 1 }, { timeLeft: () => (++calls > 40 ? 1_000 : 900_000) })
  expect(open.status).toBe('incomplete')
  await expect(verify(open.runId)).rejects.toThrow(`finish it with {"resume": "${open.runId}"}`)
})

import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CsvKind, writeCsv } from '../../bin/csv/run.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { freshBucket, readText, storeOf } from '../support/bucket.ts'
import { invokeJob } from '../support/job.ts'
import { freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { putText } from './objects.ts'

const HOSTILE = '=HYPERLINK("http://evil.example","pay, \nnow")'
const { url, sql, drop } = await freshDatabase()
const bucket = await freshBucket()
const place = { databaseUrl: url, bucket }
let run: ExitCard
let rollback: ExitCard

beforeAll(async () => {
  await insertUser(sql, {
    id: '@ada',
    google_user_email: '+ada@kilo.ai',
    total_microdollars_acquired: 12_345_678,
  })
  await insertTransaction(sql, {
    kilo_user_id: '@ada',
    amount_microdollars: 12_345_678,
    description: HOSTILE,
  })
  await insertUser(sql, { id: 'bea', total_microdollars_acquired: 20_000_000, microdollars_used: 1 })
  await insertTransaction(sql, { kilo_user_id: 'bea', description: '-1', credit_category: '@SUM(A1)' })
  await insertTransaction(sql, { kilo_user_id: 'bea', is_free: false, expiry_date: '2026-01-01T00:00:00Z' })
  await insertUser(sql, { id: 'cid', total_microdollars_acquired: -5_000_000 })
  await insertTransaction(sql, { kilo_user_id: 'cid' })
  run = await invokeJob(place, { execute: true, batchSize: 1 })
  rollback = await invokeJob(place, { rollback: run.runId, execute: true })
})

afterAll(drop)

async function csvOf(kind: CsvKind, runId = run.runId, from = bucket): Promise<string> {
  const out = new PassThrough()
  const [written] = await Promise.all([text(out), writeCsv(kind, runId, storeOf(from), out)])
  return written
}

/** The cells of a line that has no quotes in it. */
function cellsOf(csv: string, line: number): Record<string, string> {
  const lines = csv.trimEnd().split('\r\n')
  const header = lines[0]?.split(',') ?? []
  return Object.fromEntries((lines.at(line) ?? '').split(',').map((cell, at) => [header[at] ?? '', cell]))
}

describe('a file for a spreadsheet', () => {
  test('has a header, a line for each user, and a total that equals the card to the microdollar', async () => {
    const csv = await csvOf('users')
    expect(csv.split('\r\n')[0]).toBe(
      'user_id,email,outcome,balance_before_usd,balance_before_microdollars,used_usd,used_microdollars,' +
        'expired_usd,expired_microdollars,due_paid_usd,due_paid_microdollars,correction_usd,' +
        'correction_microdollars,final_balance_usd,final_balance_microdollars,grants_targeted,' +
        'next_credit_expiration_at,flags',
    )
    expect(cellsOf(csv, 1)).toMatchObject({
      user_id: "'@ada",
      email: "'+ada@kilo.ai",
      expired_usd: '12.345678',
      expired_microdollars: '12345678',
    })
    expect(cellsOf(csv, 3)).toMatchObject({ user_id: 'cid', balance_before_usd: '-5.00' })
    expect(cellsOf(csv, -1)).toMatchObject({
      user_id: 'total',
      expired_microdollars: String(run.totals.expiredMicrodollars),
      due_paid_microdollars: String(run.totals.duePaidMicrodollars),
      correction_microdollars: String(run.totals.correctedMicrodollars),
    })
    expect(run.totals.correctedMicrodollars).toBe(15_000_000)
  })

  test('keeps hostile texts as texts, quoted by RFC 4180', async () => {
    const csv = await csvOf('grants')
    expect(csv).toContain(`"'=HYPERLINK(""http://evil.example"",""pay, \nnow"")"`)
    expect(csv).toContain(`,'@SUM(A1),'-1,`)
    expect(cellsOf(csv, -1)).toMatchObject({
      user_id: 'total',
      expired_microdollars: String(run.totals.expiredMicrodollars),
      due_paid_microdollars: String(run.totals.duePaidMicrodollars),
    })
  })

  test('has every mutation, and the sum by which totals moved', async () => {
    const csv = await csvOf('mutations')
    const { expiredMicrodollars, duePaidMicrodollars, correctedMicrodollars } = run.totals
    expect(cellsOf(csv, -1)).toMatchObject({
      user_id: 'total',
      moved_microdollars: String(correctedMicrodollars - expiredMicrodollars - duePaidMicrodollars),
    })
    const back = await csvOf('mutations', rollback.runId)
    expect(cellsOf(back, -1).moved_microdollars).toBe(
      String(expiredMicrodollars + duePaidMicrodollars - correctedMicrodollars),
    )
  })

  test.each(['users', 'grants', 'mutations'] as const)(
    'of %s has its header and a total of 0 where the log is empty',
    async (kind) => {
      const [header = ''] = (await csvOf(kind)).split('\r\n')
      const nobody = await freshDatabase()
      const other = await freshBucket()
      const { runId } = await invokeJob({ databaseUrl: nobody.url, bucket: other }, { execute: true })
      const csv = await csvOf(kind, runId, other)
      await nobody.drop()
      const total = cellsOf(csv, -1)
      expect(csv.split('\r\n')).toEqual([header, expect.stringMatching(/^total,/), ''])
      const amounts = Object.entries(total).filter(([column]) => column.endsWith('_microdollars'))
      expect(new Set(amounts.map(([, amount]) => amount))).toEqual(new Set(['0']))
    },
  )

  test('is not finished with a total that differs from the card', async () => {
    const key = `runs/${run.runId}/summary.json`
    const card = await readText(bucket, key)
    const { expiredMicrodollars } = run.totals
    await putText(
      bucket,
      key,
      card.replace(`"expiredMicrodollars": ${expiredMicrodollars}`, '"expiredMicrodollars": 1'),
    )
    await expect(csvOf('users')).rejects.toThrow(`and its exit card says 1`)
    await putText(bucket, key, card)
  })
})

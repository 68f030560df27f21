import { beforeAll, describe, expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { auditRun } from '../../support/audit-run.ts'
import { freshBucket } from '../../support/bucket.ts'
import { stopClock } from '../../support/clock.ts'
import { invokeJob } from '../../support/job.ts'
import { dump, freshDatabase, insertTransaction, insertUser, type LedgerDump } from '../../support/ledger.ts'
import type { LogLine, RunLogs } from '../../support/logs.ts'
import { type Vector, vectorsOf } from '../../support/places/vectors.ts'

const vectors = ['expiration.json', 'drift.json'].flatMap(vectorsOf).map(withOwnIds)
const INSTANT = '2026-11-22T06:12:30.123Z'

/**
 * Some vectors share ids, which one database cannot hold twice: their first group becomes the vector's
 * number. The order stays.
 */
function withOwnIds(vector: Vector, index: number): Vector {
  const own = index.toString(16).padStart(8, '0')
  return JSON.parse(JSON.stringify(vector).replaceAll('"00000000-', `"${own}-`)) as Vector
}

const userId = (index: number): string => `vector-${String(index).padStart(3, '0')}`

let before: LedgerDump
let after: LedgerDump
let logs: RunLogs
let card: ExitCard

beforeAll(async () => {
  const database = await freshDatabase()
  const bucket = await freshBucket()
  for (const [index, vector] of vectors.entries()) {
    await insertUser(database.sql, { id: userId(index), ...vector.user })
    for (const row of vector.transactions)
      await insertTransaction(database.sql, { kilo_user_id: userId(index), ...row })
  }
  await stopClock(database.sql, INSTANT)
  before = await dump(database.sql)
  card = await invokeJob({ databaseUrl: database.url, bucket }, { execute: true, batchSize: 30 })
  after = await dump(database.sql)
  logs = await auditRun(bucket, card.runId, database.sql)
  await database.drop()
})

test('all of them have the same instant', () => {
  expect(vectors).toHaveLength(152)
  expect(card).toMatchObject({ status: 'complete', instant: INSTANT })
  expect(new Set(vectors.map(({ instant }) => instant))).toEqual(new Set([INSTANT]))
})

/** As PostgreSQL prints a time in UTC. */
function stored(time: string | null): string | null {
  if (time === null || !time.endsWith('Z')) return time
  return `${time.replace('T', ' ').replace(/\.?0*Z$/, '')}+00`
}

const text = (value: number | null): string | null => (value === null ? null : String(value))
const byLink = <Row extends { original_transaction_id?: unknown }>(rows: Row[]): Row[] =>
  rows.toSorted((a, b) => (String(a.original_transaction_id) < String(b.original_transaction_id) ? -1 : 1))

const inserting = (vector: Vector, id: string) => ({
  kilo_user_id: id,
  id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-5/),
  expiration_baseline_microdollars_used: null,
  original_baseline_microdollars_used: text(vector.user.microdollars_used),
  stripe_payment_id: null,
  coinbase_credit_block_id: null,
  expiry_date: null,
  organization_id: null,
  check_category_uniqueness: 'f',
  created_by_kilo_user_id: null,
})

/** The rows that a vector expects to be inserted, as they are stored; none for one that is skipped. */
function insertedRows(vector: Vector, id: string): LogLine[] {
  const { expected } = vector
  if (expected === null) return []
  const closings = expected.closing_rows.map((row) => ({
    ...inserting(vector, id),
    amount_microdollars: text(row.amount_microdollars),
    is_free: row.is_free ? 't' : 'f',
    description: row.description,
    credit_category: 'credits_expired',
    original_transaction_id: row.original_transaction_id,
    created_at: stored(row.created_at),
  }))
  const correction = {
    ...inserting(vector, id),
    amount_microdollars: text(expected.correction_microdollars),
    is_free: 't',
    description: 'Balance restored to zero after expiring internal free credits',
    credit_category: 'accounting_adjustment',
    original_transaction_id: null,
    created_at: stored(INSTANT),
  }
  return byLink(expected.correction_microdollars === 0 ? closings : [...closings, correction])
}

/** A row that was there, as a vector expects it to be left. */
function leftBy(row: LedgerDump['transactions'][number], { expected }: Vector): LogLine {
  const changed = expected?.changed_grants.find((grant) => grant.id === row.id)
  if (!changed) return row
  return {
    ...row,
    expiry_date: stored(changed.expiry_date),
    expiration_baseline_microdollars_used: text(changed.expiration_baseline_microdollars_used),
  }
}

/** A user as a vector expects them to be left but for `updated_at`. */
function userLeftBy(user: LogLine | undefined, { expected }: Vector): LogLine | undefined {
  return expected === null || !user
    ? user
    : {
        ...user,
        total_microdollars_acquired: text(expected.total_microdollars_acquired),
        next_credit_expiration_at: stored(expected.next_credit_expiration_at),
      }
}

function lineOf({ expected, left_alone }: Vector): LogLine {
  if (expected === null)
    return {
      outcome: left_alone,
      expired_microdollars: 0,
      due_paid_microdollars: 0,
      correction_microdollars: 0,
    }
  return {
    grants_targeted: expected.targeted,
    expired_microdollars: expected.expired_microdollars,
    due_paid_microdollars: expected.due_paid_microdollars,
    correction_microdollars: expected.correction_microdollars,
  }
}

describe('each vector, run on PostgreSQL, is stored as planned, field by field', () => {
  test.each(vectors.map((vector, index) => [vector.name, vector, userId(index)] as const))(
    '%s',
    (_name, vector, id) => {
      const [rowsBefore, rowsAfter] = [before, after].map(({ transactions }) =>
        transactions.filter((row) => row.kilo_user_id === id),
      )
      const [userBefore, userAfter] = [before, after].map(({ users }) => users.find((user) => user.id === id))
      const known = new Set(rowsBefore?.map((row) => row.id))
      const updatedAt = vector.expected === null ? userBefore?.updated_at : userAfter?.updated_at
      expect(userAfter).toEqual({ ...userLeftBy(userBefore, vector), updated_at: updatedAt })
      expect(rowsAfter?.filter((row) => known.has(row.id))).toEqual(
        rowsBefore?.map((row) => leftBy(row, vector)),
      )
      expect(byLink(rowsAfter?.filter((row) => !known.has(row.id)) ?? [])).toEqual(insertedRows(vector, id))
    },
  )

  test.each(vectors.map((vector, index) => [vector.name, vector, userId(index)] as const))(
    '%s, in the log',
    (_name, vector, id) => {
      expect(logs.users.find((line) => line.user_id === id)).toMatchObject(lineOf(vector))
      expect(logs.mutations.some((line) => line.user_id === id)).toBe(vector.expected !== null)
    },
  )
})

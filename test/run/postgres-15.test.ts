import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildScenario } from '../faults/scenario.ts'
import { auditAndLogs, auditJob } from '../support/audit.ts'
import { auditRun } from '../support/audit-run.ts'
import { freshBucket, type TestBucket } from '../support/bucket.ts'
import { invokeJob } from '../support/job.ts'
import { dump } from '../support/ledger.ts'
import { hasPostgres15, type Ledger15, startLedger15 } from '../support/servers/postgres-15.ts'

if (!hasPostgres15)
  process.stderr.write('PostgreSQL 15 is not installed (package postgresql-15): its tests are skipped.\n')

describe.skipIf(!hasPostgres15)('on PostgreSQL 15', () => {
  let ledger: Ledger15
  let bucket: TestBucket

  beforeAll(async () => {
    ledger = await startLedger15()
    bucket = await freshBucket()
    await buildScenario(ledger.sql)
    await auditJob(ledger.sql)
  })
  afterAll(() => ledger.stop())

  test('a dry run, an execute of its plan, and the rollback do what they do on every other version', async () => {
    expect(await ledger.sql`SHOW server_version_num`).toMatchObject([
      { server_version_num: expect.stringMatching(/^15/) },
    ])
    const place = { databaseUrl: ledger.url, bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }
    const before = await dump(ledger.sql, { updatedAt: false })
    const totals = { usersMatched: 12, usersProcessed: 9, usersFailed: 1, usersSkipped: 1 }

    const dry = await invokeJob(place, { batchSize: 4 })
    expect(dry).toMatchObject({
      status: 'complete',
      totals: { ...totals, usersProcessed: 10, usersFailed: 0 },
    })
    expect(await dump(ledger.sql, { updatedAt: false })).toEqual(before)

    const card = await invokeJob(place, { execute: true, plan: dry.runId })
    expect(card).toMatchObject({ status: 'complete_with_errors', totals })
    const { database, logs } = await auditAndLogs(ledger.sql, bucket, [card.runId])
    expect(logs).toEqual(database)

    const rollback = await invokeJob(place, { rollback: card.runId, execute: true })
    expect(rollback).toMatchObject({ status: 'complete', totals: { usersProcessed: 9 } })
    expect(await dump(ledger.sql, { updatedAt: false })).toEqual(before)
    for (const { runId } of [dry, card, rollback]) await auditRun(bucket, runId, ledger.sql)
  })
})

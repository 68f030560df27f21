import postgres from 'postgres'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { auditRun } from '../../support/audit-run.ts'
import { keys } from '../../support/bucket.ts'
import { stopClock } from '../../support/clock.ts'
import { failureOf, invokeJob, type InvocationOptions } from '../../support/job.ts'
import { dump, freshDatabase } from '../../support/ledger.ts'
import { readDocument } from '../../support/logs.ts'
import { timeForPages } from '../../support/stops.ts'
import { freshTeam, NOW, type Team } from '../../support/places/team.ts'

const EVENT = { execute: true, batchSize: 2, concurrency: 1 }

let team: Team
let copy: Awaited<ReturnType<typeof freshDatabase>>

/** Six users on three pages, and a copy of their database as it was before any run. */
beforeEach(async () => {
  team = await freshTeam(6)
  await team.sql.end()
  const template = new URL(team.url).pathname.slice(1)
  copy = await freshDatabase(template)
  await copy.sql.unsafe('DROP SCHEMA test_clock CASCADE')
  await stopClock(copy.sql, NOW)
})
afterEach(async () => {
  await copy.drop()
  await team.drop()
})

const invokeOn = (databaseUrl: string, event: object, options?: InvocationOptions, env = {}) =>
  invokeJob({ databaseUrl, bucket: team.bucket, env: { MIN_GRANT_AGE_SECONDS: '0', ...env } }, event, options)

test('a run is not continued, cancelled, planned or rolled back on another ledger; the refusal names both', async () => {
  const plan = await invokeOn(team.url, {})
  const done = await invokeOn(team.url, { ...EVENT, userIds: ['user-1'] })
  const open = await invokeOn(team.url, EVENT, timeForPages(1))
  const before = { ledger: await dump(copy.sql), keys: await keys(team.bucket) }
  for (const event of [
    { resume: open.runId },
    EVENT,
    { cancel: open.runId },
    { ...EVENT, restart: open.runId },
  ]) {
    const error = await failureOf(invokeOn(copy.url, event))
    expect(error.name).toBe('RunRefused')
    for (const url of [team.url, copy.url]) expect(error.message).toContain(new URL(url).pathname.slice(1))
    expect(error.message).toContain('LEDGER_FORMERLY=')
  }
  await invokeOn(team.url, { cancel: open.runId })
  for (const event of [
    { execute: true, plan: plan.runId },
    { rollback: done.runId },
    { rollback: done.runId, execute: true },
  ])
    expect((await failureOf(invokeOn(copy.url, event))).name).toBe('RunRefused')
  expect(await dump(copy.sql)).toEqual(before.ledger)
})

test('an open dry run is not resumed or cancelled on another ledger, whose clock would judge its lease', async () => {
  const open = await invokeOn(team.url, { batchSize: 2, concurrency: 1 }, timeForPages(1))
  const before = await keys(team.bucket)
  for (const event of [{ resume: open.runId }, { cancel: open.runId }])
    expect(await failureOf(invokeOn(copy.url, event))).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining(`Run ${open.runId} was opened on the ledger`),
    })
  expect(await keys(team.bucket)).toEqual(before)
  expect(await invokeOn(team.url, { cancel: open.runId })).toMatchObject({ status: 'cancelled' })
})

test('LEDGER_FORMERLY accepts a plan that was made on the ledger before it moved', async () => {
  const plan = await invokeOn(team.url, {})
  const refused = await failureOf(invokeOn(copy.url, { execute: true, plan: plan.runId }))
  const formerly = /LEDGER_FORMERLY=(\S+?)\.?$/.exec(refused.message)?.[1] ?? ''
  const env = { LEDGER_FORMERLY: formerly }
  const card = await invokeOn(copy.url, { execute: true, plan: plan.runId }, undefined, env)
  expect(card).toMatchObject({ status: 'complete', totals: plan.totals })
  await auditRun(team.bucket, card.runId, copy.sql)
})

test('a copy that is accepted by name, but lacks the rows that the run inserted, does not continue it', async () => {
  const open = await invokeOn(team.url, EVENT, timeForPages(1))
  const refused = await failureOf(invokeOn(copy.url, { resume: open.runId }))
  const env = { LEDGER_FORMERLY: /LEDGER_FORMERLY=(\S+?)\.?$/.exec(refused.message)?.[1] ?? '' }
  const before = await dump(copy.sql)
  expect(await failureOf(invokeOn(copy.url, { resume: open.runId }, undefined, env))).toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringContaining('rows that run'),
  })
  expect(await dump(copy.sql)).toEqual(before)
  expect(await invokeOn(team.url, { resume: open.runId })).toMatchObject({ status: 'complete' })
})

test('a run whose ledger is lost, so that only a copy without its rows is left, can be abandoned there', async () => {
  const open = await invokeOn(team.url, EVENT, timeForPages(1))
  const refused = await failureOf(invokeOn(copy.url, { resume: open.runId }))
  const env = { LEDGER_FORMERLY: /LEDGER_FORMERLY=(\S+?)\.?$/.exec(refused.message)?.[1] ?? '' }
  const abandon = { abandon: open.runId, reason: 'the server is gone' }
  expect((await failureOf(invokeOn(team.url, abandon))).message).toContain(
    'can be read, so it can be finished',
  )
  expect(await invokeOn(copy.url, abandon, undefined, env)).toMatchObject({ status: 'abandoned' })
  expect(await readDocument(team.bucket, 'control/writer.json')).toMatchObject({ runId: null })
})

test('a run is not resumed on a copy of its tables in another schema of the same database', async () => {
  const open = await invokeOn(team.url, EVENT, timeForPages(1))
  const elsewhere = new URL(team.url)
  elsewhere.searchParams.set('search_path', 'test_clock,pg_catalog,staging')
  const sql = postgres(team.url, { max: 1, onnotice: () => undefined })
  await sql.unsafe(`CREATE SCHEMA staging;
    CREATE TABLE staging.kilocode_users (LIKE public.kilocode_users INCLUDING ALL);
    CREATE TABLE staging.credit_transactions (LIKE public.credit_transactions INCLUDING ALL);
    INSERT INTO staging.kilocode_users SELECT * FROM public.kilocode_users;
    INSERT INTO staging.credit_transactions SELECT * FROM public.credit_transactions;`)
  const copied = () => sql`SELECT * FROM staging.credit_transactions ORDER BY id`
  const before = await copied()
  const refused = await failureOf(invokeOn(elsewhere.href, { resume: open.runId }))
  expect(refused).toMatchObject({ name: 'RunRefused', message: expect.stringMatching(/\/staging[ ,.]/) })
  expect(await copied()).toEqual(before)
  await sql.end()
  expect(await invokeOn(team.url, { resume: open.runId })).toMatchObject({ status: 'complete' })
})

test('a rollback is not resumed on its ledger as it was restored to before the rollback', async () => {
  const { runId } = await invokeOn(team.url, EVENT)
  const sql = postgres(team.url, { max: 1, onnotice: () => undefined })
  await sql.unsafe(
    'CREATE TABLE u AS SELECT * FROM kilocode_users; CREATE TABLE t AS SELECT * FROM credit_transactions',
  )
  const rollback = { rollback: runId, execute: true, concurrency: 1 }
  const open = await invokeOn(team.url, rollback, timeForPages(1))
  await sql.unsafe(`TRUNCATE kilocode_users, credit_transactions CASCADE;
    INSERT INTO kilocode_users SELECT * FROM u; INSERT INTO credit_transactions SELECT * FROM t`)
  const before = await dump(sql)
  expect(await failureOf(invokeOn(team.url, { resume: open.runId }))).toMatchObject({
    name: 'ArchiveCorrupt',
    message: expect.stringMatching(/^All of the \d+ rows that run \S+ deleted on page 0 are in the ledger/),
  })
  expect(await dump(sql)).toEqual(before)
  await sql.end()
  const abandon = { abandon: open.runId, reason: 'the ledger was restored' }
  expect(await invokeOn(team.url, abandon)).toMatchObject({ status: 'abandoned' })
})

test('run.json records the ledger: system identifier, database, host and port', async () => {
  const { runId } = await invokeOn(team.url, EVENT)
  const { host, port, pathname } = hostOf(team.url)
  expect(await readDocument(team.bucket, `runs/${runId}/run.json`)).toMatchObject({
    ledger: {
      systemIdentifier: expect.stringMatching(/^\d+$/),
      databaseOid: expect.stringMatching(/^\d+$/),
      database: pathname.slice(1),
      host,
      port,
    },
  })
})

function hostOf(url: string): { host: string; port: number; pathname: string } {
  const { hostname, port, pathname } = new URL(url)
  return { host: hostname, port: Number(port), pathname }
}

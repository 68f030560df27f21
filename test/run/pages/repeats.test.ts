import { beforeAll, expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { betweenReadAndWrite } from '../../support/between.ts'
import { keys, readText } from '../../support/bucket.ts'
import { setClock } from '../../support/clock.ts'
import { auditRun } from '../../support/audit-run.ts'
import { essenceOf } from '../../support/essence.ts'
import { failureOf, type InvocationOptions, invokeJob } from '../../support/job.ts'
import { dump, insertTransaction, insertUser } from '../../support/ledger.ts'
import { openRunId, readDocument, readLogs } from '../../support/logs.ts'
import { freshPlace, type Place, s3, useRandomLedgers } from '../../support/places/random-ledgers.ts'
import { timeForPages } from '../../support/stops.ts'

/** Payloads that are sent twice: at the same time, while the run is open, and after it has closed. */
const RANDOM_USERS = 15
const EVENT = { execute: true, batchSize: 4, concurrency: 1 }

let single: Awaited<ReturnType<typeof essenceOf>>

useRandomLedgers(RANDOM_USERS, async (sql) => {
  // Whatever the seed, one user's balance has to be corrected.
  await insertUser(sql, { id: 'to-correct' })
  await insertTransaction(sql, { kilo_user_id: 'to-correct' })
})
beforeAll(async () => {
  const place = await freshPlace()
  const { runId } = await invoke(place, EVENT)
  single = await essenceOf(place.database.sql, place.bucket, runId)
})

async function invoke(
  { database, bucket }: Place,
  event: unknown,
  options?: InvocationOptions,
): Promise<ExitCard> {
  return invokeJob({ databaseUrl: database.url, bucket }, event, options)
}

test('a second invocation at the same time is busy, and changes nothing', async () => {
  const place = await freshPlace()
  const seconds: ExitCard[] = []
  const stored = async () => ({
    keys: await keys(place.bucket),
    cursor: await readText(place.bucket, `runs/${await openRunId(place.bucket)}/cursor.json`),
    ledger: await dump(place.database.sql),
  })
  betweenReadAndWrite(s3, place.bucket, async (nth) => {
    if (nth !== 2) return
    const before = await stored()
    seconds.push(await invoke(place, EVENT))
    seconds.push(await invoke(place, { resume: seconds[0]?.runId }))
    expect(await stored()).toEqual(before)
  })
  const first = await invoke(place, EVENT)
  s3.setHooks(place.bucket.bucket, undefined)
  expect(seconds).toMatchObject([
    { runId: first.runId, status: 'busy', why: expect.stringContaining('expires at') },
    { runId: first.runId, status: 'busy', next: { payload: { resume: first.runId } } },
  ])
  expect(first.status).toBe('complete')
  expect(await essenceOf(place.database.sql, place.bucket, first.runId)).toEqual(single)
})

test('of two invocations that begin at the same moment one does the run, and the other is busy', async () => {
  const place = await freshPlace()
  const cards = await Promise.all([invoke(place, EVENT), invoke(place, EVENT)])
  // If one closed its run before the other looked, the other finds nothing to do.
  const done = cards
    .filter(({ status }) => status === 'complete')
    .toSorted((a, b) => b.totals.usersProcessed - a.totals.usersProcessed)
  const busy = cards.filter(({ status }) => status === 'busy')
  expect(done.length + busy.length).toBe(2)
  for (const { runId } of busy) expect(runId).toBe(done[0]?.runId)
  expect(done[1]?.totals.usersProcessed ?? 0).toBe(0)
  await auditRun(place.bucket, done[0]?.runId ?? '', place.database.sql)
})

test('the same payload after the run has closed changes no row', async () => {
  const place = await freshPlace()
  const first = await invoke(place, EVENT)
  const after = await dump(place.database.sql)
  const again = await invoke(place, EVENT)
  expect(again).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: 0, expiredMicrodollars: 0, correctedMicrodollars: 0 },
  })
  expect(again.runId).not.toBe(first.runId)
  expect(await dump(place.database.sql)).toEqual(after)
  expect((await readLogs(place.bucket, again.runId)).mutations).toEqual([])
})

test('later runs expire only users who were too recent, and never a correction', async () => {
  const place = await freshPlace()
  const first = await invoke(place, EVENT)
  const { users, mutations } = await readLogs(place.bucket, first.runId)
  const recent = users.filter(({ outcome }) => outcome === 'too_recent').map((line) => line.user_id)
  const inserted = new Set(
    mutations.filter(({ type }) => type === 'accounting_adjustment_insert').map(({ row_id: rowId }) => rowId),
  )
  const corrections = (await dump(place.database.sql)).transactions.filter(({ id }) => inserted.has(id))
  expect(corrections).toHaveLength(first.totals.usersCorrected)
  expect(first.totals.usersCorrected).toBeGreaterThan(0)

  await setClock(place.database.sql, '2026-11-23T00:00:00.000Z')
  const tomorrow = await invoke(place, EVENT)
  const taken = (await readLogs(place.bucket, tomorrow.runId)).mutations.map((line) => line.user_id)
  expect(taken.filter((id) => !recent.includes(id))).toEqual([])

  const final = await dump(place.database.sql)
  await setClock(place.database.sql, '2036-11-22T06:12:30.123Z')
  expect(await invoke(place, EVENT)).toMatchObject({ status: 'complete', totals: { usersProcessed: 0 } })
  expect(await dump(place.database.sql)).toEqual(final)
  const links = new Set(final.transactions.map((row) => row.original_transaction_id))
  expect(final.transactions).toEqual(expect.arrayContaining(corrections))
  expect(corrections.filter(({ id }) => links.has(id))).toEqual([])
})

test('resuming a closed run returns its card, and changes nothing', async () => {
  const place = await freshPlace()
  const card = await invoke(place, EVENT)
  const before = { ledger: await dump(place.database.sql), keys: await keys(place.bucket) }
  expect(await invoke(place, { resume: card.runId })).toEqual(card)
  expect(await readDocument(place.bucket, `runs/${card.runId}/summary.json`)).toEqual(card)
  expect({ ledger: await dump(place.database.sql), keys: await keys(place.bucket) }).toEqual(before)
})

test('while a run is open, another payload is refused with the one that resumes; a dry run is not', async () => {
  const place = await freshPlace()
  const open = await invoke(place, EVENT, timeForPages(1))
  expect(open.status).toBe('incomplete')
  const before = await keys(place.bucket)
  for (const other of [{ userIds: ['user-001'] }, { domains: ['kilo.ai'] }])
    expect(await failureOf(invoke(place, { execute: true, ...other }))).toMatchObject({
      name: 'RunRefused',
      message: expect.stringContaining(`{"resume": "${open.runId}"}`),
    })
  expect(await keys(place.bucket)).toEqual(before)
  await setClock(place.database.sql, '2026-11-22T06:12:31.123Z')
  expect(await invoke(place, {})).toMatchObject({ status: 'complete', mode: 'dry-run' })
  // Other fields do not make it another payload.
  const rest = await invoke(place, {
    execute: true,
    batchSize: 500,
    concurrency: 16,
    reason: 'continue',
    domains: ['kilocode.ai', 'kilo.ai'],
  })
  expect(rest).toMatchObject({ runId: open.runId, status: 'complete' })
  const { users, transactions, totals } = await essenceOf(place.database.sql, place.bucket, open.runId)
  expect({ users, transactions, totals }).toEqual({
    users: single.users,
    transactions: single.transactions,
    totals: single.totals,
  })
})

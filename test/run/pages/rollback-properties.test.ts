import { describe, expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { auditRun } from '../../support/audit-run.ts'
import { betweenReadAndWrite } from '../../support/between.ts'
import { setClock } from '../../support/clock.ts'
import { invokeJob } from '../../support/job.ts'
import { dump, type LedgerDump } from '../../support/ledger.ts'
import { readLogs } from '../../support/logs.ts'
import { random } from '../../support/random.ts'
import { freshPlace, type Place, s3, SEED, useRandomLedgers } from '../../support/places/random-ledgers.ts'
import { timeForPages } from '../../support/stops.ts'
import { type Happening, HAPPENINGS } from './happenings.ts'

/** FAULTS=all takes a large sample. */
const USERS = process.env.FAULTS === 'all' ? 120 : 40
const LATER = '2026-11-23T06:00:00.000Z'

type UserState = { user: LedgerDump['users'][number]; rows: LedgerDump['transactions'] }

useRandomLedgers(USERS, (sql) =>
  sql.unsafe('CREATE TABLE receipts (credit_id uuid REFERENCES credit_transactions (id) ON DELETE RESTRICT)'),
)

const invoke = (
  { database, bucket }: Place,
  event: object,
  options?: Parameters<typeof invokeJob>[2],
): Promise<ExitCard> =>
  invokeJob({ databaseUrl: database.url, bucket, env: { MIN_GRANT_AGE_SECONDS: '0' } }, event, options)
const state = ({ database }: Place) => dump(database.sql, { updatedAt: false })

/** A dump by user, without rows that belong to no user. */
function byUser({ users, transactions }: LedgerDump): Map<string, UserState> {
  return new Map(
    users.map((user) => [
      String(user.id),
      { user, rows: transactions.filter((row) => row.kilo_user_id === user.id) },
    ]),
  )
}

const sum = (rows: readonly LedgerDump['transactions'][number][]): bigint =>
  rows.reduce((all, row) => all + BigInt(row.amount_microdollars ?? 0), 0n)

/** What a user's total is beyond the sum of their rows: no consistent change moves it. */
const beyondRows = ({ user, rows }: UserState): bigint =>
  BigInt(user.total_microdollars_acquired ?? 0) - sum(rows)

/**
 * Compares every user with what the rollback's lines say: rolled back to the last row, or not touched at all.
 */
async function expectAllOrNothing(
  place: Place,
  run: ExitCard,
  rolledBack: ExitCard,
  before: LedgerDump,
): Promise<Map<string, string>> {
  const inserted = new Set(
    (await readLogs(place.bucket, run.runId)).mutations
      .filter(({ type }) => String(type).endsWith('_insert'))
      .map(({ row_id }) => row_id),
  )
  const { users: lines, mutations } = await auditRun(place.bucket, rolledBack.runId)
  const outcomes = new Map(lines.map((line) => [String(line.user_id), String(line.outcome)]))
  const [then, now] = [byUser(before), byUser(await state(place))]
  for (const [id, old] of then) {
    const left = now.get(id)
    const gone = outcomes.get(id) === 'rolled_back'
    expect(gone ? null : left).toEqual(gone ? null : old)
    const deleted = old.rows.filter((row) => gone && inserted.has(row.id))
    const moved =
      BigInt(left?.user.total_microdollars_acquired ?? 0) - BigInt(old.user.total_microdollars_acquired ?? 0)
    expect({ id, moved }).toEqual({ id, moved: -sum(deleted) })
    expect(left?.rows.map((row) => row.id)).toEqual(
      old.rows.filter((row) => !deleted.includes(row)).map((row) => row.id),
    )
    const logged = mutations
      .filter((line) => line.user_id === id && String(line.type).endsWith('_delete'))
      .map(({ row_id }) => row_id)
    expect(new Set(logged)).toEqual(new Set(deleted.map((row) => row.id)))
    expect(logged).toHaveLength(deleted.length)
  }
  return outcomes
}

test.each([[{}], [{ batchSize: 7, concurrency: 3 }]])(
  'execute and roll back (%j): as before, byte for byte',
  async (sizes) => {
    const place = await freshPlace()
    const before = await state(place)
    const run = await invoke(place, { execute: true, ...sizes })
    expect(run.totals.usersProcessed).toBeGreaterThan(USERS / 10)
    const rolledBack = await invoke(place, { rollback: run.runId, execute: true })
    expect(rolledBack).toMatchObject({
      status: 'complete',
      totals: {
        usersProcessed: run.totals.usersProcessed,
        usersSkipped: 0,
        expiredMicrodollars: -run.totals.expiredMicrodollars + 0,
      },
    })
    expect(await state(place)).toEqual(before)
  },
)

test('a run that was stopped half-way, rolled back once it is closed: as before', async () => {
  const place = await freshPlace()
  const before = await state(place)
  const open = await invoke(place, { execute: true, batchSize: USERS / 10, concurrency: 1 }, timeForPages(5))
  await expect(invoke(place, { rollback: open.runId, execute: true })).rejects.toThrow(/open|not closed/)
  await expect(invoke(place, { rollback: open.runId })).rejects.toThrow(/not closed/)
  const stopped = await invoke(place, { cancel: open.runId })
  expect(stopped).toMatchObject({ status: 'cancelled', totals: { usersNotReached: USERS / 2 } })
  const rolledBack = await invoke(place, { rollback: open.runId, execute: true })
  expect(rolledBack).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: stopped.totals.usersProcessed },
  })
  expect(await state(place)).toEqual(before)
})

test('a rollback that is stopped and resumed, page by page: as before, and each line once', async () => {
  const place = await freshPlace()
  const before = await state(place)
  const run = await invoke(place, { execute: true, batchSize: 5 })
  let card = await invoke(place, { rollback: run.runId, execute: true, concurrency: 1 }, timeForPages(1))
  for (let pages = 2; card.status === 'incomplete'; pages = (pages % 3) + 1)
    card = await invoke(place, { resume: card.runId }, timeForPages(pages))
  expect(card).toMatchObject({ status: 'complete', totals: { usersProcessed: run.totals.usersProcessed } })
  expect(await state(place)).toEqual(before)
  const { users } = await readLogs(place.bucket, card.runId)
  expect(new Set(users.map(({ user_id }) => user_id)).size).toBe(run.totals.usersProcessed)
})

describe('whatever happens in between', () => {
  test.each([0, 1])(
    'each user is rolled back exactly, or not touched (%i later runs of this job)',
    async (nth) => {
      const place = await freshPlace()
      const original = byUser(await state(place))
      const run = await invoke(place, { execute: true, batchSize: 20 })
      await setClock(place.database.sql, LATER)
      const happened = new Map<string, Happening[]>()
      const dice = random(SEED + nth)
      for (const id of original.keys()) {
        const some = HAPPENINGS.filter(() => dice() < 0.13)
        for (const happening of some)
          await happening.act(place.database.sql, id, Math.ceil(dice() * 9) * 1_000_000)
        happened.set(id, some)
      }
      const later = nth === 1 ? await invoke(place, { execute: true }) : null
      const processedLater = new Set(
        later ? (await readLogs(place.bucket, later.runId)).mutations.map(({ user_id }) => user_id) : [],
      )
      const before = await state(place)

      const rolledBack = await invoke(place, { rollback: run.runId, execute: true })
      expect(rolledBack.status).toBe('complete')
      const outcomes = await expectAllOrNothing(place, run, rolledBack, before)
      for (const [id, outcome] of outcomes) {
        const built = processedLater.has(id) || (happened.get(id) ?? []).some(({ forbids }) => forbids)
        expect({ id, outcome, happened: happened.get(id)?.map(({ what }) => what) }).toMatchObject({
          id,
          outcome: built ? 'changed_since' : 'rolled_back',
        })
      }
      const untouched = [...original.keys()].filter(
        (id) => happened.get(id)?.length === 0 && !processedLater.has(id),
      )
      const now = byUser(await state(place))
      expect(untouched.map((id) => now.get(id))).toEqual(untouched.map((id) => original.get(id)))
      if (!later) return
      // In the reverse order the later run refuses no user.
      expect(await invoke(place, { rollback: later.runId, execute: true })).toMatchObject({
        totals: { usersProcessed: processedLater.size, usersSkipped: 0 },
      })
      const between = await state(place)
      const again = await expectAllOrNothing(
        place,
        run,
        await invoke(place, { rollback: run.runId, execute: true }),
        between,
      )
      for (const [id, outcome] of again) {
        const expected = (happened.get(id) ?? []).some(({ forbids }) => forbids)
          ? 'changed_since'
          : outcomes.get(id) === 'rolled_back'
            ? 'already_rolled_back'
            : 'rolled_back'
        expect({ id, outcome }).toEqual({ id, outcome: expected })
      }
    },
  )

  test.each([1, 3])('also between read and write, with %i pages in flight', async (concurrency) => {
    const place = await freshPlace()
    const run = await invoke(place, { execute: true, batchSize: 15 })
    await setClock(place.database.sql, LATER)
    const start = byUser(await state(place))
    const dice = random(SEED + concurrency)
    const ids = [...start.keys()]
    betweenReadAndWrite(s3, place.bucket, async (nth) => {
      if (nth > 40) return
      for (let n = 0; n < 12; n++) {
        const happening = HAPPENINGS.find(() => dice() < 0.3)
        await happening?.act(place.database.sql, ids[Math.floor(dice() * ids.length)] ?? '', 1_000_000)
      }
    })
    const rolledBack = await invoke(place, { rollback: run.runId, execute: true, concurrency })
    s3.setHooks(place.bucket.bucket, undefined)
    expect(rolledBack).toMatchObject({ status: 'complete', totals: { usersFailed: 0 } })
    expect(rolledBack.totals.usersProcessed + rolledBack.totals.usersSkipped).toBe(run.totals.usersProcessed)

    const inserted = (await readLogs(place.bucket, run.runId)).mutations.filter(({ type }) =>
      String(type).endsWith('_insert'),
    )
    const { users, mutations } = await readLogs(place.bucket, rolledBack.runId)
    const now = byUser(await state(place))
    for (const { user_id: userId, outcome } of users) {
      const [then, left] = [start.get(String(userId)), now.get(String(userId))]
      if (!then || !left) throw new Error(`The user ${String(userId)} has gone.`)
      expect({ userId, beyondRows: beyondRows(left) }).toEqual({ userId, beyondRows: beyondRows(then) })
      const ours = inserted.filter((line) => line.user_id === userId).map(({ row_id }) => row_id)
      const remaining = left.rows.filter(({ id }) => ours.includes(id)).length
      expect({ userId, outcome, remaining }).toEqual({
        userId,
        outcome,
        remaining: outcome === 'rolled_back' ? 0 : ours.length,
      })
      const deleted = mutations.filter(
        (line) => line.user_id === userId && String(line.type).endsWith('_delete'),
      )
      expect(deleted).toHaveLength(ours.length - remaining)
    }
  })
})

import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect, type Sql, type Transaction } from '../../lambda/ledger/connect.ts'
import { CommitUncertain } from '../../lambda/ledger/errors.ts'
import { readUsers } from '../../lambda/ledger/read.ts'
import { readTransaction, writeTransaction } from '../../lambda/ledger/transaction.ts'
import { freshDatabase, insertUser } from '../support/ledger.ts'

let database: Awaited<ReturnType<typeof freshDatabase>>
beforeAll(async () => {
  database = await freshDatabase()
  await insertUser(database.sql, { id: 'ada' })
})
afterAll(() => database.drop())

const SETTINGS = [
  'TimeZone',
  'DateStyle',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'transaction_read_only',
  'transaction_isolation',
]

async function settings(sql: Sql | Transaction): Promise<Record<string, string>> {
  const rows = await sql<{ name: string; value: string }[]>`
    select name, current_setting(name) as value
    from jsonb_array_elements_text(${JSON.stringify(SETTINGS)}::text::jsonb) as name`
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
}

/** One connection only, so that what a transaction leaves behind is seen by the next. */
async function withOneConnection(work: (sql: Sql) => Promise<void>): Promise<void> {
  const sql = connect({ url: database.url }, 1)
  try {
    await work(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

test('a dry run can write nothing: PostgreSQL itself refuses', async () => {
  await withOneConnection(async (sql) => {
    const writes = [
      (tx: Transaction) => tx`update kilocode_users set microdollars_used = 1`,
      (tx: Transaction) =>
        tx`insert into credit_transactions (kilo_user_id, amount_microdollars, is_free) values ('ada', 1, true)`,
      (tx: Transaction) => tx`select id from kilocode_users for no key update`,
      (tx: Transaction) => tx`set transaction read write`,
    ]
    for (const write of writes) {
      const refused = readTransaction(sql, async (tx) => {
        await tx`select id from kilocode_users`
        await write(tx)
      })
      await expect(refused).rejects.toMatchObject({ cause: { code: expect.stringMatching(/^25/) } })
    }
  })
})

test('timeouts, time zone and date style hold inside, and nothing of them stays on the connection', async () => {
  await withOneConnection(async (sql) => {
    const before = await settings(sql)
    expect(await writeTransaction(sql, settings)).toEqual({
      TimeZone: 'UTC',
      DateStyle: 'ISO, YMD',
      statement_timeout: '15s',
      lock_timeout: '400ms',
      idle_in_transaction_session_timeout: '10s',
      transaction_read_only: 'off',
      transaction_isolation: 'read committed',
    })
    expect(await settings(sql)).toEqual(before)
    expect(await readTransaction(sql, settings)).toMatchObject({
      TimeZone: 'UTC',
      DateStyle: 'ISO, YMD',
      transaction_read_only: 'on',
      transaction_isolation: 'repeatable read',
    })
    await readUsers(sql, ['ada'])
    expect(await settings(sql)).toEqual(before)
    const prepared = await sql`select name from pg_prepared_statements`
    expect([...prepared]).toEqual([])
  })
})

test('a transaction that fails leaves nothing', async () => {
  await withOneConnection(async (sql) => {
    const failed = writeTransaction(sql, async (tx) => {
      await tx`update kilocode_users set microdollars_used = 5`
      throw new Error('not like this')
    })
    await expect(failed).rejects.toThrow('not like this')
    expect([...(await sql`select microdollars_used from kilocode_users`)]).toEqual([
      { microdollars_used: '0' },
    ])
  })
})

async function terminate(tx: Transaction): Promise<void> {
  const [row] = await tx<{ pid: number }[]>`select pg_backend_pid() as pid`
  await database.sql`select pg_terminate_backend(${row?.pid ?? 0}, 5000)`
}

test('work that outlives its connection cannot write, nor commit what another transaction does on it by then', async () => {
  await withOneConnection(async (sql) => {
    await sql`create table notes (who text)`
    const waiting = Promise.withResolvers<void>()
    const abandoned = Promise.withResolvers<void>()
    const first = writeTransaction(sql, async (tx) => {
      await terminate(tx)
      await waiting.promise
      try {
        await tx`insert into notes values ('abandoned')`
      } finally {
        abandoned.resolve()
      }
    })
    await expect(first).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' })

    const second = once(async () =>
      writeTransaction(sql, async (tx) => {
        await tx`insert into notes values ('second')`
        waiting.resolve()
        await abandoned.promise
        await tx`select 1`
        throw new Error('the check before the commit failed')
      }),
    )
    await expect(second).rejects.toThrow('the check before the commit failed')
    expect([...(await sql`select who from notes`)]).toEqual([])
    await sql`drop table notes`
  })
})

test('a connection that goes during a statement ends its transaction alone: the pool goes on', async () => {
  await withOneConnection(async (sql) => {
    const first = writeTransaction(sql, async (tx) => {
      const [row] = await tx<{ pid: number }[]>`select pg_backend_pid() as pid`
      await Promise.all([
        tx`select pg_sleep(60)`,
        database.sql`select pg_terminate_backend(${row?.pid ?? 0}, 5000)`,
      ])
    })
    await expect(first).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' })
    expect(
      await once(async () => writeTransaction(sql, async (tx) => (await tx`select 1 as one`)[0])),
    ).toEqual({ one: 1 })
  })
})

/** postgres.js gives the first query of a new connection the last error of the one before it, and does not send it. */
async function once<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === '57P01') return work()
    throw error
  }
}

test('a commit whose answer is lost is uncertain, whatever the connection says; one that the server refuses is not', async () => {
  await withOneConnection(async (sql) => {
    await sql.unsafe(`
      create table slow (id int);
      create function slow_commit() returns trigger language plpgsql as $$
        begin if new.id = 0 then raise exception 'no' using errcode = '23514'; end if; perform pg_sleep(60); return null; end $$;
      create constraint trigger slow after insert on slow deferrable initially deferred for each row execute function slow_commit();
    `)
    const refused = writeTransaction(sql, (tx) => tx`insert into slow values (0)`)
    await expect(refused).rejects.toMatchObject({ code: '23514' })

    const backend = Promise.withResolvers<number>()
    const lost = writeTransaction(sql, async (tx) => {
      const [row] = await tx<{ pid: number }[]>`select pg_backend_pid() as pid`
      await tx`insert into slow values (1)`
      backend.resolve(row?.pid ?? 0)
    })
    const outcome = lost.then(
      () => 'committed',
      (error: unknown) => error,
    )
    const pid = await backend.promise
    for (let committing = false; !committing; await pause(10)) {
      const rows =
        await database.sql`select from pg_stat_activity where pid = ${pid} and wait_event = 'PgSleep'`
      committing = rows.length > 0
    }
    await database.sql`select pg_terminate_backend(${pid}, 5000)`
    expect(await outcome).toBeInstanceOf(CommitUncertain)
  })
})

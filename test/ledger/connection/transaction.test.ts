import { setImmediate as nextTask } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import postgres from 'postgres'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  connect,
  identifiersOf,
  type Sql,
  type LedgerTransaction,
} from '../../../lambda/ledger/connection/connect.ts'
import type { Waits } from '../../../lambda/ledger/connection/line.ts'
import {
  DEFAULT_PATIENCE,
  readTransaction,
  withRetriedRead,
  writeTransaction,
} from '../../../lambda/ledger/connection/transaction.ts'
import { freshDatabase, insertUser } from '../../support/ledger.ts'
import { readNow } from '../../support/plans.ts'
import {
  type Peer,
  startClosingServer,
  startMuteServer,
  startSilentProxy,
} from '../../support/servers/silent-proxy.ts'

let database: Awaited<ReturnType<typeof freshDatabase>>
beforeAll(async () => {
  database = await freshDatabase()
  await insertUser(database.sql, { id: 'ada' })
  await database.sql`create table notes (who text)`
})
const pools: Sql[] = []
const peers: Peer[] = []
afterEach(async () => {
  await Promise.all(pools.splice(0).map(async (opened) => opened.end()))
  await Promise.all(peers.splice(0).map(async (peer) => peer.stop()))
  await database.sql`delete from notes`
})
afterAll(() => database.drop())

/** One connection unless told otherwise, so that what a transaction leaves behind is seen by the next. */
function pool(waits: Partial<Waits> = {}, url = database.url, connections = 1): Sql {
  const opened = connect({ url }, connections, waits)
  pools.push(opened)
  return opened
}

/** Short enough for a test, and far longer than anything that a local server answers to takes. */
const SHORT: Partial<Waits> = { connectMs: 1_500, statementMs: 1_000, idleMs: 500, readLockMs: 200 }

function through(peer: Peer, url = database.url): string {
  peers.push(peer)
  const changed = new URL(url)
  changed.hostname = '127.0.0.1'
  changed.port = String(peer.port)
  return changed.href
}

async function silentProxy(...silentAt: string[]) {
  const { hostname, port } = new URL(database.url)
  const proxy = await startSilentProxy({ host: hostname, port: Number(port) }, ...silentAt)
  return { proxy, url: through(proxy) }
}

const failure = async (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => new Error('nothing failed'),
    (error: unknown) => (error instanceof Error ? error : new Error('what was thrown is no Error')),
  )

const notes = async (): Promise<string[]> =>
  (await database.sql<{ who: string }[]>`select who from notes order by who`).map(({ who }) => who)

const SETTINGS = [
  'TimeZone',
  'DateStyle',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'synchronous_commit',
  'transaction_read_only',
  'transaction_isolation',
]

async function settings(tx: LedgerTransaction): Promise<Record<string, string>> {
  const rows = await tx<{ name: string; value: string }[]>`
    select name, current_setting(name) as value
    from jsonb_array_elements_text(${JSON.stringify(SETTINGS)}::text::jsonb) as name`
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
}

describe('a transaction', () => {
  test('a reading one can write nothing: PostgreSQL itself refuses', async () => {
    const sql = pool()
    const writes = [
      (tx: LedgerTransaction) => tx`update kilocode_users set microdollars_used = 1`,
      (tx: LedgerTransaction) => tx`insert into notes values ('ada')`,
      (tx: LedgerTransaction) => tx`select id from kilocode_users for no key update`,
      (tx: LedgerTransaction) => tx`set transaction read write`,
    ]
    for (const write of writes) {
      const refused = readTransaction(sql, async (tx) => {
        await tx`select id from kilocode_users`
        await write(tx)
      })
      expect(await failure(refused)).toMatchObject({
        name: 'LedgerUnavailable',
        cause: { code: expect.stringMatching(/^25/) },
      })
    }
  })

  test('has timeouts, time zone, date style and synchronous_commit of its own, and leaves nothing of them', async () => {
    await database.sql.unsafe(
      `ALTER DATABASE ${new URL(database.url).pathname.slice(1)} SET synchronous_commit = off`,
    )
    const sql = pool()
    const before = await sessionSettings(sql)
    expect(before).toMatchObject({ synchronous_commit: 'off' })
    expect(await writeTransaction(sql, settings)).toEqual({
      TimeZone: 'UTC',
      DateStyle: 'ISO, YMD',
      statement_timeout: '15s',
      lock_timeout: '400ms',
      idle_in_transaction_session_timeout: '10s',
      synchronous_commit: 'on',
      transaction_read_only: 'off',
      transaction_isolation: 'read committed',
    })
    expect(await writeTransaction(sql, settings, DEFAULT_PATIENCE, { lockMs: 25 })).toMatchObject({
      lock_timeout: '25ms',
    })
    expect(await readTransaction(sql, settings)).toMatchObject({
      TimeZone: 'UTC',
      DateStyle: 'ISO, YMD',
      statement_timeout: '15s',
      lock_timeout: '3s',
      idle_in_transaction_session_timeout: '10s',
      transaction_read_only: 'on',
      transaction_isolation: 'repeatable read',
    })
    await readNow(sql, ['ada'])
    expect(await sessionSettings(sql)).toEqual(before)
    await database.sql.unsafe(
      `ALTER DATABASE ${new URL(database.url).pathname.slice(1)} RESET synchronous_commit`,
    )
  })

  test.each([
    [900_000, '15s', '10s'],
    [40_000, '10s', '6667ms'],
    [0, '3s', '3s'],
  ])('with %i ms left, its waits take about half of them', async (left, statement, idle) => {
    const patience = { ...DEFAULT_PATIENCE, timeLeft: () => left }
    const waits = { statement_timeout: statement, idle_in_transaction_session_timeout: idle }
    expect(await writeTransaction(pool(), settings, patience)).toMatchObject(waits)
    expect(await withRetriedRead(pool(), settings, patience)).toMatchObject(waits)
  })

  /** As they are outside of a transaction, on the pool's only connection. */
  async function sessionSettings(sql: Sql): Promise<Record<string, string>> {
    const line = await sql.acquire()
    try {
      const prepared = await line.sql`select name from pg_prepared_statements`
      return {
        ...(await settings(Object.assign(line.sql, { identifier: identifiersOf(line.sql) }))),
        prepared: String(prepared.length),
      }
    } finally {
      sql.release(line)
    }
  }

  test('that fails leaves nothing', async () => {
    const failed = writeTransaction(pool(), async (tx) => {
      await tx`insert into notes values ('ada')`
      throw new Error('not like this')
    })
    await expect(failed).rejects.toThrow('not like this')
    expect(await notes()).toEqual([])
  })

  test('whose work hides the error of a statement is no success: the server answers COMMIT with a rollback', async () => {
    const hidden = writeTransaction(pool(), async (tx) => {
      await tx`insert into notes values ('ada')`
      await tx`select 1 / 0`.catch(() => null)
    })
    await expect(hidden).rejects.toThrow('the server rolled the transaction back at COMMIT')
    expect(await notes()).toEqual([])
  })

  test('more of them than connections wait for their turn, also after failed ones', async () => {
    const sql = pool({}, database.url, 2)
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    const ended = await Promise.allSettled(
      names.map(async (who) =>
        writeTransaction(sql, async (tx) => {
          await tx`insert into notes values (${who})`
          if (who === 'b' || who === 'd') throw new Error(who)
        }),
      ),
    )
    expect(ended.map(({ status }) => status === 'fulfilled')).toEqual([true, false, true, false, true, true])
    expect(await notes()).toEqual(['a', 'c', 'e', 'f'])
  })
})

const pidOf = async (tx: LedgerTransaction): Promise<number> =>
  (await tx<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]?.pid ?? 0
const terminate = async (pid: number) => database.sql`select pg_terminate_backend(${pid}, 5000)`

test('what transactions return is not kept by their connection: a run of 100,000 users has one', async () => {
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const sql = pool()
  const kept: WeakRef<object>[] = []
  for (const transaction of [readTransaction, writeTransaction, readTransaction])
    kept.push(new WeakRef(await transaction(sql, async (tx) => [...(await tx`select 'ada' as who`)])))
  // A WeakRef holds its object until the end of the task that made it.
  await nextTask()
  collectGarbage()
  expect(kept.map((reference) => reference.deref())).toEqual([undefined, undefined, undefined])
  expect(await readTransaction(sql, async () => 'still open')).toBe('still open')
})

describe('a connection that is closed', () => {
  test('during a pause ends its transaction at once, and nothing of its work reaches another connection', async () => {
    const sql = pool()
    const waiting = Promise.withResolvers<void>()
    const late = Promise.withResolvers<unknown>()
    const first = writeTransaction(sql, async (tx) => {
      await terminate(await pidOf(tx))
      await waiting.promise
      late.resolve(await failure(Promise.resolve().then(() => tx`insert into notes values ('abandoned')`)))
    })
    expect(await failure(first)).toMatchObject({
      name: 'LedgerUnavailable',
      message: expect.stringContaining('The connection to the database was lost'),
    })
    const second = writeTransaction(sql, async (tx) => {
      await tx`insert into notes values ('second')`
      waiting.resolve()
      await late.promise
      throw new Error('the check before the commit failed')
    })
    await expect(second).rejects.toThrow('the check before the commit failed')
    expect(await late.promise).toMatchObject({ message: expect.stringContaining('was not sent') })
    expect(await notes()).toEqual([])
  })

  test('during a statement ends its transaction alone', async () => {
    const sql = pool()
    const first = writeTransaction(sql, async (tx) => {
      const pid = await pidOf(tx)
      await Promise.all([tx`select pg_sleep(60)`, terminate(pid)])
    })
    expect(await failure(first)).toMatchObject({ name: 'LedgerUnavailable' })
    expect(await readTransaction(sql, async (tx) => (await tx`select 1 as one`)[0])).toEqual({ one: 1 })
  })

  test('before BEGIN is not used for it', async () => {
    const sql = pool()
    await terminate(await readTransaction(sql, pidOf))
    await expect(withRetriedRead(sql, pidOf)).resolves.toBeGreaterThan(0)
  })

  test('while COMMIT is under way is uncertain; a commit that the server refuses is not', async () => {
    await database.sql.unsafe(`
      create table slow (id int);
      create function slow_commit() returns trigger language plpgsql as $$ begin
        if new.id = 0 then raise exception 'no' using errcode = '23514'; end if;
        perform pg_sleep(60);
        return null;
      end $$;
      create constraint trigger slow after insert on slow deferrable initially deferred
        for each row execute function slow_commit();
    `)
    const sql = pool()
    const refused = writeTransaction(sql, (tx) => tx`insert into slow values (0)`)
    expect(await failure(refused)).toMatchObject({ name: 'LedgerRefused', cause: { code: '23514' } })

    const backend = Promise.withResolvers<number>()
    const lost = failure(
      writeTransaction(sql, async (tx) => {
        backend.resolve(await pidOf(tx))
        await tx`insert into slow values (1)`
      }),
    )
    const pid = await backend.promise
    await expect
      .poll(
        async () => database.sql`select from pg_stat_activity where pid = ${pid} and wait_event = 'PgSleep'`,
      )
      .toHaveLength(1)
    await terminate(pid)
    expect(await lost).toMatchObject({ name: 'CommitUncertain' })
  })
})

describe('a network that drops packets without a reset', () => {
  test('during a read: the connection is lost after the waits, and a retried read goes through on another one', async () => {
    const { proxy, url } = await silentProxy()
    const sql = pool(SHORT, url)
    expect(await readTransaction(sql, async (tx) => (await tx`select 1 as one`)[0])).toEqual({ one: 1 })
    proxy.fallSilent()
    const read = readTransaction(sql, async (tx) => tx`select 1`)
    expect(await failure(read)).toMatchObject({
      name: 'LedgerUnavailable',
      message: expect.stringContaining('The database stopped answering: No answer within'),
    })
    let tries = 0
    const retried = withRetriedRead(
      sql,
      async (tx) => {
        tries++
        return (await tx`select 1 as one`)[0]
      },
      { pause: async () => proxy.speakAgain(), timeLeft: () => Infinity },
    )
    expect(await retried).toEqual({ one: 1 })
    expect(tries).toBe(1)
  })

  test.each(['select 1 as one', 'insert into notes', 'rollback'])(
    'from the moment that %s arrives: the transaction ends, and nothing is committed',
    async (statement) => {
      const { url } = await silentProxy(statement)
      const sql = pool(SHORT, url)
      const write = writeTransaction(sql, async (tx) => {
        await tx`select 1 as one`
        await tx`insert into notes values ('ada')`
        throw new Error('and then a check fails')
      })
      expect(await failure(write)).toMatchObject({
        name: 'LedgerUnavailable',
        message: expect.stringContaining('stopped answering'),
      })
      expect(await notes()).toEqual([])
    },
  )

  test('from the moment that COMMIT arrives: uncertain, and in fact committed', async () => {
    const { url } = await silentProxy('\0commit\0')
    const write = writeTransaction(pool(SHORT, url), (tx) => tx`insert into notes values ('ada')`)
    expect(await failure(write)).toMatchObject({ name: 'CommitUncertain' })
    await expect.poll(notes).toEqual(['ada'])
  })

  test('from the moment that BEGIN arrives', async () => {
    const { url } = await silentProxy('begin ')
    const write = writeTransaction(pool(SHORT, url), (tx) => tx`insert into notes values ('ada')`)
    expect(await failure(write)).toMatchObject({
      name: 'LedgerUnavailable',
      message: expect.stringContaining('stopped answering'),
    })
    expect(await notes()).toEqual([])
  })
})

describe('an address without a working server behind it', () => {
  test.each(['at once', 'after the first bytes'] as const)(
    'that accepts and closes %s: a few tries with a growing pause, then an error with advice',
    async (when) => {
      const peer = await startClosingServer(when)
      const pauses: number[] = []
      const read = withRetriedRead(pool(SHORT, through(peer)), (tx) => tx`select 1`, {
        pause: async (milliseconds) => void pauses.push(milliseconds),
        timeLeft: () => Infinity,
      })
      expect(await failure(read)).toMatchObject({
        name: 'LedgerUnavailable',
        message: expect.stringContaining('The connection to the database was closed before the login'),
      })
      expect(pauses).toEqual([200, 400, 800, 1_600])
      expect(peer.connections()).toBe(5)
    },
  )

  test('that accepts and says nothing: the error of one try, and no second one when the time is up', async () => {
    const peer = await startMuteServer()
    const read = withRetriedRead(pool(SHORT, through(peer)), (tx) => tx`select 1`, {
      pause: async () => {},
      timeLeft: () => 0,
    })
    expect(await failure(read)).toMatchObject({
      name: 'LedgerUnavailable',
      message: expect.stringContaining('The database cannot be reached'),
    })
    expect(peer.connections()).toBe(1)
  })

  test('a password that cannot be read is the error of the transaction, not of the process', async () => {
    const { hostname, port } = new URL(database.url)
    const sql = connect(
      {
        host: hostname,
        port: Number(port),
        database: 'ledger',
        username: 'job',
        password: async () => {
          throw new Error('the secret is gone')
        },
      },
      1,
    )
    for (let tries = 0; tries < 3; tries++)
      await expect(readTransaction(sql, (tx) => tx`select 1`)).rejects.toThrow('the secret is gone')
  })

  test('several hosts in one URL are refused', () => {
    expect(() => connect({ url: 'postgres://job:secret@one,two/ledger' }, 1)).toThrow(
      /^DATABASE_URL names several hosts \(one,two\)\. Nothing was done\. Name one/,
    )
  })
})

describe('a busy database', () => {
  const onSecondTry =
    (first: (tx: LedgerTransaction) => Promise<unknown>) =>
    (sql: Sql, pause: () => Promise<void> = async () => {}) => {
      let tries = 0
      return withRetriedRead(
        sql,
        async (tx) => {
          if (++tries === 1) await first(tx)
          return `try ${tries}`
        },
        { pause, timeLeft: () => Infinity },
      )
    }

  test('a migration that holds ACCESS EXCLUSIVE: the read ends with a named error, and is tried again', async () => {
    const admin = postgres(database.url, { max: 1 })
    const held = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    const migration = admin.begin(async (tx) => {
      await tx`lock table kilocode_users in access exclusive mode`
      held.resolve()
      await release.promise
    })
    await held.promise
    const sql = pool(SHORT)
    expect(await failure(readNow(sql, ['ada']))).toMatchObject({
      name: 'LedgerBusy',
      message: expect.stringMatching(/^A lock on the ledger was not granted in time \(SQLSTATE 55P03\)/),
    })
    const retried = withRetriedRead(sql, (tx) => tx`select id from kilocode_users`, {
      pause: async () => {
        release.resolve()
        await migration
      },
      timeLeft: () => Infinity,
    })
    expect([...(await retried)]).toEqual([{ id: 'ada' }])
    await admin.end()
  })

  test('a statement timeout and a conflict on a standby are tried again, on a fresh snapshot', async () => {
    const sql = pool(SHORT)
    expect(await onSecondTry((tx) => tx`select pg_sleep(60)`)(sql)).toBe('try 2')
    const conflict = (tx: LedgerTransaction) => tx`
      do $$ begin
        raise exception 'canceling statement due to conflict with recovery' using errcode = '40001';
      end $$`
    expect(await onSecondTry(conflict)(sql)).toBe('try 2')
    expect(await failure(readTransaction(sql, conflict))).toMatchObject({
      name: 'LedgerBusy',
      message: expect.stringMatching(/^The standby cancelled a read.*hot_standby_feedback/),
    })
  })

  test('an error that will not pass is not tried again', async () => {
    let tries = 0
    const read = withRetriedRead(pool(), async (tx) => {
      tries++
      await tx`select missing from kilocode_users`
    })
    expect(await failure(read)).toMatchObject({ name: 'LedgerUnavailable' })
    expect(tries).toBe(1)
  })
})

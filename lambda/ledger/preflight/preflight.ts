import type { Sql, LedgerTransaction } from '../connection/connect.ts'
import { LedgerUnavailable } from '../errors.ts'
import { INSERTED_COLUMNS, missingFor, type Use } from './rights.ts'
import { readServerIn, type Server } from '../connection/server.ts'
import { DEFAULT_PATIENCE, type Patience, withRetriedRead } from '../connection/transaction.ts'

export type { Use } from './rights.ts'

/** What a run has to know about its database before it begins. */
export type Preflight = {
  /** Sentences for the exit card. */
  readonly warnings: readonly string[]
  /**
   * The `lockMs` for this run's writing transactions, in milliseconds: below the server's deadlock_timeout.
   */
  readonly lockTimeoutMs: number
  readonly server: Server
}

const OLDEST_VERSION = 150_000
/** A lock timeout so short would end every wait for a lock. */
const LEAST_LOCK_MS = 10

/**
 * Checks that everything a run will touch is there and allowed, so that a missing right shows before anything
 * begins and not after the first thousand users. Writes nothing.
 * @throws LedgerUnavailable that says what is missing and how to put it right, LedgerBusy
 */
export async function preflight(
  sql: Sql,
  use: Use,
  patience: Patience = DEFAULT_PATIENCE,
): Promise<Preflight> {
  const writes = use === 'execute' || use === 'rollback'
  const read = await withRetriedRead(
    sql,
    async (tx) => ({
      server: await readServerIn(tx, sql.host),
      settings: await readSettings(tx),
      missing: await missingFor(tx, use),
      triggers: await readTriggers(tx),
      required: await readRequiredColumns(tx),
    }),
    patience,
  )
  const lockTimeoutMs = Math.min(sql.waits.lockMs, Math.floor(read.settings.deadlock_ms / 2))
  const trouble = unsuited(read.settings, writes, lockTimeoutMs) ?? read.missing
  if (trouble !== null) throw new LedgerUnavailable(`${trouble} Nothing was done.`)
  const warnings = [
    ...read.required.map(requiredWarning),
    ...read.triggers.filter((trigger) => !isHarmless(trigger)).map(triggerWarning),
  ]
  return { warnings, lockTimeoutMs, server: read.server }
}

type Settings = {
  version: number
  version_text: string
  standby: boolean
  read_only: boolean
  /** In milliseconds. */
  deadlock_ms: number
  /** After it was set on, as each writing transaction does. */
  synchronous_commit: string
}

async function readSettings(tx: LedgerTransaction): Promise<Settings> {
  const [row] = await tx<[Settings]>`
    -- read settings
    select
      current_setting('server_version_num')::int as version,
      current_setting('server_version') as version_text,
      pg_is_in_recovery() as standby,
      current_setting('default_transaction_read_only') = 'on' as read_only,
      (select setting::int from pg_settings where name = 'deadlock_timeout') as deadlock_ms,
      set_config('synchronous_commit', 'on', true) as synchronous_commit
  `
  return row
}

function unsuited(settings: Settings, writes: boolean, lockTimeoutMs: number): string | null {
  if (settings.version < OLDEST_VERSION)
    return `The database is PostgreSQL ${settings.version_text}, and this job needs 15 or later.`
  if (!writes) return null
  if (settings.standby)
    return 'The database is read-only: it is a standby. Point DATABASE_URL at the primary.'
  if (settings.read_only) {
    return (
      'The database is read-only: default_transaction_read_only is set for it or for this user. ' +
      'Find out why before anything else.'
    )
  }
  if (settings.synchronous_commit !== 'on') {
    return (
      `The server says synchronous_commit = ${settings.synchronous_commit} although this job has set it on, ` +
      'so a commit could be lost when the server crashes. Check the connection pooler and the server.'
    )
  }
  if (lockTimeoutMs >= LEAST_LOCK_MS) return null
  return (
    `The server's deadlock_timeout is ${settings.deadlock_ms} ms. This job must give up waiting for a ` +
    'lock sooner than that; otherwise PostgreSQL could cancel a transaction of the application in a ' +
    'deadlock. Set deadlock_timeout to at least 20ms there (its default is 1s).'
  )
}

/** Columns that must have a value, and get none by an insert of this job. */
async function readRequiredColumns(tx: LedgerTransaction): Promise<string[]> {
  const rows = await tx<{ name: string }[]>`
    -- find required columns
    select attname as name
    from pg_attribute
    where attrelid = to_regclass('credit_transactions')
      and attnum > 0
      and not attisdropped
      and attnotnull
      and not atthasdef
      and attidentity = ''
    order by attnum
  `
  return rows.map(({ name }) => name).filter((name) => !INSERTED_COLUMNS.includes(name))
}

function requiredWarning(column: string): string {
  return (
    `the column credit_transactions.${column} is NOT NULL without a default: unless a trigger sets it, every user ` +
    'with a grant to close will fail. Give it a default'
  )
}

type Trigger = { table_name: string; name: string; definition: string; body: string }

async function readTriggers(tx: LedgerTransaction): Promise<Trigger[]> {
  const rows = await tx<Trigger[]>`
    -- find triggers
    select
      c.relname as table_name,
      t.tgname as name,
      pg_get_triggerdef(t.oid) as definition,
      p.prosrc as body
    from pg_trigger t
    join pg_class c on c.oid = t.tgrelid
    join pg_proc p on p.oid = t.tgfoid
    where c.oid in (to_regclass('kilocode_users'), to_regclass('credit_transactions'))
      and not t.tgisinternal
      and t.tgenabled <> 'D'
    order by 1, 2
  `
  return [...rows]
}

/** `CREATE TRIGGER stamp BEFORE UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION f()` */
const DEFINITION = /^CREATE (?:CONSTRAINT )?TRIGGER .*? ((?:BEFORE|AFTER|INSTEAD OF) .*?) ON .* EXECUTE (.*)$/

/** The usual trigger that stamps `updated_at`, which this job neither reads nor compares. */
const STAMPS_UPDATED_AT =
  /^\s*begin\s+new\.updated_at\s*:?=\s*(?:now\(\)|current_timestamp|clock_timestamp\(\));\s*return new;\s*end;?\s*$/i

function isHarmless({ body }: Trigger): boolean {
  return STAMPS_UPDATED_AT.test(body)
}

function triggerWarning({ table_name, name, definition }: Trigger): string {
  const [, when = definition, does = ''] = DEFINITION.exec(definition) ?? []
  return (
    `the table ${table_name} has the trigger ${name} (${when} ${does}): ` +
    'a user fails if it changes what the run writes; what else it changes is not seen, and is in no log'
  )
}

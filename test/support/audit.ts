import type { Sql } from 'postgres'
import type { TestBucket } from './bucket.ts'
import { readLogs, type LogLine } from './logs.ts'

/**
 * One row as one of the job's transactions changed it, written down by PostgreSQL itself within that
 * transaction.
 */
type Audited = {
  kind: string
  user_id: string
  row_id: string
  before: LogLine | null
  after: LogLine | null
}

/** A user's row as it stood when a transaction of the job committed, under its lock. */
export type Committed = { user_id: string; used: bigint; acquired: bigint }

/**
 * The database writes down what the job changes; the writes of others are not noted. Before the job connects.
 */
export async function auditJob(sql: Sql): Promise<void> {
  await sql.unsafe(`
    CREATE SCHEMA audit;
    CREATE TABLE audit.changes (
      n bigint GENERATED ALWAYS AS IDENTITY, kind text NOT NULL, user_id text NOT NULL, row_id text NOT NULL, before jsonb, after jsonb
    );
    CREATE TABLE audit.commits (n bigint GENERATED ALWAYS AS IDENTITY, user_id text NOT NULL, used bigint NOT NULL, acquired bigint NOT NULL);

    CREATE FUNCTION audit.note_user() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO audit.changes (kind, user_id, row_id, before, after) VALUES ('user_update', new.id, new.id, to_jsonb(old), to_jsonb(new));
      RETURN NULL;
    END $$;
    CREATE FUNCTION audit.note_transaction() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO audit.changes (kind, user_id, row_id, before, after) VALUES (
        CASE tg_op WHEN 'INSERT' THEN 'insert' WHEN 'DELETE' THEN 'delete' ELSE 'update' END,
        coalesce(new.kilo_user_id, old.kilo_user_id), coalesce(new.id, old.id)::text,
        CASE WHEN tg_op <> 'INSERT' THEN to_jsonb(old) END, CASE WHEN tg_op <> 'DELETE' THEN to_jsonb(new) END
      );
      RETURN NULL;
    END $$;
    CREATE FUNCTION audit.note_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO audit.commits (user_id, used, acquired)
        SELECT id, microdollars_used, total_microdollars_acquired FROM public.kilocode_users WHERE id = new.id;
      RETURN NULL;
    END $$;

    CREATE TRIGGER note_user AFTER UPDATE ON kilocode_users
      FOR EACH ROW WHEN (current_setting('application_name') = 'credit-expiry') EXECUTE FUNCTION audit.note_user();
    CREATE TRIGGER note_transaction AFTER INSERT OR UPDATE OR DELETE ON credit_transactions
      FOR EACH ROW WHEN (current_setting('application_name') = 'credit-expiry') EXECUTE FUNCTION audit.note_transaction();
    CREATE CONSTRAINT TRIGGER note_commit AFTER UPDATE ON kilocode_users DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW WHEN (current_setting('application_name') = 'credit-expiry') EXECUTE FUNCTION audit.note_commit();
  `)
}

/** The users' rows as the job's transactions committed them, in order. */
export async function commitsOf(sql: Sql): Promise<Committed[]> {
  const rows = await sql<
    { user_id: string; used: string; acquired: string }[]
  >`SELECT user_id, used, acquired FROM audit.commits ORDER BY n`
  return rows.map(({ user_id, used, acquired }) => ({
    user_id,
    used: BigInt(used),
    acquired: BigInt(acquired),
  }))
}

/**
 * What the database noted of the job's commits, and what the mutation logs of these closed runs say, in the
 * same form and order: every committed change is in the log, once, with its values, and nothing else is, if
 * the two are equal.
 */
export async function auditAndLogs(
  sql: Sql,
  bucket: TestBucket,
  runIds: readonly string[],
): Promise<{ database: string[]; logs: string[] }> {
  const audited = await sql<
    Audited[]
  >`SELECT kind, user_id, row_id, before, after FROM audit.changes ORDER BY n`
  const logs = await Promise.all(runIds.map(async (runId) => (await readLogs(bucket, runId)).mutations))
  return {
    database: audited
      .filter(changesSomething)
      .map((change) => JSON.stringify(essential(change)))
      .toSorted(),
    logs: logs
      .flat()
      .map((line) => JSON.stringify(essential(fromLog(line))))
      .toSorted(),
  }
}

/**
 * A due grant whose date and baseline stay is written with its own values, which guards it: no change, and no
 * line.
 */
function changesSomething({ kind, before, after }: Audited): boolean {
  return kind !== 'update' || JSON.stringify(before) !== JSON.stringify(after)
}

const KINDS: Readonly<Record<string, string>> = {
  user_update: 'user_update',
  credit_dated: 'update',
  baseline_raised: 'update',
  credits_expired_insert: 'insert',
  accounting_adjustment_insert: 'insert',
  credit_restored: 'update',
  baseline_restored: 'update',
  credits_expired_delete: 'delete',
  accounting_adjustment_delete: 'delete',
}

function fromLog({ type, user_id, row_id, before, after }: LogLine): Audited {
  const kind = KINDS[String(type)] ?? `unknown type ${String(type)}`
  return {
    kind,
    user_id: String(user_id),
    row_id: String(row_id),
    before: before as LogLine | null,
    after: after as LogLine | null,
  }
}

const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  user_update: ['total_microdollars_acquired', 'next_credit_expiration_at'],
  update: ['expiry_date', 'expiration_baseline_microdollars_used'],
}

/** What the job sets of a row that it inserts; the other columns have their defaults, and are not logged. */
export const INSERTED_COLUMNS = [
  'id',
  'kilo_user_id',
  'amount_microdollars',
  'original_baseline_microdollars_used',
  'is_free',
  'description',
  'credit_category',
  'original_transaction_id',
  'created_at',
]

function essential({ kind, user_id, row_id, before, after }: Audited): object {
  const columns = COLUMNS[kind] ?? INSERTED_COLUMNS
  const chosen = (row: LogLine | null) => row && columns.map((name) => [name, inUtc(name, row[name])])
  return { user_id, kind, row_id, before: chosen(before), after: chosen(after) }
}

/** PostgreSQL writes times in jsonb with their offset and without trailing zeros, the logs in UTC. */
function inUtc(name: string, value: unknown): unknown {
  if (typeof value !== 'string' || !(name.endsWith('_at') || name === 'expiry_date')) return value
  const [, seconds = '', fraction = ''] = /^(.*?:\d\d:\d\d)(?:\.(\d+))?/.exec(value) ?? []
  const offset = /(Z|[+-]\d\d:?\d\d)$/.exec(value)?.[1] ?? ''
  return `${new Date(`${seconds}${offset}`).toISOString()} ${fraction.padEnd(6, '0')}`
}

import { CLOSING_CATEGORIES, CORRECTION_CATEGORY } from '../rules/grants.ts'
import type { InsertedRow, LoggedChange, Rollback as Undo } from '../rules/rollback.ts'
import type { Sql, Transaction } from './connect.ts'
import { GuardConflict } from './errors.ts'
import { writeGuarded, writeUnderLock } from './guarded.ts'
import { type Reading, readUsersIn } from './read.ts'
import { readTransaction } from './transaction.ts'

/** Users with all their rows, and how the rows that the run inserted stand now; absent ones are not in `inserted`. */
export type UndoReading = {
  readonly readings: ReadonlyMap<string, Reading>
  readonly inserted: ReadonlyMap<string, InsertedRow>
}

/** Reads what a rollback of these users' changes has to know, from one snapshot. @throws LedgerUnavailable */
export async function readForUndo(sql: Sql, changes: readonly LoggedChange[]): Promise<UndoReading> {
  return readTransaction(sql, async (tx) => readForUndoIn(tx, changes))
}

async function readForUndoIn(tx: Transaction, changes: readonly LoggedChange[]): Promise<UndoReading> {
  const userIds = changes.map(({ userId }) => userId)
  const [readings, inserted] = await Promise.all([readUsersIn(tx, userIds), selectInserted(tx, changes)])
  return { readings, inserted }
}

/** Compares all columns that were logged; a column that the table has got since does not count. */
async function selectInserted(
  tx: Transaction,
  changes: readonly LoggedChange[],
): Promise<Map<string, InsertedRow>> {
  const rows = JSON.stringify(changes.flatMap(({ inserted }) => inserted.map(({ row }) => row)))
  const found = await tx<{ id: string; as_inserted: boolean; linked: boolean }[]>`
    select
      c.id,
      c = jsonb_populate_record(c, logged.row) as as_inserted,
      exists (select from credit_transactions link where link.original_transaction_id = c.id) as linked
    from jsonb_array_elements(${rows}::text::jsonb) as logged(row)
    join credit_transactions c on c.id = (logged.row ->> 'id')::uuid
  `
  return new Map(
    found.map(({ id, as_inserted: same, linked }) => [
      id,
      {
        differing: same ? [] : [{ column: 'row', expected: 'as inserted', found: 'changed' }],
        references: linked
          ? [{ table: 'credit_transactions', row: 'unknown', column: 'original_transaction_id' }]
          : [],
      },
    ]),
  )
}

/** Takes the changes of a page back, and returns the users for whom it committed. @throws as writeGuarded */
export async function applyUndos(
  sql: Sql,
  undos: readonly Undo[],
  leaseExpiresAt: string,
): Promise<ReadonlySet<string>> {
  const userIds = undos.map(({ user }) => user.id)
  return writeGuarded(sql, userIds, leaseExpiresAt, async (tx, locked) =>
    writeUndos(
      tx,
      undos.filter(({ user }) => locked.has(user.id)),
    ),
  )
}

/** The same for one user under a lock: `plan` gets what is read under it. @throws as writeUnderLock, and what `plan` throws */
export async function applyUndoUnderLock(
  sql: Sql,
  change: LoggedChange,
  leaseExpiresAt: string,
  plan: (reading: UndoReading) => Promise<Undo | null>,
): Promise<boolean> {
  return writeUnderLock(sql, change.userId, leaseExpiresAt, async (tx) => {
    const undo = await plan(await readForUndoIn(tx, [change]))
    return undo && writeUndos(tx, [undo])
  })
}

/**
 * Users first, then what feeds on those whose guard held: their inserted rows are deleted, their grants get their
 * values back. microdollars_used is no guard here: what was spent since stays spent. The count of closing rows and
 * corrections is one, since a closing row of 0 moves no total.
 */
async function writeUndos(tx: Transaction, undos: readonly Undo[]): Promise<ReadonlySet<string>> {
  if (undos.length === 0) return new Set()
  const closings = JSON.stringify(CLOSING_CATEGORIES)
  const written = await tx<
    { id: string; acquired: string; deleted: number; amount: string; restored: number }[]
  >`
    with held as (
      update kilocode_users u
      set
        total_microdollars_acquired = p.new_acquired,
        next_credit_expiration_at = p.new_next_expiration,
        updated_at = now()
      from jsonb_to_recordset(${JSON.stringify(undos.map(toParameter))}::text::jsonb) as p(
        id text, acquired bigint, next_expiration timestamptz,
        new_acquired bigint, new_next_expiration timestamptz, closings int, inserted jsonb, grants jsonb
      )
      where u.id = p.id
        and u.total_microdollars_acquired = p.acquired
        and u.next_credit_expiration_at is not distinct from p.next_expiration
        and p.closings = (
          select count(*)
          from credit_transactions c
          where c.kilo_user_id = u.id
            and (
              c.credit_category = any (array(select jsonb_array_elements_text(${closings}::text::jsonb)))
              or c.credit_category = ${CORRECTION_CATEGORY}
            )
        )
      returning u.id, u.total_microdollars_acquired as acquired, p.inserted, p.grants
    ),
    deleted as (
      delete from credit_transactions c
      using held
      cross join lateral jsonb_array_elements(held.inserted) as logged(row)
      where c.id = (logged.row ->> 'id')::uuid
        and c = jsonb_populate_record(c, logged.row)
        and not exists (select from credit_transactions link where link.original_transaction_id = c.id)
      returning held.id as user_id, c.amount_microdollars as amount
    ),
    restored as (
      update credit_transactions c
      set
        expiry_date = g.before_expiry_date,
        expiration_baseline_microdollars_used = g.before_baseline
      from held
      cross join lateral jsonb_to_recordset(held.grants) as g(
        id uuid, before_expiry_date timestamptz, before_baseline bigint, after_expiry_date timestamptz, after_baseline bigint
      )
      where c.id = g.id
        and c.kilo_user_id = held.id
        and c.expiry_date is not distinct from g.after_expiry_date
        and c.expiration_baseline_microdollars_used is not distinct from g.after_baseline
      returning held.id as user_id
    )
    select
      id,
      max(acquired) as acquired,
      sum(deleted)::int as deleted,
      sum(amount) as amount,
      sum(restored)::int as restored
    from (
      select id, acquired, 0 as deleted, 0 as amount, 0 as restored from held
      union all
      select user_id, null, 1, amount, 0 from deleted
      union all
      select user_id, null, 0, 0, 1 from restored
    ) as written
    group by id
  `
  const planned = new Map(undos.map((undo) => [undo.user.id, undo]))
  for (const row of written) checkWritten(row, planned.get(row.id))
  return new Set(written.map((row) => row.id))
}

function checkWritten(
  row: { id: string; acquired: string; deleted: number; amount: string; restored: number },
  undo: Undo | undefined,
): void {
  const asPlanned =
    undo !== undefined &&
    row.deleted === undo.logged.inserted.length &&
    row.restored === undo.logged.grants.length &&
    BigInt(row.acquired) === BigInt(undo.user.acquiredMicrodollars) - BigInt(row.amount)
  if (!asPlanned)
    throw new GuardConflict(
      `What was taken back for the user ${row.id} differs from the plan: a row changed in between.`,
    )
}

function toParameter(undo: Undo) {
  const { user, logged } = undo
  return {
    id: user.id,
    acquired: user.acquiredMicrodollars,
    next_expiration: user.nextCreditExpirationAt,
    new_acquired: undo.acquiredMicrodollars,
    new_next_expiration: undo.nextCreditExpirationAt,
    closings: undo.closingsNow,
    inserted: logged.inserted.map(({ row }) => row),
    grants: logged.grants.map(({ id, before, after }) => ({
      id,
      before_expiry_date: before.expiryDate,
      before_baseline: before.expirationBaselineMicrodollars,
      after_expiry_date: after.expiryDate,
      after_baseline: after.expirationBaselineMicrodollars,
    })),
  }
}

/** A foreign key of another table that a deletion would silently act through. */
export type SilentReference = {
  readonly table: string
  readonly constraint: string
  readonly action: 'CASCADE' | 'SET NULL' | 'SET DEFAULT'
}

/**
 * The foreign keys onto credit_transactions that would change other tables when a row is deleted. RESTRICT and NO
 * ACTION are not among them: these refuse the deletion.
 * @throws LedgerUnavailable
 */
export async function findSilentReferences(sql: Sql): Promise<SilentReference[]> {
  return readTransaction(sql, async (tx) => {
    const rows = await tx<SilentReference[]>`
      select
        conrelid::regclass::text as table,
        conname as constraint,
        case confdeltype when 'c' then 'CASCADE' when 'n' then 'SET NULL' else 'SET DEFAULT' end as action
      from pg_constraint
      where contype = 'f'
        and confrelid = 'credit_transactions'::regclass
        and confdeltype in ('c', 'n', 'd')
      order by 1, 2
    `
    return [...rows]
  })
}

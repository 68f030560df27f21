import type { LedgerTransaction } from '../connection/connect.ts'
import { DEFAULTS } from '../rows.ts'

/** What a run does to the ledger; rows are deleted by a rollback only. */
export type Use = 'dry-run' | 'execute' | 'rollback-dry-run' | 'rollback'

type Privilege = 'SELECT' | 'UPDATE' | 'INSERT' | 'DELETE'

/** One privilege on one table: on the columns of the job's SQL, or (null) on the whole table. */
type Need = {
  readonly table: string
  readonly privilege: Privilege
  readonly columns: readonly string[] | null
}

const READ: readonly Need[] = [
  {
    table: 'kilocode_users',
    privilege: 'SELECT',
    columns: [
      'id',
      'google_user_email',
      'microdollars_used',
      'total_microdollars_acquired',
      'next_credit_expiration_at',
      'auto_top_up_enabled',
    ],
  },
  {
    table: 'credit_transactions',
    privilege: 'SELECT',
    columns: [
      'id',
      'kilo_user_id',
      'amount_microdollars',
      'expiration_baseline_microdollars_used',
      'original_baseline_microdollars_used',
      'is_free',
      'description',
      'credit_category',
      'original_transaction_id',
      'expiry_date',
      'created_at',
      'organization_id',
    ],
  },
]

const UPDATE: readonly Need[] = [
  {
    table: 'kilocode_users',
    privilege: 'UPDATE',
    columns: ['total_microdollars_acquired', 'next_credit_expiration_at', 'updated_at'],
  },
  {
    table: 'credit_transactions',
    privilege: 'UPDATE',
    columns: ['expiry_date', 'expiration_baseline_microdollars_used'],
  },
]

/** The columns of a row that this job inserts; the others keep their defaults. */
export const INSERTED_COLUMNS: readonly string[] = [
  'id',
  'kilo_user_id',
  'amount_microdollars',
  'is_free',
  'description',
  'credit_category',
  'original_transaction_id',
  'created_at',
  'original_baseline_microdollars_used',
]

/** What an inserted row has by default is compared after the write, as a rollback compares it. */
const READ_INSERTED: Need = {
  table: 'credit_transactions',
  privilege: 'SELECT',
  columns: Object.keys(DEFAULTS),
}

const INSERT: Need = { table: 'credit_transactions', privilege: 'INSERT', columns: INSERTED_COLUMNS }

const DELETE: Need = { table: 'credit_transactions', privilege: 'DELETE', columns: null }

/** A rollback compares whole rows. */
const WHOLE_ROWS: Need = { table: 'credit_transactions', privilege: 'SELECT', columns: null }

const NEEDS: Readonly<Record<Use, readonly Need[]>> = {
  'dry-run': READ,
  execute: [...READ, READ_INSERTED, ...UPDATE, INSERT],
  'rollback-dry-run': [...READ, WHOLE_ROWS],
  rollback: [...READ, WHOLE_ROWS, ...UPDATE, DELETE],
}

type Row = {
  username: string
  table_name: string
  column_name: string | null
  privilege: Privilege
  table_there: boolean
  column_there: boolean
  granted: boolean
  rows_hidden: boolean
  is_table: boolean
}

/**
 * What is missing for a use of the ledger (a table, a column, a right, or the sight of all rows), as
 * sentences with the statement that grants it; null where everything is there.
 */
export async function missingFor(tx: LedgerTransaction, use: Use): Promise<string | null> {
  const needs = NEEDS[use]
    .flatMap(({ table, privilege, columns }) =>
      (columns ?? [null]).map((column) => ({ table_name: table, column_name: column, privilege })),
    )
    .map((need, place) => ({ ...need, place }))
  const rows = await tx<Row[]>`
    -- read rights
    select
      current_user as username,
      n.table_name,
      n.column_name,
      n.privilege,
      c.oid is not null as table_there,
      n.column_name is null or a.attnum is not null as column_there,
      case
        when c.oid is null then false
        when n.column_name is null then has_table_privilege(c.oid, n.privilege)
        when a.attnum is null then false
        else has_column_privilege(c.oid, a.attnum, n.privilege)
      end as granted,
      coalesce(row_security_active(c.oid), false) as rows_hidden,
      coalesce(c.relkind in ('r', 'p'), false) as is_table
    from jsonb_to_recordset(${JSON.stringify(needs)}::text::jsonb)
      as n(place int, table_name text, column_name text, privilege text)
    left join pg_class c on c.oid = to_regclass(n.table_name)
    left join pg_attribute a
      on a.attrelid = c.oid and a.attname = n.column_name and a.attnum > 0 and not a.attisdropped
    order by n.place
  `
  return (
    missingTables(rows) ??
    otherThanTables(rows) ??
    missingColumns(rows) ??
    missingRights(rows) ??
    hiddenRows(rows)
  )
}

function missingTables(rows: readonly Row[]): string | null {
  const tables = unique(rows.filter((row) => !row.table_there).map((row) => row.table_name))
  if (tables.length === 0) return null
  return (
    `The user ${rows[0]?.username} cannot see the table ${tables.join(' and the table ')}. ` +
    "Check that DATABASE_URL leads to the ledger's database, that the user's search_path holds the schema of " +
    'its tables, and that it has USAGE on that schema.'
  )
}

/** A view may hide rows, and has neither the foreign keys nor the triggers of its table. */
function otherThanTables(rows: readonly Row[]): string | null {
  const names = unique(rows.filter((row) => !row.is_table).map((row) => row.table_name))
  if (names.length === 0) return null
  return (
    `Not a table: ${names.join(' and ')}. This job works on the tables themselves, since a view may hide rows. ` +
    "Put the schema of the tables first in the user's search_path."
  )
}

function missingColumns(rows: readonly Row[]): string | null {
  const columns = unique(
    rows.filter((row) => !row.column_there).map((row) => `${row.table_name}.${row.column_name}`),
  )
  if (columns.length === 0) return null
  return (
    `Missing in the database: ${columns.join(', ')}. The ledger's tables differ from those that this job was ` +
    `written for. Compare them before you continue.`
  )
}

/** As the statements that grant what is missing. */
function missingRights(rows: readonly Row[]): string | null {
  const missing = rows.filter((row) => !row.granted)
  if (missing.length === 0) return null
  const kinds = unique(missing.map((row) => `${row.privilege} ${row.table_name}`))
  const grants = kinds.map((kind) => {
    const same = missing.filter((row) => `${row.privilege} ${row.table_name}` === kind)
    const columns = unique(same.flatMap((row) => row.column_name ?? []))
    const [row] = same
    const list = columns.length > 0 ? ` (${columns.join(', ')})` : ''
    return `GRANT ${row?.privilege}${list} ON ${row?.table_name} TO "${row?.username}";`
  })
  return (
    `The user ${rows[0]?.username} lacks a right. If that is the user who may do this, and not one who may only ` +
    `read, run as the owner of the tables: ${grants.join(' ')} ` +
    `docs/roles.sql holds all rights of this job.`
  )
}

/** A closing row that cannot be seen would make its grant look open. */
function hiddenRows(rows: readonly Row[]): string | null {
  const tables = unique(rows.filter((row) => row.rows_hidden).map((row) => row.table_name))
  if (tables.length === 0) return null
  return (
    `Row-level security hides rows of ${tables.join(' and ')} from the user ${rows[0]?.username}, ` +
    'and a closing row that is not seen would make its grant look open. Give the user BYPASSRLS, or ' +
    'use another.'
  )
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)]
}

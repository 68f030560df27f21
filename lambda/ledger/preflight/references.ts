import { arrayOf } from '../arrays.ts'
import type { LedgerTransaction } from '../connection/connect.ts'
import { DEFAULTS } from '../rows.ts'

const EMPTY_COLUMNS = Object.entries(DEFAULTS).flatMap(([column, value]) => (value === null ? [column] : []))

/**
 * A foreign key of another table onto credit_transactions, the column by which it refers to the id (null: it
 * refers to other columns alone), and whether this user may read that column in all rows.
 */
export type ForeignKey = {
  readonly schema: string
  readonly table: string
  readonly column: string | null
  readonly constraint: string
  readonly onDelete: 'NO ACTION' | 'RESTRICT' | 'CASCADE' | 'SET NULL' | 'SET DEFAULT'
  readonly readable: boolean
  /** Row-level security may hide rows of the table, so that the column is not readable. */
  readonly rowsHidden: boolean
}

/**
 * The foreign keys onto credit_transactions, in a fixed order. Nothing refers to a row by a column that is
 * empty in it, so a key with a column that this job leaves empty is not among them.
 */
export async function readForeignKeys(sql: LedgerTransaction): Promise<ForeignKey[]> {
  const rows = await sql<ForeignKey[]>`
    -- find foreign keys
    select
      n.nspname as schema,
      t.relname as table,
      a.attname as column,
      k.conname as constraint,
      case k.confdeltype
        when 'a' then 'NO ACTION' when 'r' then 'RESTRICT' when 'c' then 'CASCADE'
        when 'n' then 'SET NULL' else 'SET DEFAULT'
      end as "onDelete",
      has_schema_privilege(n.oid, 'usage') and coalesce(has_column_privilege(t.oid, a.attnum, 'select'), true)
        and not row_security_active(t.oid) as readable,
      row_security_active(t.oid) as "rowsHidden"
    from pg_constraint k
    join pg_class t on t.oid = k.conrelid
    join pg_namespace n on n.oid = t.relnamespace
    left join lateral (
      select own.attnum, own.attname
      from unnest(k.conkey, k.confkey) as part(own, referenced)
      join pg_attribute own on own.attrelid = k.conrelid and own.attnum = part.own
      join pg_attribute id on id.attrelid = k.confrelid and id.attnum = part.referenced and id.attname = 'id'
    ) a on true
    where k.contype = 'f'
      and k.confrelid = 'credit_transactions'::regclass
      and not exists (
        select 1
        from unnest(k.confkey) as part(referenced)
        join pg_attribute r on r.attrelid = k.confrelid and r.attnum = part.referenced
        where r.attname = any (${arrayOf(EMPTY_COLUMNS)}::text[])
      )
    order by 1, 2, 3, 4
  `
  return [...rows]
}

/**
 * The foreign keys that a rollback looks at: all of which the configuration does not accept the consequences,
 * and all that refuse a delete, since accepting one cannot make the delete succeed.
 */
export function watchedKeys(foreignKeys: readonly ForeignKey[], accepted: readonly string[]): ForeignKey[] {
  return foreignKeys.filter((key) => refusesDelete(key) || !accepted.includes(key.constraint))
}

function refusesDelete({ onDelete }: ForeignKey): boolean {
  return onDelete === 'RESTRICT' || onDelete === 'NO ACTION'
}

/**
 * Why a rollback cannot tell whether other tables refer to the rows that it would delete, and what changes it:
 * one text for each watched key whose column this user may not read, or that does not refer by the id (where
 * such a key refuses a delete, PostgreSQL tells).
 */
export function unreadableKeys(foreignKeys: readonly ForeignKey[], accepted: readonly string[]): string[] {
  return watchedKeys(foreignKeys, accepted)
    .filter((key) => !key.readable || (key.column === null && !refusesDelete(key)))
    .map((key) => {
      const { schema, table, column, constraint, rowsHidden } = key
      const what = `a rollback must see which rows of ${table} refer to the rows that it deletes`
      if (column === null)
        return `${what}, and ${constraint} does not refer to them by their id. List it in ACCEPTED_REFERENCES`
      const must = rowsHidden
        ? `${what}, and row-level security hides rows of it. Give the user of this job BYPASSRLS`
        : `${what}. As the owner of the table: GRANT SELECT (${column}) ON ${schema}.${table} TO the user of this job`
      return refusesDelete(key) ? must : `${must}; or list ${constraint} in ACCEPTED_REFERENCES`
    })
}

export type Reference = { readonly table: string; readonly row: string; readonly column: string }

/**
 * The rows that refer to credit transactions, by the id they refer to: through original_transaction_id, which
 * has no foreign key, and through every foreign key of another table that is given.
 */
export async function findReferences(
  sql: LedgerTransaction,
  ids: readonly string[],
  foreignKeys: readonly ForeignKey[],
): Promise<Map<string, Reference[]>> {
  const wanted = arrayOf(ids)
  const links = sql<{ referenced: string; row: string }[]>`
    -- find links
    select original_transaction_id as referenced, id::text as row
    from credit_transactions
    where original_transaction_id = any (${wanted}::uuid[])
  `
  const found = await Promise.all([
    links.then((rows) => toReferences('credit_transactions', 'original_transaction_id', rows)),
    ...foreignKeys.map(async ({ schema, table, column }) => {
      if (column === null) return []
      const rows = await sql<{ referenced: string; row: string }[]>`
        -- find references
        select r.${sql.identifier(column)} as referenced, coalesce(to_jsonb(r) ->> 'id', r.ctid::text) as row
        from ${sql.identifier(schema)}.${sql.identifier(table)} r
        where r.${sql.identifier(column)} = any (${wanted}::uuid[])
      `
      return toReferences(table, column, rows)
    }),
  ])
  const references = new Map<string, Reference[]>()
  for (const [referenced, reference] of found.flat())
    references.set(referenced, [...(references.get(referenced) ?? []), reference])
  return references
}

function toReferences(
  table: string,
  column: string,
  rows: readonly { referenced: string; row: string }[],
): [string, Reference][] {
  return rows.map(({ referenced, row }) => [referenced, { table, row, column }])
}

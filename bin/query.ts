import { DuckDBInstance } from '@duckdb/node-api'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { LOG_TABLES, type LogTable } from '../infra/log-tables.ts'
import { SAVED_QUERIES } from '../infra/saved-queries.ts'
import { nearest } from '../lambda/nearest.ts'

/** A row of an answer. Counts and microdollars are numbers; they are safe integers in the logs. */
export type Row = Record<string, unknown>

/**
 * Asks whole logs that lie on this machine: `folder` holds users/, mutations/ and errors/ with *.jsonl in them, as
 * the bucket's logs/ does. The tables are the deployed ones of Athena, by name, column and type.
 */
export async function queryLogs(folder: string, sql: string, values: readonly string[] = []): Promise<Row[]> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    for (const table of LOG_TABLES) await connection.run(tableOver(folder, table))
    const reader = await connection.runAndReadAll(sql, [...values])
    return reader
      .getRowObjectsJS()
      .map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)])))
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

function filesOf(folder: string, table: LogTable): string[] {
  return globSync(join(folder, table.folder, '**', '*.jsonl'))
}

function plain(value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value
}

function tableOver(folder: string, table: LogTable): string {
  const { folder: name, columns } = table
  const types = Object.entries(columns).map(([column, type]) => [column, duckType(type)] as const)
  const files = filesOf(folder, table)
  if (files.length === 0)
    return `CREATE TABLE ${name} (${types.map(([column, type]) => `"${column}" ${type}`).join(', ')})`
  const shape = types.map(([column, type]) => `"${column}": ${quoted(type)}`).join(', ')
  return `CREATE VIEW ${name} AS SELECT * FROM read_json([${files.map(quoted).join(', ')}], format = 'newline_delimited', columns = {${shape}})`
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** Athena's types are Hive's; DuckDB's differ in these few. */
function duckType(type: string): string {
  const array = /^array<(.+)>$/.exec(type)?.[1]
  if (array !== undefined) return `${duckType(array)}[]`
  const struct = /^struct<(.+)>$/.exec(type)?.[1]
  if (struct !== undefined) return `STRUCT(${struct.split(',').map(duckField).join(', ')})`
  return { string: 'VARCHAR', bigint: 'BIGINT', int: 'INTEGER', boolean: 'BOOLEAN' }[type] ?? type
}

function duckField(field: string): string {
  const [name = '', type = ''] = field.split(':')
  return `"${name}" ${duckType(type)}`
}

const SQL = /^\s*(select|with|from|describe|summarize|show)\b/i

const USAGE = `npm run query -- <folder> <question> [value …]

<folder> holds users/, mutations/ and errors/: a copy of the bucket's logs/, or of some of its files.
<question> is SQL, or the name of a saved query, whose value (a user id, a run id) follows it:
${SAVED_QUERIES.map(({ name, description }) => `  "${name}": ${description}`).join('\n')}`

if (import.meta.main) {
  const [folder, question, ...values] = process.argv.slice(2)
  if (folder === undefined || question === undefined) {
    console.error(USAGE)
    process.exitCode = 1
  } else {
    await answer(folder, question, values)
  }
}

async function answer(folder: string, question: string, values: readonly string[]): Promise<void> {
  if (LOG_TABLES.every((table) => filesOf(folder, table).length === 0)) {
    console.error(
      `There is no log in ${folder}: it must hold users/, mutations/ or errors/ with *.jsonl below.`,
    )
    process.exitCode = 1
    return
  }
  const saved = SAVED_QUERIES.find(({ name }) => name === question)
  if (saved === undefined && !SQL.test(question)) {
    const likely = nearest(
      question,
      SAVED_QUERIES.map(({ name }) => name),
    )
    const hint = likely === undefined ? '' : ` Did you mean "${likely}"?`
    console.error(
      `"${question}" is neither SQL nor a saved query.${hint} npm run query lists the saved queries.`,
    )
    process.exitCode = 1
    return
  }
  try {
    console.table(await queryLogs(folder, saved?.sql ?? question, values))
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}

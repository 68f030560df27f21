import { DuckDBInstance } from '@duckdb/node-api'
import { existsSync, globSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { LOG_TABLES, type LogTable } from '../infra/logs/log-tables.ts'
import { SAVED_QUERIES, type SavedQuery } from '../infra/logs/saved-queries.ts'
import { nearestFew } from '../lambda/nearest.ts'
import { type Answered, failed, printAnswered } from './answered.ts'
import { withLogsOfBucket } from './bucket-logs.ts'
import { type Format, formatRows, type Row } from './query-rows.ts'

/**
 * Asks logs that are on this machine: `folder` holds users/, mutations/, errors/ and runs/ with *.jsonl below
 * them, as the bucket's logs/ does. The tables are the deployed ones of Athena, by name, column and type.
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

/** Integers that DuckDB gives as bigint, nested ones too. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

function tableOver(folder: string, table: LogTable): string {
  const { folder: name, columns } = table
  const types = Object.entries(columns).map(([column, type]) => [column, duckType(type)] as const)
  const files = filesOf(folder, table)
  if (files.length === 0)
    return `CREATE TABLE ${name} (${types.map(([column, type]) => `"${column}" ${type}`).join(', ')})`
  const shape = types.map(([column, type]) => `"${column}": ${quoted(type)}`).join(', ')
  const list = files.map(quoted).join(', ')
  return (
    `CREATE VIEW ${name} AS SELECT * FROM read_json([${list}], format = 'newline_delimited', ` +
    `columns = {${shape}}, maximum_object_size = ${LONGEST_LINE})`
  )
}

/** A user with tens of thousands of rows has a line of many megabytes. */
const LONGEST_LINE = 1_000_000_000

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

const SANDBOX_LOGS = '.sandbox/s3/credit-expiry-logs/logs'

const USAGE = `npm run query -- [--csv | --json] [folder] <question> [value …]

[folder] holds the bucket's logs/: users/, mutations/, errors/ and runs/ with *.jsonl below. Without it, the logs of the
bucket that LOG_BUCKET names are read (.env is read too); without LOG_BUCKET, those of the sandbox
(${SANDBOX_LOGS}).
<question> is SQL, or the name of a saved query, with its value (a user id, a run id) after it:
${SAVED_QUERIES.map(({ name, description }) => `  "${name}": ${description}`).join('\n')}`

/**
 * Answers a command line of `npm run query`: from the folder that it names, else from the bucket that
 * LOG_BUCKET names, else from the sandbox. `say` is told which bucket is read.
 */
export async function answerQuery(
  args: readonly string[],
  say: (text: string) => void = console.error,
): Promise<Answered> {
  try {
    const options = { csv: { type: 'boolean' }, json: { type: 'boolean' } } as const
    const { values: given, positionals } = parseArgs({ args: [...args], options, allowPositionals: true })
    const [first = '', ...rest] = positionals
    // A folder that is not there must not pass for a question about the bucket or the sandbox.
    const hasFolder = first !== '' && (existsSync(first) || (!isQuestion(first) && isQuestion(rest[0] ?? '')))
    const [question, ...values] = hasFolder ? rest : positionals
    if (question === undefined) return failed(USAGE)
    const asked = questionOf(question, values)
    if ('problem' in asked) return failed(asked.problem)
    const format: Format = given.csv ? 'csv' : given.json ? 'json' : 'text'
    const answer = async (folder: string, absent: string): Promise<Answered> => {
      if (LOG_TABLES.every((table) => filesOf(folder, table).length === 0)) return failed(absent)
      const rows = await queryLogs(folder, asked.sql, values)
      return { out: formatRows(rows, format), error: rows.length === 0 ? noRows(values) : '', exitCode: 0 }
    }
    const bucket = process.env.LOG_BUCKET ?? ''
    if (hasFolder) return await answer(logsIn(first), noLogs(logsIn(first)))
    if (bucket === '') return await answer(SANDBOX_LOGS, noLogs(SANDBOX_LOGS))
    say(`Reading the logs of the bucket ${bucket} (LOG_BUCKET).`)
    return await withLogsOfBucket(bucket, async (folder) => answer(folder, noLogsInBucket(bucket)))
  } catch (error) {
    return failed(error instanceof Error ? error.message : 'an unknown error')
  }
}

function noRows(values: readonly string[]): string {
  const none = 'No rows: nothing in these logs matches.'
  const address = values.find((value) => value.includes('@'))
  return address === undefined
    ? none
    : `${none} Logs name users by id: npm start -- --history ${address} shows it.`
}

/** A downloaded bucket has its logs one folder below. */
function logsIn(folder: string): string {
  return existsSync(join(folder, 'logs')) ? join(folder, 'logs') : folder
}

function noLogs(folder: string): string {
  return (
    `No logs in ${folder}: it must hold users/, mutations/, errors/ or runs/ with *.jsonl files. ` +
    'No query was run. Name the folder that you downloaded, or make a run with npm start.'
  )
}

function noLogsInBucket(bucket: string): string {
  return (
    `No logs in the bucket ${bucket}: it has no *.jsonl objects below logs/. No query was run. ` +
    'Check LOG_BUCKET, or unset it to query the sandbox.'
  )
}

const SQL = /^\s*(select|with|from|describe|show|summarize|pivot)\b/i

function isQuestion(text: string): boolean {
  return SQL.test(text) || SAVED_QUERIES.some(({ name }) => name === text)
}

/** The SQL of a question; what looks like neither SQL nor a saved query gets the nearest names. */
function questionOf(
  question: string,
  values: readonly string[],
): { readonly sql: string } | { readonly problem: string } {
  const saved = SAVED_QUERIES.find(({ name }) => name === question)
  if (saved) return withValues(saved, values)
  if (SQL.test(question)) return { sql: question }
  const names = SAVED_QUERIES.map(({ name }) => name)
  const near = nearestFew(question, names, 3).map((name) => `"${name}"`)
  const hint = near.length > 0 ? ` Did you mean ${near.join(' or ')}?` : ''
  return { problem: `No saved query "${question}".${hint} No query was run. All names: npm run query` }
}

function withValues({ name, sql }: SavedQuery, values: readonly string[]): ReturnType<typeof questionOf> {
  const needed = sql.split('?').length - 1
  if (values.length === needed) return { sql }
  const what = needed === 0 ? 'takes no value' : `needs ${needed} value${needed === 1 ? '' : 's'} after it`
  return { problem: `The saved query "${name}" ${what}, and ${values.length} were given. No query was run.` }
}

if (import.meta.main) {
  if (existsSync('.env')) process.loadEnvFile('.env')
  printAnswered(await answerQuery(process.argv.slice(2)))
}

import { Readable, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { stringify } from 'csv-stringify'
import { lastCard } from '../lambda/archive/cards.ts'
import { type NamedPage, readCursor } from '../lambda/archive/cursor.ts'
import { ArchiveCorrupt } from '../lambda/archive/errors.ts'
import { type LogKind, partKey } from '../lambda/archive/keys.ts'
import { getVerified } from '../lambda/archive/s3/objects.ts'
import type { Store } from '../lambda/archive/s3/store.ts'
import { dollars, type ExitCard } from '../lambda/exit-card.ts'
import { type LoggedLine, loggedLine } from '../lambda/insight/logged-line.ts'
import { linesOfBytes } from '../lambda/insight/verify/files.ts'
import { amountOf, isDelete, isInsert, rowChanges } from '../lambda/insight/verify/mutations.ts'

export const CSV_KINDS = ['users', 'grants', 'mutations'] as const
export type CsvKind = (typeof CSV_KINDS)[number]

/** A dollar amount is no text: its minus sign is no formula. */
type Dollars = { readonly usd: string }
type Cell = string | number | boolean | Dollars | null
type Row = Readonly<Record<string, Cell>>

/** Amounts of a row in microdollars; each becomes two columns, dollars and microdollars. */
type Amounts = Readonly<Record<string, number | null>>

/** One row before it is written: what comes before the amounts, the amounts, and what comes after. */
type TableRow = { readonly before: Row; readonly amounts: Amounts; readonly after: Row }

/** How one kind of file is made from a page of a run, and what its total row must be. */
type Table = {
  readonly log: LogKind
  readonly rows: (lines: readonly string[]) => TableRow[]
  /** The sums that the exit card gives. */
  readonly expected: (totals: ExitCard['totals']) => Amounts
}

/**
 * Writes the users, grants or mutations of a run as RFC 4180 with a header, one page after the other; `out`
 * is ended. Amounts are in dollars and in microdollars. A text that a spreadsheet would take for a formula
 * gets a leading apostrophe. The last row is the total, and equals the exit card's.
 * @throws ArchiveCorrupt when a part was edited or the total differs from the card's, ArchiveUnavailable
 */
export async function writeCsv(kind: CsvKind, runId: string, store: Store, out: Writable): Promise<void> {
  const csv = stringify({
    header: true,
    record_delimiter: '\r\n',
    cast: { string: withoutFormula, object: ({ usd }) => String(usd), boolean: String },
  })
  await pipeline(Readable.from(rowsOf(TABLES[kind], runId, store)), csv, out)
}

const FORMULA = /^[=+\-@\t\r]/

/** An apostrophe makes a spreadsheet show the text as it is. */
export function withoutFormula(text: string, { header }: { header: boolean }): string {
  return !header && FORMULA.test(text) ? `'${text}` : text
}

async function* rowsOf(table: Table, runId: string, store: Store): AsyncGenerator<Row> {
  const { document: cursor } = await readCursor(store, runId)
  const sums: Record<string, number> = {}
  let first: TableRow | null = null
  for (const named of cursor.pages) {
    for (const row of table.rows(await linesOf(table.log, runId, named, store))) {
      first ??= row
      for (const [column, amount] of Object.entries(row.amounts))
        sums[column] = (sums[column] ?? 0) + (amount ?? 0)
      yield flat(row)
    }
  }
  const card = await lastCard(store, runId)
  if (card && card.status !== 'incomplete') checkTotal(runId, sums, table.expected(card.totals))
  if (first) yield totalRow(first, sums)
}

async function linesOf(log: LogKind, runId: string, named: NamedPage, store: Store): Promise<string[]> {
  const part = named[log]
  if (part === null) return []
  const { bytes } = await getVerified(store, partKey(runId, log, named.page, named.epoch), part)
  return linesOfBytes(bytes)
}

function flat({ before, amounts, after }: TableRow): Row {
  return { ...before, ...amountCells(amounts), ...after }
}

function amountCells(amounts: Amounts): Row {
  return Object.fromEntries(
    Object.entries(amounts).flatMap(([name, amount]): [string, Cell][] => [
      [`${name}_usd`, amount === null ? null : dollarsOf(amount)],
      [`${name}_microdollars`, amount],
    ]),
  )
}

function totalRow({ before, after }: TableRow, sums: Record<string, number>): Row {
  const [label = ''] = Object.keys(before)
  const empty = (row: Row): Row => Object.fromEntries(Object.keys(row).map((column) => [column, null]))
  return flat({ before: { ...empty(before), [label]: 'total' }, amounts: sums, after: empty(after) })
}

/** Dollars with six decimals, without a currency sign: what a spreadsheet takes for a number. */
function dollarsOf(microdollars: number): Dollars {
  return { usd: dollars(microdollars).replace(/[$,]/g, '') }
}

/** @throws ArchiveCorrupt naming the amount */
function checkTotal(runId: string, sums: Readonly<Record<string, number>>, expected: Amounts): void {
  for (const [column, amount] of Object.entries(expected)) {
    const sum = sums[column] ?? 0
    if (sum === amount) continue
    throw new ArchiveCorrupt(
      `The rows of run ${runId} add up to ${sum} microdollars of ${column}, and its exit card says ${amount}. The file ` +
        `has no total row. Send {"verify": "${runId}"} to see what differs.`,
    )
  }
}

const TABLES: Readonly<Record<CsvKind, Table>> = {
  users: {
    log: 'users',
    rows: (lines) => lines.map((line) => userRow(parse(line))),
    expected: (totals) => ({
      expired: totals.expiredMicrodollars,
      due_paid: totals.duePaidMicrodollars,
      correction: totals.correctedMicrodollars,
    }),
  },
  grants: {
    log: 'users',
    rows: (lines) => lines.map(parse).flatMap(grantRows),
    expected: (totals) => ({ expired: totals.expiredMicrodollars, due_paid: totals.duePaidMicrodollars }),
  },
  mutations: {
    log: 'mutations',
    rows: mutationRows,
    expected: (totals) => ({
      moved: totals.correctedMicrodollars - totals.expiredMicrodollars - totals.duePaidMicrodollars,
    }),
  },
}

function parse(line: string): LoggedLine {
  return loggedLine.parse(JSON.parse(line))
}

function userRow(line: LoggedLine): TableRow {
  return {
    before: { user_id: line.user_id, email: line.email, outcome: line.outcome },
    amounts: {
      balance_before: line.balance_before_microdollars,
      used: line.used_microdollars,
      expired: line.expired_microdollars,
      due_paid: line.due_paid_microdollars,
      correction: line.correction_microdollars,
      final_balance: line.final_balance_microdollars,
    },
    after: {
      grants_targeted: line.grants_targeted,
      next_credit_expiration_at: line.next_credit_expiration_at,
      flags: line.flags.join(' '),
    },
  }
}

/** What expires of targeted grants and of other credit is apart, as on the card. */
function grantRows(line: LoggedLine): TableRow[] {
  return line.credits.map((credit) => ({
    before: {
      user_id: line.user_id,
      email: line.email,
      outcome: line.outcome,
      grant_id: credit.id,
      category: credit.credit_category,
      description: credit.description,
      created_at: credit.created_at,
      is_free: credit.is_free,
      had_expiry_date: credit.had_expiry_date,
    },
    amounts: {
      amount: credit.amount_microdollars,
      expired: credit.targeted ? credit.expired_microdollars : null,
      due_paid: credit.targeted ? null : credit.expired_microdollars,
    },
    after: {},
  }))
}

/**
 * `moved` is by how much a row moved the user's total: the amount of an inserted row, minus that of a deleted
 * one.
 */
function mutationRows(lines: readonly string[]): TableRow[] {
  return rowChanges(lines).map((change) => ({
    before: { user_id: change.user_id, type: change.type, row_id: change.row_id },
    amounts: { moved: isInsert(change) ? amountOf(change) : isDelete(change) ? -amountOf(change) : null },
    after: { before: JSON.stringify(change.before), after: JSON.stringify(change.after) },
  }))
}

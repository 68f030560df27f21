import type { Writable } from 'node:stream'
import { lastCard } from '../../lambda/archive/cards.ts'
import { type NamedPage, readCursor } from '../../lambda/archive/cursor.ts'
import { ArchiveCorrupt } from '../../lambda/archive/errors.ts'
import { type LogKind, partKey } from '../../lambda/archive/keys.ts'
import { getVerified } from '../../lambda/archive/s3/objects.ts'
import type { Store } from '../../lambda/archive/s3/store.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { type LoggedLine, loggedLine } from '../../lambda/insight/logged-line.ts'
import { linesOfBytes } from '../../lambda/insight/verify/files.ts'
import { amountOf, isDelete, isInsert, rowChanges } from '../../lambda/insight/verify/mutations.ts'
import { type Amounts, type Columns, type TableRow, writeTable } from './format.ts'

export const CSV_KINDS = ['users', 'grants', 'mutations'] as const
export type CsvKind = (typeof CSV_KINDS)[number]

/** How one kind of file is made from a page of a run, and what its total row must be. */
type Table = {
  readonly log: LogKind
  readonly columns: Columns
  readonly rows: (lines: readonly string[]) => TableRow[]
  /** The sums that the exit card gives. */
  readonly expected: (totals: ExitCard['totals']) => Amounts
}

/** Reads once, in a time of the caller's. */
type Within = <T>(read: () => Promise<T>) => Promise<T>

/**
 * Writes the users, grants or mutations of a run as CSV, one page after the other; `out` is ended. The last
 * row is the total, and equals the exit card's; it is there also where the log has no line. Every read goes
 * through `within`, and nothing of it waits for the reader of `out`.
 * @throws ArchiveCorrupt when a part was edited or the total differs from the card's, ArchiveUnavailable, and
 * whatever `within` throws
 */
export async function writeCsv(
  kind: CsvKind,
  runId: string,
  store: Store,
  out: Writable,
  within: Within = async (read) => read(),
): Promise<void> {
  const table = TABLES[kind]
  await writeTable(table.columns, rowsOf(table, runId, store, within), out, async (sums) => {
    const card = await within(async () => lastCard(store, runId))
    if (card && card.status !== 'incomplete') checkTotal(runId, sums, table.expected(card.totals))
  })
}

async function* rowsOf(table: Table, runId: string, store: Store, within: Within): AsyncGenerator<TableRow> {
  const { document: cursor } = await within(async () => readCursor(store, runId))
  for (const named of cursor.pages)
    yield* table.rows(await within(async () => linesOf(table.log, runId, named, store)))
}

async function linesOf(log: LogKind, runId: string, named: NamedPage, store: Store): Promise<string[]> {
  const part = named[log]
  if (part === null) return []
  const { bytes } = await getVerified(store, partKey(runId, log, named.page, named.epoch), part)
  return linesOfBytes(bytes)
}

/** @throws ArchiveCorrupt naming the amount */
function checkTotal(runId: string, sums: Amounts, expected: Amounts): void {
  for (const [column, amount] of Object.entries(expected)) {
    const sum = sums[column] ?? 0
    if (sum === amount) continue
    throw new ArchiveCorrupt(
      `The rows of run ${runId} add up to ${sum} microdollars of ${column}, and its exit card says ` +
        `${amount}. The file has no total row. Send {"verify": "${runId}"} to see what differs.`,
    )
  }
}

const TABLES: Readonly<Record<CsvKind, Table>> = {
  users: {
    log: 'users',
    columns: {
      before: ['user_id', 'email', 'outcome'],
      amounts: ['balance_before', 'used', 'expired', 'due_paid', 'correction', 'final_balance'],
      after: ['grants_targeted', 'next_credit_expiration_at', 'flags'],
    },
    rows: (lines) => lines.map((line) => userRow(parse(line))),
    expected: (totals) => ({
      expired: totals.expiredMicrodollars,
      due_paid: totals.duePaidMicrodollars,
      correction: totals.correctedMicrodollars,
    }),
  },
  grants: {
    log: 'users',
    columns: {
      before: [
        'user_id',
        'email',
        'outcome',
        'grant_id',
        'category',
        'description',
        'created_at',
        'is_free',
        'had_expiry_date',
      ],
      amounts: ['amount', 'expired', 'due_paid'],
      after: [],
    },
    rows: (lines) => lines.map(parse).flatMap(grantRows),
    expected: (totals) => ({ expired: totals.expiredMicrodollars, due_paid: totals.duePaidMicrodollars }),
  },
  mutations: {
    log: 'mutations',
    columns: { before: ['user_id', 'type', 'row_id'], amounts: ['moved'], after: ['before', 'after'] },
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

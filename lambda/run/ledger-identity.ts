import * as z from 'zod'
import type { Cursor } from '../archive/cursor.ts'
import { ArchiveCorrupt } from '../archive/errors.ts'
import { readPart } from '../archive/logs.ts'
import { isWriting, type LedgerIdentity, type Run } from '../archive/runs.ts'
import { RunRefused } from '../errors.ts'
import { type Identity, readIdentity } from '../ledger/preflight/identity.ts'
import { findTransactions } from '../ledger/rows.ts'
import { withRetriedRead } from '../ledger/connection/transaction.ts'
import type { Tools } from './tools.ts'

/**
 * Refuses to continue a run on another ledger than the one that it was opened on. What continues a writing
 * run must reach the same host too, since a physical copy has the same identifier.
 * @throws RunRefused naming both, LedgerUnavailable
 */
export async function checkLedger(run: Run, tools: Tools): Promise<void> {
  const writes = isWriting(run.mode)
  const now = await readIdentity(writes ? tools.ledger.writer : tools.ledger.reader, tools)
  refuseOtherLedger(run, now, writes, tools)
}

/**
 * The same for an identity that was read already; `sameHost` where a physical copy must not pass.
 * @throws RunRefused
 */
export function refuseOtherLedger(run: Run, now: Identity, sameHost: boolean, { config }: Tools): void {
  const expected = textsOf(run.ledger)
  const found = textsOf(now)
  const { ledgerFormerly } = config
  const isSameHost = expected.host === found.host || ledgerFormerly.includes(expected.host)
  if (isSameLedger(run.ledger, now, config) && (!sameHost || isSameHost)) return
  const formerly = [expected.database, ...(sameHost ? [expected.host] : [])].join(',')
  throw new RunRefused(
    `Run ${run.runId} was opened on the ledger ${expected.database} at ${expected.host}, but this ` +
      `connection leads to ${found.database} at ${found.host}. Nothing was done. Correct DATABASE_URL ` +
      'or its secret. If this is the same ledger after a move, a restore or an upgrade, set ' +
      `LEDGER_FORMERLY=${formerly}.`,
  )
}

/** Whether a run's ledger is this one, or was before a move. A physical copy of a ledger passes for it. */
export function isSameLedger(
  former: LedgerIdentity,
  now: LedgerIdentity,
  { ledgerFormerly }: Pick<Tools['config'], 'ledgerFormerly'>,
): boolean {
  const { database } = textsOf(former)
  return database === textsOf(now).database || ledgerFormerly.includes(database)
}

/**
 * `<system identifier>/<database oid>/<database>`, with `/<schema>` for another one than public, and
 * `<host>:<port>`: what LEDGER_FORMERLY lists.
 */
function textsOf(ledger: LedgerIdentity): { readonly database: string; readonly host: string } {
  const { systemIdentifier, databaseOid, database, schema } = ledger
  return {
    database: [systemIdentifier, databaseOid, database, ...(schema === 'public' ? [] : [schema])].join('/'),
    host: `${ledger.host}:${ledger.port}`,
  }
}

/** A line of the mutation log, of an execute or a rollback. */
const writtenRow = z.object({ type: z.string(), row_id: z.string() })

/**
 * A physical copy or an older backup has the identity of the ledger, but not what the run wrote: at least one
 * row that the newest page inserted must be there before anything is continued, and of a rollback at least one
 * that it deleted must be gone.
 * @throws ArchiveCorrupt, LedgerUnavailable
 */
export async function checkNewestRows(run: Run, cursor: Cursor, tools: Tools): Promise<void> {
  if (!isWriting(run.mode)) return
  const isRollback = run.mode === 'rollback'
  const [ending, did] = isRollback ? ['_delete', 'deleted'] : ['_insert', 'inserted']
  for (const named of cursor.pages.toReversed()) {
    if (named.mutations.bytes === 0) continue
    const source = { page: named.page, epoch: named.epoch, ...named.mutations }
    const mutations = await readPart(tools.store, run.runId, 'mutations', source, writtenRow)
    const ids = mutations.filter(({ type }) => type.endsWith(ending)).map(({ row_id }) => row_id)
    if (ids.length === 0) continue
    const found = await withRetriedRead(tools.ledger.writer, async (tx) => findTransactions(tx, ids), tools)
    if (isRollback ? found.size < ids.length : found.size > 0) return
    throw new ArchiveCorrupt(
      `${isRollback ? 'All' : 'None'} of the ${ids.length} rows that run ${run.runId} ${did} on page ${named.page} are ` +
        'in the ledger: it is a copy or was restored to an earlier time. Nothing was done. Connect to ' +
        'the ledger that the run wrote to. If that one no longer exists, send {"abandon": ' +
        `"${run.runId}", "reason": "…"}.`,
    )
  }
}

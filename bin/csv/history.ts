import type { Writable } from 'node:stream'
import { isWriting } from '../../lambda/archive/runs.ts'
import type { HistoryGrant } from '../../lambda/insight/history/grants.ts'
import type { HistoryAnswer, HistoryRun, UnreadableHistory } from '../../lambda/insight/history/history.ts'
import { missingText } from '../../lambda/insight/history/missing.ts'
import { amountCells, columnsOf, type TableRow, writeTable } from './format.ts'

/**
 * Writes what the runs did to one user as CSV, `out` is ended: for each run one row with its balances and its
 * correction, and one row for each grant. What was restored is negative, so that the total is what expired in
 * the end; where a run could not be read there is no total row.
 */
export async function writeHistory(answer: HistoryAnswer, out: Writable): Promise<void> {
  const rows = answer.result.runs.flatMap(rowsOfRun)
  if (missingText(answer) === null) await writeTable(COLUMNS, rows, out)
  else await writeTable(COLUMNS, rows, out, null)
}

function rowsOfRun(run: HistoryRun | UnreadableHistory): TableRow[] {
  if ('problem' in run) return [tableRow({ runId: run.runId, at: run.at }, null, run.problem)]
  return [tableRow(run, null, run.meaning), ...run.grants.map((grant) => tableRow(run, grant, grant.why))]
}

type KnownRun = Pick<HistoryRun, 'runId' | 'at'> & Partial<HistoryRun>

/** The row of a run, or of one of its grants. Only what expired and corrections are added up. */
function tableRow(run: KnownRun, grant: HistoryGrant | null, why: string): TableRow {
  // The total is of what was moved, and a dry run moves nothing.
  const isDry = run.mode !== undefined && !isWriting(run.mode)
  const expired = isDry ? null : (grant?.expiredMicrodollars ?? null)
  return {
    before: {
      run_id: run.runId,
      at: run.at,
      mode: run.mode ?? null,
      status: run.status ?? 'unreadable',
      by: run.by ?? null,
      reason: run.reason ?? null,
      plan: run.plan ?? null,
      rolled_back_by: run.rolledBackBy ?? null,
      email: run.email ?? null,
      outcome: run.outcome ?? null,
      flags: run.flags?.join(' ') ?? null,
      row: grant ? 'grant' : 'run',
      grant_id: grant?.id ?? null,
      category: grant?.category ?? null,
      description: grant?.description ?? null,
      created_at: grant?.createdAt ?? null,
    },
    amounts: {
      expired: grant?.targeted === true ? expired : null,
      due_paid: grant?.targeted === false ? expired : null,
      correction: grant || isDry ? null : (run.correctionMicrodollars ?? null),
    },
    after: {
      ...amountCells({
        amount: grant?.amountMicrodollars ?? null,
        used: grant?.usedMicrodollars ?? null,
        balance_before: grant ? null : (run.balanceBeforeMicrodollars ?? null),
        final_balance: grant ? null : (run.finalBalanceMicrodollars ?? null),
      }),
      why,
    },
  }
}

const COLUMNS = columnsOf(tableRow({ runId: '', at: '' }, null, ''))

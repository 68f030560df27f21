import { attemptName } from '../../archive/keys.ts'
import type { Page } from '../../archive/pages.ts'
import type { Run } from '../../archive/runs.ts'
import type { Sql } from '../../ledger/connection/connect.ts'
import { findTakenLinks } from '../../ledger/rows.ts'
import { withRetriedRead } from '../../ledger/connection/transaction.ts'
import { contextOf } from '../lines/run-rules.ts'
import type { Tools } from '../tools.ts'
import type { PageMode } from './modes/mode.ts'
import { type PageOutcome, pageOutcome } from './outcome.ts'
import { planUsers } from './plan-users.ts'

/**
 * One page without writing: read, plan, and the log lines of what would be written now, mutations too. In
 * READ ONLY transactions, so that the database itself refuses a write. An execute learns from the unique
 * index that a row of another user links to a grant; this asks.
 * @throws LedgerUnavailable
 */
export async function previewPage(
  run: Run,
  page: Page,
  epoch: number,
  mode: PageMode,
  sql: Sql,
  tools: Tools,
): Promise<PageOutcome> {
  const attempt = attemptName(page.page, epoch, 1)
  const observed = await withRetriedRead(sql, async (tx) => mode.read(tx, page.userIds), tools)
  const planAll = async (takenLinks: ReadonlySet<string>) =>
    planUsers(mode, page.userIds, observed, attempt, takenLinks)

  const plannings = await planAll(new Set())
  const closes = plannings.flatMap(([, planning]) =>
    'candidate' in planning ? planning.candidate.closes : [],
  )
  const taken = await withRetriedRead(sql, async (tx) => findTakenLinks(tx, closes), tools)
  const results = (taken.size > 0 ? await planAll(taken) : plannings).map(
    ([userId, planning]) =>
      [userId, 'result' in planning ? planning.result : planning.candidate.result] as const,
  )
  return pageOutcome(contextOf(run, attempt), page, new Map(results), tools.now())
}

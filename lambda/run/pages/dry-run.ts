import { attemptName } from '../../archive/keys.ts'
import type { Page } from '../../archive/pages.ts'
import type { Run } from '../../archive/runs.ts'
import { readUsers } from '../../ledger/read.ts'
import type { ForeignKey } from '../../ledger/references.ts'
import { readInserted } from '../../ledger/rollback.ts'
import { findTakenLinks } from '../../ledger/rows.ts'
import { withRetriedRead } from '../../ledger/transaction.ts'
import { contextOf } from '../lines/run-rules.ts'
import type { Tools } from '../tools.ts'
import { candidateOf } from './execute.ts'
import { type PageOutcome, pageOutcome, type UserResult } from './outcome.ts'
import { planReading } from './planning.ts'
import { type LoggedChanges, planOne } from './rollback.ts'

/**
 * One page of a dry run: read, plan, and the log lines of what an execute would do now, its mutations too. In READ ONLY
 * transactions, so that the database itself refuses a write. An execute learns from the unique index that a row of
 * another user links to a grant; a dry run asks.
 * @throws LedgerUnavailable
 */
export async function dryRunPage(run: Run, page: Page, epoch: number, tools: Tools): Promise<PageOutcome> {
  const context = contextOf(run, attemptName(page.page, epoch, 1))
  const sql = tools.ledger.reader
  const readings = await withRetriedRead(sql, async (tx) => readUsers(tx, page.userIds), tools)
  const plan = (userId: string, takenLinks: ReadonlySet<string>) =>
    planReading(run, context, userId, readings.get(userId), takenLinks)
  const plannings = new Map(page.userIds.map((userId) => [userId, plan(userId, new Set())]))
  const closes = [...plannings.values()].flatMap((planning) =>
    'planned' in planning ? planning.planned.plan.change.closings.map(({ grant }) => grant.id) : [],
  )
  const taken = await withRetriedRead(sql, async (tx) => findTakenLinks(tx, closes), tools)
  if (taken.size > 0) for (const userId of page.userIds) plannings.set(userId, plan(userId, taken))

  const results = new Map<string, UserResult>()
  for (const [userId, planning] of plannings) {
    const result = 'result' in planning ? planning.result : candidateOf(run, context, planning.planned).result
    results.set(userId, result)
  }
  return pageOutcome(context, page, results, tools.now())
}

/** One page of a rollback's dry run, in a READ ONLY transaction. @throws LedgerUnavailable, ArchiveCorrupt, ArchiveUnavailable */
export async function rollbackDryRunPage(
  run: Run,
  page: Page,
  epoch: number,
  changes: LoggedChanges,
  foreignKeys: readonly ForeignKey[],
  tools: Tools,
): Promise<PageOutcome> {
  const context = contextOf(run, attemptName(page.page, epoch, 1))
  const asked = page.userIds.flatMap((userId) => changes.get(userId) ?? [])
  const observed = await withRetriedRead(
    tools.ledger.reader,
    async (tx) => ({
      readings: await readUsers(tx, page.userIds),
      inserted: await readInserted(tx, asked, foreignKeys),
    }),
    tools,
  )
  const results = asked.map((change): [string, UserResult] => {
    const planning = planOne(run, context, change, observed)
    return [change.userId, 'result' in planning ? planning.result : planning.candidate.result]
  })
  return pageOutcome(context, page, new Map(results), tools.now())
}

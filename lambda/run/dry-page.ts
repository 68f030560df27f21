import type { PageList, Run } from '../archive/documents.ts'
import { findTakenLinks } from '../ledger/links.ts'
import { readUsers } from '../ledger/read.ts'
import { prepare } from './execute.ts'
import { type PageResult, pageResult, type UserResult } from './page.ts'
import { planReading } from './planning.ts'
import type { Tools } from './tools.ts'

/**
 * One page of a dry run: read, plan, and the log lines of what an execute would do now, its mutations too. Runs in
 * READ ONLY transactions, so that the database itself refuses a write. An execute learns from the unique index that
 * somebody else's row links to a grant; a dry run asks.
 * @throws LedgerUnavailable
 */
export async function dryPage(run: Run, list: PageList, epoch: number, tools: Tools): Promise<PageResult> {
  const sql = tools.ledger.reader
  const readings = await readUsers(sql, list.userIds)
  const planAll = (takenLinks: ReadonlySet<string>) =>
    new Map(
      list.userIds.map((userId) => [userId, planReading(run, userId, readings.get(userId), takenLinks)]),
    )
  const plans = planAll(new Set())
  const closes = [...plans.values()].flatMap((planning) =>
    'planned' in planning ? planning.planned.plan.change.closings.map(({ grant }) => grant.id) : [],
  )
  const taken = closes.length > 0 ? await findTakenLinks(sql, closes) : new Set<string>()

  const name = { page: list.page, epoch, n: 1, leaseExpiresAt: '' }
  const results = [...(taken.size > 0 ? planAll(taken) : plans)].map(
    ([userId, planning]): [string, UserResult] => [
      userId,
      'result' in planning ? planning.result : prepare(run, name, planning.planned).result,
    ],
  )
  return pageResult(run, list, new Map(results), tools.now())
}

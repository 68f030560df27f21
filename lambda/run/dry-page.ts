import type { PageList, Run } from '../archive/documents.ts'
import { readUsers } from '../ledger/read.ts'
import { prepare } from './execute.ts'
import { type PageResult, pageResult, type UserResult } from './page.ts'
import { planReading } from './planning.ts'
import type { Tools } from './tools.ts'

/**
 * One page of a dry run: read, plan, and the log lines of what an execute would do now, its mutations too. Runs in a
 * READ ONLY transaction, so that the database itself refuses a write.
 * @throws LedgerUnavailable
 */
export async function dryPage(run: Run, list: PageList, epoch: number, tools: Tools): Promise<PageResult> {
  const readings = await readUsers(tools.ledger.reader, list.userIds)
  const name = { page: list.page, epoch, n: 1, leaseExpiresAt: '' }
  const results = new Map<string, UserResult>()
  for (const userId of list.userIds) {
    const planning = planReading(run, userId, readings.get(userId), new Set())
    results.set(userId, 'result' in planning ? planning.result : prepare(run, name, planning.planned).result)
  }
  return pageResult(run, list, results, tools.now())
}

import { readRun } from '../archive/cursor.ts'
import type { PageList, Run } from '../archive/documents.ts'
import { ArchiveCorrupt } from '../archive/errors.ts'
import { logKey } from '../archive/keys.ts'
import { tapLines } from '../archive/logs.ts'
import { readBytes } from '../archive/store.ts'
import { findSilentReferences } from '../ledger/undo.ts'
import { RunRefused } from './errors.ts'
import { nearestHint } from './known-run.ts'
import type { Matches } from './page-lists.ts'
import { parseMutation } from './logged-changes.ts'
import { standingOf } from './standing.ts'
import type { Tools } from './tools.ts'

/** About this many mutations a page, as an execute page has about this many rows. */
const MUTATIONS_A_PAGE = 4_000

/** The execute run that a rollback names: it must be closed, so that its mutation log is whole. @throws RunRefused */
export async function rollbackTarget(runId: string, tools: Tools): Promise<Run> {
  const refuse = (why: string) =>
    new RunRefused(`The run ${runId} cannot be rolled back: ${why}. Nothing was done.`)
  const run = await readRun(tools.store, runId)
  if (!run) throw refuse(`this bucket knows no such run${await nearestHint(runId, tools)}`)
  if (run.mode !== 'execute') throw refuse(`it is a ${run.mode}, and only an execute run changes the ledger`)
  const standing = await standingOf(run, tools)
  if (standing.is === 'refused' || standing.is === 'unopened')
    throw refuse('it was never opened, so it changed nothing')
  if (standing.is === 'open') {
    throw refuse(
      `it is not closed. Finish it with {"resume": "${runId}"}, or stop it with {"cancel": "${runId}"}, first`,
    )
  }
  return run
}

/** The users of a run's whole mutation log, cut into pages by where their lines stand. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function listsOfMutations(target: Run, batchSize: number, tools: Tools): Promise<Matches> {
  const key = logKey(target.runId, 'mutations')
  const lists: PageList[] = []
  const seen = new Set<string>()
  let page = { userIds: [] as string[], rows: 0, from: 0 }
  let at = 0
  const turnPage = (): void => {
    const { userIds, rows, from } = page
    if (userIds.length > 0)
      lists.push({ page: lists.length, userIds, rows, shown: null, bytes: { from, to: at } })
    page = { userIds: [], rows: 0, from: at }
  }
  const take = (line: string): void => {
    const { user_id: userId } = parseMutation(key, line)
    if (page.userIds.at(-1) !== userId) {
      if (page.userIds.length === batchSize || page.rows >= MUTATIONS_A_PAGE) turnPage()
      if (seen.has(userId))
        throw new ArchiveCorrupt(`${key}: the lines of the user ${userId} do not stand together.`)
      seen.add(userId)
      page.userIds.push(userId)
    }
    page.rows += 1
    at += Buffer.byteLength(line) + 1
  }
  for await (const chunk of tapLines(readBytes(tools.store, key), take)) void chunk
  turnPage()
  const rows = lists.reduce((sum, list) => sum + list.rows, 0)
  return {
    lists,
    matched: { users: seen.size, grants: 0, faceValueMicrodollars: 0, rows, pages: lists.length },
  }
}

/** Why an undo may not delete rows: deleting them would silently change other tables. @throws LedgerUnavailable */
export async function silentReferences(tools: Tools, sql: Tools['ledger']['reader']): Promise<string[]> {
  const references = await findSilentReferences(sql)
  return references
    .filter(({ constraint }) => !tools.config.acceptedReferences.includes(constraint))
    .map(
      ({ table, constraint, action }) =>
        `deleting credit_transactions rows would change ${table} (${constraint}, ON DELETE ${action}); list it in ACCEPTED_REFERENCES if that is acceptable`,
    )
}

import type { Page } from '../../../archive/pages.ts'
import { isWriting, type Run } from '../../../archive/runs.ts'
import { RunRefused } from '../../../errors.ts'
import type { ExitCard } from '../../../exit-card.ts'
import { readForeignKeys, watchedKeys } from '../../../ledger/preflight/references.ts'
import { withRetriedRead } from '../../../ledger/connection/transaction.ts'
import { beforeWriting } from '../../errors.ts'
import { cardOf } from '../../lines/card/card.ts'
import { addTotals, noTotals } from '../../lines/totals.ts'
import { previewPage } from '../../pages/dry-run.ts'
import type { PageSink } from '../../pages/freeze.ts'
import { modeOfPage } from '../../pages/loop.ts'
import type { Tools } from '../../tools.ts'
import { draftRun } from './draft.ts'
import { type OpeningRequest, selectionOf } from './selection.ts'
import { placeOf } from '../work.ts'

/** What a request would do now. Nothing of it is stored. */
export type Preview = { readonly run: Run; readonly card: ExitCard }

/**
 * Counts what a request would do, with the rights, limits and plan checked as at its opening, and stores
 * nothing. `onUsers` gets the number of users counted so far.
 * @throws RunRefused, InvalidEvent, LedgerUnavailable, ArchiveUnavailable, ArchiveCorrupt
 */
export async function preview(
  request: OpeningRequest,
  tools: Tools,
  onUsers: (counted: number, all: number) => void,
): Promise<Preview> {
  let pages: Page[] = []
  /** For each try of reading the matches, which begins at the first page again. */
  const freshSink = (): PageSink => {
    pages = []
    return { write: (page) => void pages.push(page), done: async () => {} }
  }
  const selection = await selectionOf(request, tools)
  const run = await beforeWriting(async () => draftRun(request, selection, freshSink, tools))
  if (run.refusals.length > 0)
    throw new RunRefused(`The run would be refused: ${run.refusals.join('; ')}. Nothing was written.`)

  const sql = isWriting(run.mode) ? tools.ledger.writer : tools.ledger.reader
  const all = await withRetriedRead(sql, readForeignKeys, tools)
  const foreignKeys = watchedKeys(all, run.settings.acceptedReferences)
  let totals = noTotals()
  let users = 0
  for (const page of pages) {
    const mode = await modeOfPage({ run, foreignKeys, tools }, page)
    const outcome = await previewPage(run, page, 1, mode, sql, tools)
    totals = addTotals(totals, outcome.totals)
    users += page.userIds.length
    onUsers(users, run.matched.users)
  }
  const cursor = { totals, usersDone: users, usersTotal: users, pages: [], pagesTotal: pages.length }
  return { run, card: cardOf(run, cursor, { status: 'complete', why: '' }, placeOf(tools), tools.now()) }
}

import type { PageList, Run } from '../archive/documents.ts'
import {
  type MatchingUser,
  MOST_MICRODOLLARS,
  readMatchingUsers,
  type Selection,
  type TargetSettings,
} from '../ledger/matching.ts'
import { isInternal } from '../rules/internal.ts'
import { RunRefused } from './errors.ts'
import type { Tools } from './tools.ts'

/** About this many ledger rows a page, so that a page stays a page whatever its users hold. */
const ROWS_A_PAGE = 4_000

/** The frozen users of a run, cut into pages, and what they come to. */
export type Matches = { readonly lists: readonly PageList[]; readonly matched: Run['matched'] }

/**
 * Reads the matching users once and cuts them into pages: at most `batchSize` users and about 4,000 ledger rows
 * each; a user with more is a page alone.
 * @throws RunRefused when SQL returns a user whom the e-mail rule does not, or a named user does not match:
 *   nothing has been written then. LedgerUnavailable
 */
export async function readMatches(
  selection: Selection,
  settings: TargetSettings,
  batchSize: number,
  reader: Tools['ledger']['reader'],
): Promise<Matches> {
  const lists: PageList[] = []
  const matched = { users: 0, grants: 0, faceValueMicrodollars: 0, rows: 0, pages: 0 }
  const outsiders: string[] = []
  const unseen = new Set(selection.userIds)
  let page: { userIds: string[]; rows: number } = { userIds: [], rows: 0 }

  const turnPage = (): void => {
    if (page.userIds.length > 0) lists.push({ page: lists.length, ...page, shown: null, bytes: null })
    page = { userIds: [], rows: 0 }
  }
  const take = (user: MatchingUser): void => {
    if (!isInternal(user.email, selection.domains)) outsiders.push(user.id)
    unseen.delete(user.id)
    if (page.userIds.length === batchSize || page.rows + user.rows > ROWS_A_PAGE) turnPage()
    page.userIds.push(user.id)
    page.rows += user.rows
    matched.users += 1
    matched.grants += user.grants
    matched.rows += user.rows
    matched.faceValueMicrodollars = Math.min(
      matched.faceValueMicrodollars + user.faceValueMicrodollars,
      MOST_MICRODOLLARS,
    )
  }

  await readMatchingUsers(reader, selection, settings, take)
  turnPage()
  refuseOutsiders(outsiders)
  refuseUnseen([...unseen])
  return { lists, matched: { ...matched, pages: lists.length } }
}

function refuseOutsiders(outsiders: readonly string[]): void {
  if (outsiders.length === 0) return
  throw new RunRefused(
    `The database and the e-mail rule disagree about ${outsiders.length} users, the first of them ${outsiders[0]}. Nothing was done. Look at the e-mail addresses of these users before anything else.`,
  )
}

function refuseUnseen(unseen: readonly string[]): void {
  if (unseen.length === 0) return
  const shown = unseen.slice(0, 5).join(', ')
  throw new RunRefused(
    `field "userIds": ${unseen.length} of them are not internal users of these domains: ${shown}${unseen.length > 5 ? ', …' : ''}. Nothing was done. Send the payload again without them, or with their ids corrected.`,
  )
}

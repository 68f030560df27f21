import { readCursor } from '../../archive/cursor.ts'
import { partKey } from '../../archive/keys.ts'
import { createPage, type Page, readPage } from '../../archive/pages.ts'
import type { Run } from '../../archive/runs.ts'
import { getVerified } from '../../archive/s3/objects.ts'
import type { Store } from '../../archive/s3/store.ts'
import { RunRefused } from '../../errors.ts'
import type { Sql } from '../../ledger/connection/connect.ts'
import { type MatchingUser, MOST_MICRODOLLARS, readMatchingUsers } from '../../ledger/matching.ts'
import type { Patience } from '../../ledger/connection/transaction.ts'
import { isInternal } from '../../rules/internal.ts'
import { readLoggedChanges } from './modes/rollback.ts'

/** About this many ledger rows a page, so that a page stays a page whatever its users have. */
const ROWS_A_PAGE = 4_000
const WRITES_AT_A_TIME = 8

type Matched = Run['matched']
const NOTHING_MATCHED: Matched = { users: 0, grants: 0, faceValueMicrodollars: 0, rows: 0, pages: 0 }

/**
 * Reads the matching users once and writes them to pages as they arrive: at most `batchSize` users and about
 * 4,000 ledger rows each; a user with more is a page alone.
 * @throws RunRefused when SQL returns a user that the e-mail rule does not match, or a named user does not
 * match;
 *   UnusableValue when a total could not be exact; LedgerUnavailable, ArchiveUnavailable
 */
export async function freezeMatches(
  { selection, settings }: Pick<Run, 'selection' | 'settings'>,
  sql: Sql,
  pages: PageSink,
  patience?: Patience,
): Promise<Matched> {
  const matched = { ...NOTHING_MATCHED }
  const outsiders: string[] = []
  const unmatched = new Set(selection.userIds)
  const excluded = new Set([...selection.exceptUserIds, ...settings.excludedIds])
  let page: { userIds: string[]; rows: number } = { userIds: [], rows: 0 }

  const turnPage = (): void => {
    if (page.userIds.length > 0) pages.write({ page: matched.pages++, userIds: page.userIds, source: null })
    page = { userIds: [], rows: 0 }
  }
  const take = (user: MatchingUser): void => {
    if (!isInternal(user.email, selection.domains)) outsiders.push(user.id)
    unmatched.delete(user.id)
    if (page.userIds.length === settings.batchSize || page.rows + user.rows > ROWS_A_PAGE) turnPage()
    page.userIds.push(user.id)
    page.rows += user.rows
    matched.users += 1
    matched.rows += user.rows
    // Nothing of an excluded user is targeted, so that excluding users is a way under a limit.
    if (excluded.has(user.id)) return
    matched.grants += user.grants
    matched.faceValueMicrodollars = faceValueOf(matched.faceValueMicrodollars, user.faceValueMicrodollars)
  }

  const targets = { ...settings, categories: selection.categories }
  await readMatchingUsers(sql, selection, targets, take, patience)
  turnPage()
  await pages.done()
  refuseOutsiders(outsiders)
  refuseUnmatched([...unmatched], selection.domains)
  return matched
}

/**
 * The pages of an approved dry run. What it showed is compared with what its writer recorded before the plan
 * is used up, and once more when a page is planned.
 * @throws ArchiveCorrupt naming the part that was edited, ArchiveUnavailable
 */
export async function freezePlan(dryRun: Run, store: Store, pages: PageSink): Promise<Matched> {
  const named = (await readCursor(store, dryRun.runId)).document.pages
  for (const { page, epoch, users } of named) {
    await getVerified(store, partKey(dryRun.runId, 'users', page, epoch), users)
    const { userIds } = await readPage(store, dryRun.runId, page)
    pages.write({ page, userIds, source: { page, epoch, ...users } })
  }
  await pages.done()
  return { ...dryRun.matched, pages: named.length }
}

/**
 * The pages of a run's mutation log, with the users that it wrote for; or those of them that are asked for.
 * @throws RunRefused when a user who is asked for is not among them; ArchiveCorrupt, ArchiveUnavailable
 */
export async function freezeRollback(
  target: Run,
  userIds: readonly string[] | null,
  store: Store,
  pages: PageSink,
): Promise<Matched> {
  const matched = { ...NOTHING_MATCHED }
  const asked = userIds && new Set(userIds)
  const unmatched = new Set(userIds)
  for (const named of (await readCursor(store, target.runId)).document.pages) {
    if (named.mutations.bytes === 0) continue
    const source = { page: named.page, epoch: named.epoch, ...named.mutations }
    const changes = await readLoggedChanges(store, target.runId, source)
    const chosen = [...changes.keys()].filter((userId) => !asked || asked.has(userId))
    if (chosen.length === 0) continue
    for (const userId of chosen) {
      unmatched.delete(userId)
      const change = changes.get(userId)
      matched.rows += (change?.grants.length ?? 0) + (change?.inserted.length ?? 0)
    }
    pages.write({ page: matched.pages++, userIds: chosen, source })
    matched.users += chosen.length
  }
  await pages.done()
  if (unmatched.size === 0) return matched
  throw new RunRefused(
    `field "userIds": run ${target.runId} wrote nothing for ${unmatched.size} of these users: ` +
      `${shown([...unmatched])}. Nothing was done. Send the payload again without them.`,
  )
}

/**
 * Takes pages as they arrive. `done` waits until all are stored.
 * @throws ArchiveUnavailable, ArchiveCorrupt
 */
export type PageSink = { readonly write: (page: Page) => void; readonly done: () => Promise<void> }

/** Stores pages while more of them arrive, a few at a time. */
export function storedPages(runId: string, store: Store): PageSink {
  const waiting: Page[] = []
  const atWork = new Set<Promise<void>>()
  let failed: { readonly cause: unknown } | null = null
  const work = async (): Promise<void> => {
    try {
      for (let page = waiting.shift(); page; page = waiting.shift()) await createPage(store, runId, page)
    } catch (cause) {
      failed ??= { cause }
    }
  }
  return {
    write(page: Page): void {
      waiting.push(page)
      if (atWork.size >= WRITES_AT_A_TIME) return
      const worker = work().finally(() => atWork.delete(worker))
      atWork.add(worker)
    },
    /** Waits for all writes. @throws ArchiveUnavailable, ArchiveCorrupt */
    async done(): Promise<void> {
      await Promise.all(atWork)
      if (failed) throw failed.cause
    },
  }
}

/**
 * A user with an amount that cannot be worked with exceeds every limit, and fails alone when it is planned.
 */
function faceValueOf(soFar: number, ofUser: number): number {
  return Math.max(soFar, ofUser) >= MOST_MICRODOLLARS ? MOST_MICRODOLLARS : exactSum(soFar, ofUser)
}

/** Totals are exact or refused. @throws RunRefused */
function exactSum(a: number, b: number): number {
  if (Number.isSafeInteger(a + b)) return a + b
  throw new RunRefused(
    'matched.faceValueMicrodollars would exceed 2^53 − 1 and could not be exact. Nothing was done. ' +
      'Narrow the run with "userIds", "exceptUserIds" or "categories", and check the amounts of the ' +
      'grants.',
  )
}

function refuseOutsiders(outsiders: readonly string[]): void {
  if (outsiders.length === 0) return
  throw new RunRefused(
    `The database and the e-mail rule disagree about ${outsiders.length} users; the first is ` +
      `${outsiders[0]}. Nothing was done. Check the e-mail addresses of these users.`,
  )
}

function refuseUnmatched(unmatched: readonly string[], domains: readonly string[]): void {
  if (unmatched.length === 0) return
  throw new RunRefused(
    `field "userIds": not internal users of ${domains.join(', ')}: ${shown(unmatched)}. ` +
      'Nothing was done. Send the payload again without them, or with their ids corrected.',
  )
}

function shown(ids: readonly string[]): string {
  return `${ids.slice(0, 5).join(', ')}${ids.length > 5 ? ', …' : ''}`
}

import * as z from 'zod'
import type { NamedPage } from '../../archive/cursor.ts'
import { parseDocument } from '../../archive/documents.ts'
import { partKey } from '../../archive/keys.ts'
import { type Page, readPage } from '../../archive/pages.ts'
import { getVerified } from '../../archive/s3/objects.ts'
import type { Store } from '../../archive/s3/store.ts'
import { type LoggedLine, loggedLine } from '../logged-line.ts'

const READS_AT_A_TIME = 8

/**
 * The page of a run that holds a user, or null. Pages hold users in the database's id order, so a bisection
 * by the text of the ids finds it where the database orders texts the same way; otherwise every page is
 * looked at. Log parts, which are many times larger than pages, are not read.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function findPage(
  store: Store,
  runId: string,
  pagesTotal: number,
  userId: string,
): Promise<number | null> {
  const seen = new Set<number>()
  let [low, high] = [0, pagesTotal - 1]
  while (low <= high) {
    const middle = Math.floor((low + high) / 2)
    const page = await readPage(store, runId, middle)
    if (page.userIds.includes(userId)) return middle
    seen.add(middle)
    if (isBefore(userId, page)) high = middle - 1
    else low = middle + 1
  }
  const others = Array.from({ length: pagesTotal }, (_, page) => page).filter((page) => !seen.has(page))
  for (let at = 0; at < others.length; at += READS_AT_A_TIME) {
    const some = others.slice(at, at + READS_AT_A_TIME)
    const pages = await Promise.all(some.map(async (page) => readPage(store, runId, page)))
    const found = pages.find(({ userIds }) => userIds.includes(userId))
    if (found) return found.page
  }
  return null
}

function isBefore(userId: string, { userIds }: Page): boolean {
  return userId < (userIds[0] ?? '')
}

/** The line of a user in a page's part of the users log. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function lineOf(
  store: Store,
  runId: string,
  named: NamedPage,
  userId: string,
): Promise<LoggedLine | null> {
  const key = partKey(runId, 'users', named.page, named.epoch)
  const { body } = await getVerified(store, key, named.users)
  // A line is parsed only where it may be the user's: a part has hundreds, each with all grants of its user.
  const text = `"user_id":${JSON.stringify(userId)}`
  for (const line of body.split('\n')) {
    if (!line.includes(text)) continue
    const parsed = parseDocument(loggedLine, key, line)
    if (parsed.user_id === userId) return parsed
  }
  return null
}

const errorSchema = z.object({
  user_id: z.string(),
  stage: z.string(),
  error: z.string(),
  message: z.string(),
})
export type LoggedError = z.infer<typeof errorSchema>

/** Why a user failed, from a page's part of the error log. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function errorOf(
  store: Store,
  runId: string,
  named: NamedPage,
  userId: string,
): Promise<LoggedError | null> {
  if (named.errors === null) return null
  const key = partKey(runId, 'errors', named.page, named.epoch)
  const { body } = await getVerified(store, key, named.errors)
  const lines = body.split('\n').filter((line) => line !== '')
  return (
    lines.map((line) => parseDocument(errorSchema, key, line)).find(({ user_id }) => user_id === userId) ??
    null
  )
}

/**
 * The users of a page's part whose e-mail address is this one, with ASCII letters folded.
 * @throws as lineOf
 */
export async function idsWithEmail(
  store: Store,
  runId: string,
  named: NamedPage,
  isSame: (email: string) => boolean,
): Promise<string[]> {
  const key = partKey(runId, 'users', named.page, named.epoch)
  const { body } = await getVerified(store, key, named.users)
  const found: string[] = []
  for (const line of body.split('\n')) {
    const email = EMAIL.exec(line)?.[1]
    if (email === undefined || !isSame(z.string().parse(JSON.parse(email)))) continue
    found.push(parseDocument(loggedLine, key, line).user_id)
  }
  return found
}

/** Keys come in the order in which the line was written, so the first one is the user's own. */
const EMAIL = /"email":("(?:[^"\\]|\\.)*")/

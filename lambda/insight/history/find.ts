import * as z from 'zod'
import { lastCard } from '../../archive/cards.ts'
import { type Cursor, findCursor, type NamedPage } from '../../archive/cursor.ts'
import { parseDocument } from '../../archive/documents.ts'
import { ArchiveCorrupt } from '../../archive/errors.ts'
import { partKey, runFileKey, modeOf } from '../../archive/keys.ts'
import { type Page, readPage } from '../../archive/pages.ts'
import { readRun, type Run } from '../../archive/runs.ts'
import { getVerified } from '../../archive/s3/objects.ts'
import type { Store } from '../../archive/s3/store.ts'
import { stateOf } from '../../archive/state.ts'
import { chunks, READS_AT_A_TIME } from '../chunks.ts'
import { type LoggedLine, loggedLine } from '../logged-line.ts'

/** What a run has about one user. */
export type FoundUser = {
  readonly run: Run
  /** The final status of the run, or `open`. */
  readonly status: string
  /** Null where the user's page has no outcome yet. */
  readonly line: LoggedLine | null
  readonly error: LoggedError | null
}

/**
 * Finds one user in a run; null where the run did not match the user.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export type FindIn = (runId: string) => Promise<FoundUser | null>

/**
 * Finds one user in one run after the other. A rollback is asked for twice, for itself and for the run that
 * it rolled back, and read once.
 */
export function finderOf(userId: string, store: Store): FindIn {
  const rollbacks = new Map<string, ReturnType<FindIn>>()
  const place: Place = { share: 0.5 }
  const find: FindIn = async (runId) => findUser(runId, userId, place, store)
  return async (runId) => {
    if (modeOf(runId) !== 'rollback') return find(runId)
    const finding = rollbacks.get(runId) ?? find(runId)
    rollbacks.set(runId, finding)
    return finding
  }
}

async function findUser(
  runId: string,
  userId: string,
  place: Place,
  store: Store,
): Promise<FoundUser | null> {
  const [run, found] = await Promise.all([readRun(store, runId), findCursor(store, runId)])
  if (!run) throw new Error(`${runFileKey(runId, 'run.json')} is missing`)
  if (run.matched.pages === 0) return null
  const cursor = found ? found.document : await cursorLost(run, store)
  if (cursor === null || cursor.state === 'prepared') return null
  // Of a run of one page, that page's part itself says whether the user is there.
  const isOnePage = cursor.pagesTotal === 1 && cursor.pages.length === 1
  const page = isOnePage ? 0 : await findPage(store, runId, cursor.pagesTotal, userId, place)
  if (page === null) return null
  const status = cursor.state === 'closed' ? (cursor.finalStatus?.status ?? 'closed') : 'open'
  const named = cursor.pages.find((one) => one.page === page)
  if (!named && status === 'open' && (await lastCard(store, runId))?.status === 'abandoned')
    throw wasAbandoned(runId)
  if (!named) return { run, status, line: null, error: null }
  const line = await lineOf(store, runId, named, userId)
  if (line === null && isOnePage) return null
  const error = line?.outcome === 'failed' ? await errorOf(store, runId, named, userId) : null
  return { run, status, line, error }
}

/**
 * Null for a run that was never opened: nothing was done.
 * @throws ArchiveCorrupt where the cursor was lost, also where the run was abandoned because of that
 */
async function cursorLost(run: Run, store: Store): Promise<Cursor | null> {
  const state = await stateOf(store, run)
  if (state.is === 'refused' && state.card.status === 'abandoned') throw wasAbandoned(run.runId)
  return 'cursor' in state ? state.cursor : null
}

function wasAbandoned(runId: string): ArchiveCorrupt {
  return new ArchiveCorrupt(
    `Run ${runId} was abandoned, and what it wrote for this user is not in its log. How to find it: ` +
      'docs/runbook.md, "Abandoned runs".',
  )
}

/**
 * Where the user was found last, as a share of a run's pages: runs one after the other have much the same
 * users, so this is mostly the page of the next run too.
 */
type Place = { share: number }

/**
 * The page of a run that holds a user, or null. Pages hold users in the database's id order, so a bisection
 * by the text of the ids finds it where the database orders texts the same way; otherwise every page is
 * looked at. Log parts, which are many times larger than pages, are not read.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
async function findPage(
  store: Store,
  runId: string,
  pagesTotal: number,
  userId: string,
  place: Place,
): Promise<number | null> {
  const seen = new Set<number>()
  let [low, high, next] = [0, pagesTotal - 1, Math.floor(place.share * pagesTotal)]
  while (low <= high) {
    const page = await readPage(store, runId, next)
    if (page.userIds.includes(userId)) {
      place.share = (next + 0.5) / pagesTotal
      return next
    }
    seen.add(next)
    if (isBefore(userId, page)) high = next - 1
    else low = next + 1
    next = Math.floor((low + high) / 2)
  }
  const others = Array.from({ length: pagesTotal }, (_, page) => page).filter((page) => !seen.has(page))
  for (const some of chunks(others, READS_AT_A_TIME)) {
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
async function lineOf(
  store: Store,
  runId: string,
  named: NamedPage,
  userId: string,
): Promise<LoggedLine | null> {
  const key = partKey(runId, 'users', named.page, named.epoch)
  const { bytes } = await getVerified(store, key, named.users)
  for (const line of linesWith(`"user_id":${JSON.stringify(userId)}`, bytes)) {
    const parsed = parseDocument(loggedLine, key, line)
    if (parsed.user_id === userId) return parsed
  }
  return null
}

const NEWLINE = 0x0a

/**
 * The lines that hold a text. Only these are decoded: a part has hundreds, each with all grants of its user.
 */
function* linesWith(text: string, bytes: Uint8Array): Generator<string> {
  const part = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = part.indexOf(text); at !== -1;) {
    const end = part.indexOf(NEWLINE, at)
    const line = part.subarray(part.lastIndexOf(NEWLINE, at) + 1, end === -1 ? part.length : end)
    yield line.toString()
    at = end === -1 ? -1 : part.indexOf(text, end)
  }
}

const errorSchema = z.object({
  user_id: z.string(),
  stage: z.string(),
  error: z.string(),
  message: z.string(),
})
export type LoggedError = z.infer<typeof errorSchema>

/** Why a user failed, from a page's part of the errors log. @throws ArchiveCorrupt, ArchiveUnavailable */
async function errorOf(
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

import * as z from 'zod'
import { type NamedPage, readCursor } from '../../archive/cursor.ts'
import { parseDocument } from '../../archive/documents.ts'
import { partKey } from '../../archive/keys.ts'
import { readPage } from '../../archive/pages.ts'
import { getVerified } from '../../archive/s3/objects.ts'
import { foldAscii } from '../../rules/internal.ts'
import type { Tools } from '../../run/tools.ts'
import { chunks, READS_AT_A_TIME } from '../chunks.ts'

/** What is left of the invocation for the story itself. */
const RESERVE_MS = 20_000

/** A page of a run that has an outcome; `userIds` are its users. */
type Place = { readonly runId: string; readonly named: NamedPage; readonly userIds: readonly string[] }

/**
 * The ids of the users who have an e-mail address in the logs of these runs (the newest first), from the
 * newest run that has it. Log parts are large, and mostly an address is the last one of a user who has gone:
 * so first each user is looked at once, in the newest run that has the user, and then every part.
 */
export async function findInLogs(email: string, runIds: readonly string[], tools: Tools): Promise<string[]> {
  const folded = foldAscii(email)
  const older: Place[] = []
  const seen = new Set<string>()
  for (const runs of chunks(runIds, READS_AT_A_TIME)) {
    const places = await Promise.all(runs.map(async (runId) => placesOf(runId, tools)))
    for (const ofRun of places) {
      const isNew = ({ userIds }: Place): boolean => userIds.some((id) => !seen.has(id))
      const found = await idsIn(ofRun.filter(isNew), folded, tools)
      if (found.length > 0) return found
      older.push(...ofRun.filter((place) => !isNew(place)))
      for (const { userIds } of ofRun) for (const id of userIds) seen.add(id)
    }
  }
  for (const ofRun of Map.groupBy(older, ({ runId }) => runId).values()) {
    const found = await idsIn(ofRun, folded, tools)
    if (found.length > 0) return found
  }
  return []
}

/** The pages of a run with their users. A run that cannot be read keeps no other away. */
async function placesOf(runId: string, tools: Tools): Promise<Place[]> {
  const { store } = tools
  if (tools.timeLeft() < RESERVE_MS) return []
  return orNothing(runId, tools, async () => {
    const { pages } = (await readCursor(store, runId)).document
    const places: Place[] = []
    for (const some of chunks(pages, READS_AT_A_TIME))
      places.push(
        ...(await Promise.all(
          some.map(async (named) => {
            const { userIds } = await readPage(store, runId, named.page)
            return { runId, named, userIds }
          }),
        )),
      )
    return places
  })
}

/** The users with this address in the parts of some pages, each once. */
async function idsIn(places: readonly Place[], folded: string, tools: Tools): Promise<string[]> {
  const ids = new Set<string>()
  for (const some of chunks(places, READS_AT_A_TIME)) {
    if (tools.timeLeft() < RESERVE_MS) break
    const found = await Promise.all(
      some.map(async (place) => orNothing(place.runId, tools, async () => idsInPart(place, folded, tools))),
    )
    for (const id of found.flat()) ids.add(id)
  }
  return [...ids]
}

/** @throws ArchiveCorrupt, ArchiveUnavailable */
async function idsInPart({ runId, named }: Place, folded: string, { store }: Tools): Promise<string[]> {
  const key = partKey(runId, 'users', named.page, named.epoch)
  const { body } = await getVerified(store, key, named.users)
  return body
    .split('\n')
    .filter((line) => foldAscii(emailOf(line) ?? '') === folded)
    .map((line) => parseDocument(ofUser, key, line).user_id)
}

const ofUser = z.object({ user_id: z.string() })

/** Keys come in the order in which the line was written, so the first one is the user's own. */
const EMAIL = /"email":("(?:[^"\\]|\\.)*")/

function emailOf(line: string): string | null {
  const text = EMAIL.exec(line)?.[1]
  return text === undefined ? null : z.string().parse(JSON.parse(text))
}

/** The story itself says what is wrong with a run. */
async function orNothing<T>(runId: string, { log }: Tools, read: () => Promise<T[]>): Promise<T[]> {
  try {
    return await read()
  } catch (error) {
    const cause = error instanceof Error ? error.message : 'unknown'
    log('a run could not be searched for the e-mail address', { runId, cause })
    return []
  }
}

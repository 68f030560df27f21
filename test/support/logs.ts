import { LOG_KINDS, partKey, runFileKey } from '../../lambda/archive/keys.ts'
import type { Cursor } from '../../lambda/archive/cursor.ts'
import { keys, readJson, readLines, type TestBucket } from './bucket.ts'

/** A line of a log, for a test to inspect. */
export type LogLine = Record<string, unknown>

/** The logs of a run: the lines of the parts that its cursor names, in the order of the pages. */
export type RunLogs = {
  readonly users: LogLine[]
  readonly mutations: LogLine[]
  readonly errors: LogLine[]
}

/** Reads the logs of a run, open or closed. */
export async function readLogs(bucket: TestBucket, runId: string): Promise<RunLogs> {
  const { pages } = await readStoredCursor(bucket, runId)
  const [users = [], mutations = [], errors = []] = await Promise.all(
    LOG_KINDS.map(async (kind) => {
      const named = pages.filter((page) => page[kind] !== null)
      const parts = await Promise.all(
        named.map(async ({ page, epoch }) => readLines(bucket, partKey(runId, kind, page, epoch))),
      )
      return parts.flat() as LogLine[]
    }),
  )
  return { users, mutations, errors }
}

/** The cursor of a run as it is stored. */
export async function readStoredCursor(bucket: TestBucket, runId: string): Promise<Cursor> {
  return (await readJson(bucket, runFileKey(runId, 'cursor.json'))) as Cursor
}

/** The attempts of a run, in order: the name of each, and the users that it was about. */
export async function readIntents(
  bucket: TestBucket,
  runId: string,
): Promise<{ attempt: string; userIds: unknown[] }[]> {
  const folder = `intents/${runId}/`
  return Promise.all(
    (await keys(bucket, folder)).map(async (key) => {
      const [, ...users] = (await readLines(bucket, key)) as LogLine[]
      return {
        attempt: key.slice(folder.length, -'.jsonl'.length),
        userIds: users.map((line) => line.user_id),
      }
    }),
  )
}

/** A JSON document, for a test to inspect. */
export async function readDocument(bucket: TestBucket, key: string): Promise<LogLine> {
  return (await readJson(bucket, key)) as LogLine
}

/** The id of the open writing run. */
export async function openRunId(bucket: TestBucket): Promise<string> {
  const { runId } = await readDocument(bucket, 'control/writer.json')
  if (typeof runId === 'string') return runId
  throw new Error('No writing run is open.')
}

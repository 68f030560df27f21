import { keys, readJson, readLines, type TestBucket } from './bucket.ts'

/** A line of a log, for a test to look into. */
export type LogLine = Record<string, unknown>

/** The whole logs of a closed run. */
export type WholeLogs = {
  readonly users: LogLine[]
  readonly mutations: LogLine[]
  readonly errors: LogLine[]
}

/** Reads the three whole logs of a closed run. Throws NoSuchKey for one that is not closed. */
export async function readLogs(bucket: TestBucket, runId: string): Promise<WholeLogs> {
  const [users = [], mutations = [], errors = []] = await Promise.all(
    ['users', 'mutations', 'errors'].map(
      async (kind) => (await readLines(bucket, `logs/${kind}/${runId}.jsonl`)) as LogLine[],
    ),
  )
  return { users, mutations, errors }
}

/** The attempts of a run, in order: what each intent says of itself, and whom it was about. */
export async function readIntents(
  bucket: TestBucket,
  runId: string,
): Promise<{ key: string; userIds: unknown[] }[]> {
  const intents = (await keys(bucket, `segments/${runId}/`)).filter((key) => key.endsWith('-intent.jsonl'))
  return Promise.all(
    intents.map(async (key) => {
      const lines = (await readLines(bucket, key)) as LogLine[]
      return {
        key: key.slice(`segments/${runId}/`.length),
        userIds: lines.filter((line) => 'row_ids' in line).map((line) => line.user_id),
      }
    }),
  )
}

/** A JSON document of a run, for a test to look into. */
export async function readDocument(bucket: TestBucket, key: string): Promise<LogLine> {
  return (await readJson(bucket, key)) as LogLine
}

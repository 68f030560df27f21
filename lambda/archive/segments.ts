import * as z from 'zod'
import { type Intended, type Intent, intentHeadSchema, intentUserSchema, parseDocument } from './documents.ts'
import { ArchiveCorrupt } from './errors.ts'
import { intentKey, LOG_KINDS, type LogKind, parseIntentKey, segmentKey, segmentPrefix } from './keys.ts'
import { create, get, list, type Store } from './store.ts'

export const JSONL_TYPE = 'application/x-ndjson'

/** JSON texts as lines of JSONL. As bytes, which are made once however often they are stored, and which no garbage collection has to move. */
export function toLines(texts: readonly string[]): Uint8Array {
  // Joined in one step: a line break appended afterwards would have the whole text copied once more.
  return Buffer.from([...texts, ''].join('\n'))
}

/**
 * Stores an attempt's records before anything of it is written to the database. Never rewritten. `signal` gives up
 * where a lock is held meanwhile.
 * @throws ArchiveCorrupt when another intent stands under that name, ArchiveUnavailable
 */
export async function putIntent(
  store: Store,
  runId: string,
  attempt: string,
  lines: readonly Uint8Array[],
  signal?: AbortSignal,
): Promise<void> {
  await createLines(store, intentKey(runId, attempt), lines, signal)
}

/**
 * Reads an attempt's records back.
 * @throws ArchiveCorrupt when it is missing, cut short or damaged, ArchiveUnavailable
 */
export async function readIntent(store: Store, runId: string, attempt: string): Promise<Intent> {
  const key = intentKey(runId, attempt)
  const stored = await get(store, key)
  if (!stored)
    throw new ArchiveCorrupt(`${key} is missing. Restore it from its versions in S3, then resume the run.`)
  const [head = '', ...lines] = stored.body.split('\n')
  const intent = parseDocument(intentHeadSchema, key, head)
  const planned = intendedUsers(
    key,
    lines.filter((line) => line !== ''),
  )
  if (intent.run_id !== runId || intent.attempt !== attempt) {
    throw new ArchiveCorrupt(
      `${key} is the intent of ${intent.attempt} of ${intent.run_id}. Restore it from its versions in S3, then resume the run.`,
    )
  }
  if (planned.length === intent.users) return { ...intent, planned }
  throw new ArchiveCorrupt(
    `${key} is cut short: it says ${intent.users} users and holds ${planned.length}. Restore it from its versions in S3, then resume the run.`,
  )
}

/** Lines that were cut off are missing, or are no JSON. */
function intendedUsers(key: string, lines: readonly string[]): Intended[] {
  const planned: Intended[] = []
  for (let at = 0; at < lines.length;) {
    const user = parseDocument(intentUserSchema, key, lines[at] ?? '')
    const mutations = lines.slice(at + 1, at + 1 + user.mutations)
    if (mutations.length < user.mutations) {
      throw new ArchiveCorrupt(
        `${key} is cut short: of ${user.user_id} it says ${user.mutations} mutations and holds ${mutations.length}. Restore it from its versions in S3, then resume the run.`,
      )
    }
    for (const mutation of mutations) parseDocument(z.looseObject({}), key, mutation)
    planned.push({ ...user, mutations })
    at += 1 + mutations.length
  }
  return planned
}

/** The lines of a page's outcome, by kind of log; each element holds whole lines. */
export type OutcomeLines = Readonly<Record<LogKind, readonly Uint8Array[]>>

/**
 * Stores a page's outcome: its user, mutation and (only where there are any) error lines. It counts only once
 * the cursor names the page and this epoch.
 * @throws ArchiveCorrupt when another outcome stands under that name, ArchiveUnavailable
 */
export async function putOutcome(
  store: Store,
  runId: string,
  page: number,
  epoch: number,
  outcome: OutcomeLines,
): Promise<void> {
  await Promise.all(
    LOG_KINDS.filter((kind) => kind !== 'errors' || outcome.errors.length > 0).map(async (kind) =>
      createLines(store, segmentKey(runId, page, epoch, kind), outcome[kind]),
    ),
  )
}

async function createLines(
  store: Store,
  key: string,
  lines: readonly Uint8Array[],
  signal?: AbortSignal,
): Promise<void> {
  if (await create(store, key, Buffer.concat(lines), JSONL_TYPE, signal)) return
  throw new ArchiveCorrupt(
    `${key} exists with other content, although only this attempt may write it. Nothing was overwritten.`,
  )
}

/** The attempts whose page the cursor does not name, as `[page, attempt]` in no particular order. @throws ArchiveUnavailable */
export async function* openAttempts(
  store: Store,
  runId: string,
  isFinished: (page: number) => boolean,
): AsyncGenerator<{ page: number; attempt: string }> {
  for await (const { key } of list(store, segmentPrefix(runId))) {
    const intent = parseIntentKey(key)
    if (intent && !isFinished(intent.page)) yield intent
  }
}

import * as z from 'zod'
import { JSONL_TYPE, parseDocument } from './documents.ts'
import { ArchiveCorrupt, ifLost } from './errors.ts'
import { attemptOfKey, intentKey, intentPrefix } from './keys.ts'
import { list } from './s3/list.ts'
import { create, get } from './s3/objects.ts'
import type { Store } from './s3/store.ts'

/** What is known of an attempt beside its users. */
const headSchema = z.object({
  run_id: z.string(),
  attempt: z.string(),
  page: z.int(),
  epoch: z.int(),
  lease_expires_at: z.string(),
  software_version: z.string(),
  users: z.int(),
  /** SHA-256 of the log lines planned from the inputs, so that another version's rules are noticed. */
  digest: z.string(),
})
const userSchema = z.object({ user_id: z.string(), inputs: z.unknown() })

export type IntentHead = z.infer<typeof headSchema>
/** One user of an intent, with what planning was given. */
export type IntentUser = z.infer<typeof userSchema>
/** An attempt's record: the plan is a function of it, so settling plans again. */
export type Intent = { readonly head: IntentHead; readonly users: readonly IntentUser[] }

/**
 * Stores an attempt's record before anything of it is written to the database. Never rewritten. `signal` ends
 * the request where a row lock is held meanwhile.
 * @throws ArchiveCorrupt when the attempt has another record already, ArchiveUnavailable
 */
export async function createIntent(store: Store, intent: Intent, signal?: AbortSignal): Promise<void> {
  const { head, users } = intent
  const key = intentKey(head.run_id, head.attempt)
  const body = [JSON.stringify(head), ...users.map((user) => JSON.stringify(user)), ''].join('\n')
  if (await create(store, key, body, JSONL_TYPE, signal)) return
  throw new ArchiveCorrupt(`${key} exists already with other content. Nothing was overwritten or committed.`)
}

/** The attempts of a run, or of one of its pages, that have a record. @throws ArchiveUnavailable */
export async function listAttempts(store: Store, runId: string, page: number | null): Promise<string[]> {
  const attempts: string[] = []
  for await (const { key } of list(store, intentPrefix(runId, page))) {
    const attempt = attemptOfKey(key)
    if (attempt !== null) attempts.push(attempt)
  }
  return attempts
}

/**
 * Reads an attempt's record.
 * @throws ArchiveCorrupt when it is missing, incomplete or damaged, ArchiveUnavailable
 */
export async function readIntent(store: Store, runId: string, attempt: string): Promise<Intent> {
  const key = intentKey(runId, attempt)
  const restore = `Restore it from its versions in S3, then resume the run.${ifLost(key)}`
  const stored = await get(store, key)
  if (!stored) throw new ArchiveCorrupt(`${key} is missing. ${restore}`)
  const [first = '', ...rest] = stored.body.split('\n').filter((line) => line !== '')
  const head = parseDocument(headSchema, key, first)
  const users = rest.map((line) => parseDocument(userSchema, key, line))
  if (head.run_id !== runId || head.attempt !== attempt)
    throw new ArchiveCorrupt(`${key} is the intent ${head.attempt} of run ${head.run_id}. ${restore}`)
  if (users.length !== head.users)
    throw new ArchiveCorrupt(`${key} is incomplete: ${users.length} of ${head.users} users. ${restore}`)
  return { head, users }
}

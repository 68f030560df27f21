import { type Cancel, cancelSchema, markSchema, parseDocument, serialize } from './documents.ts'
import { cancelKey, parseRunKey, planKey, requestKey } from './keys.ts'
import { PREFIXES } from '../constants.ts'
import { create, get, list, type Store } from './store.ts'

/** What a mark is about: a request key, or an approved dry run. */
export type MarkKind = 'request' | 'plan'

function markKey(kind: MarkKind, name: string): string {
  return kind === 'request' ? requestKey(name) : planKey(name)
}

/** Which run a request key or a plan belongs to; null when to none yet. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function readMark(store: Store, kind: MarkKind, name: string): Promise<string | null> {
  const key = markKey(kind, name)
  const stored = await get(store, key)
  return stored && parseDocument(markSchema, key, stored.body).runId
}

/** Lets a request key or a plan belong to a run, for ever; returns the run that it belongs to. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function mark(store: Store, kind: MarkKind, name: string, runId: string): Promise<string> {
  if (await create(store, markKey(kind, name), serialize({ runId }), 'application/json')) return runId
  return (await readMark(store, kind, name)) ?? runId
}

/** Asks whoever is at work on a run to stop. The first who asked stays on record. @throws ArchiveUnavailable */
export async function askToCancel(store: Store, cancel: Cancel): Promise<void> {
  await create(store, cancelKey(cancel.runId), serialize(cancel), 'application/json')
}

/** Who asked for a run to stop, or null. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function readCancel(store: Store, runId: string): Promise<Cancel | null> {
  const key = cancelKey(runId)
  const stored = await get(store, key)
  return stored && parseDocument(cancelSchema, key, stored.body)
}

/** The ids of all runs of the bucket, oldest first. @throws ArchiveUnavailable */
export async function* listRunIds(store: Store): AsyncGenerator<string> {
  for await (const { key } of list(store, PREFIXES.runs)) {
    const runId = parseRunKey(key)
    if (runId !== null) yield runId
  }
}

import { PREFIXES } from '../constants.ts'
import { runFileKey } from './keys.ts'
import { list } from './s3/list.ts'
import { create, get, replaceIfMatch } from './s3/objects.ts'
import type { Store } from './s3/store.ts'

const HTML_TYPE = 'text/html; charset=utf-8'

/**
 * Stores a run's report, in place of an earlier one, and returns its key.
 * @throws ArchiveUnavailable, ArchiveCorrupt
 */
export async function storeReport(store: Store, runId: string, html: string): Promise<string> {
  const key = runFileKey(runId, 'report.html')
  for (;;) {
    if (await create(store, key, html, HTML_TYPE)) return key
    const there = await get(store, key)
    if (there && (await replaceIfMatch(store, key, html, HTML_TYPE, there.etag))) return key
  }
}

/** The keys of the reports of all runs that have one, by run id. @throws ArchiveUnavailable */
export async function listReports(store: Store): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  for await (const { key } of list(store, PREFIXES.runs)) {
    const runId = key.slice(PREFIXES.runs.length).split('/')[0] ?? ''
    if (key === runFileKey(runId, 'report.html')) found.set(runId, key)
  }
  return found
}

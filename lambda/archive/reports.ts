import { runFileKey } from './keys.ts'
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

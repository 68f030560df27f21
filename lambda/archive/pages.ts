import * as z from 'zod'
import { JSON_TYPE, parseDocument, serializeCompactly } from './documents.ts'
import { ArchiveCorrupt, ifLost } from './errors.ts'
import { pageKey } from './keys.ts'
import { create, get } from './s3/objects.ts'
import type { Store } from './s3/store.ts'

export const pageSchema = z.object({
  page: z.int(),
  userIds: z.array(z.string()).min(1),
  /**
   * Of a plan-bound execute or a rollback: the part of the log that it follows, as its run's cursor recorded
   * it.
   */
  source: z.object({ page: z.int(), epoch: z.int(), bytes: z.int(), sha256: z.string() }).nullable(),
})
/** The frozen users of one page. */
export type Page = z.infer<typeof pageSchema>
export type PageSource = NonNullable<Page['source']>

/** Stores the frozen users of one page. @throws ArchiveUnavailable */
export async function createPage(store: Store, runId: string, page: Page): Promise<void> {
  const key = pageKey(runId, page.page)
  if (await create(store, key, serializeCompactly(page), JSON_TYPE)) return
  throw new ArchiveCorrupt(`${key} exists already with other users. Nothing was overwritten.`)
}

/**
 * Reads the frozen users of one page.
 * @throws ArchiveCorrupt when it is missing or damaged, ArchiveUnavailable
 */
export async function readPage(store: Store, runId: string, page: number): Promise<Page> {
  const key = pageKey(runId, page)
  const restore = `Restore it from its versions in S3, then resume the run.${ifLost(key)}`
  const stored = await get(store, key)
  if (!stored) throw new ArchiveCorrupt(`${key} is missing. ${restore}`)
  const found = parseDocument(pageSchema, key, stored.body)
  if (found.page === page) return found
  throw new ArchiveCorrupt(`${key} holds page ${found.page}, not page ${page}. ${restore}`)
}

import { manifestSchema } from '../../archive/cards.ts'
import { readWriter } from '../../archive/control.ts'
import { runFileKey, WRITER_KEY } from '../../archive/keys.ts'
import { sha256Of, type Store } from '../../archive/store.ts'
import { type Findings, report, type Value } from './differences.ts'
import { filesOfStore } from './files.ts'

/**
 * Follows the chain of writing runs from the last closed one to the first: each manifest names the one before it, with
 * its SHA-256. A manifest that is missing or was replaced ends the chain and is named. Returns the runs that it holds,
 * the newest first.
 * @throws ArchiveCorrupt for writer.json, ArchiveUnavailable
 */
export async function followChain(store: Store, findings: Findings): Promise<string[]> {
  const files = filesOfStore(store)
  const runs: string[] = []
  let link = (await readWriter(store))?.document.lastClosed ?? null
  let namedBy = WRITER_KEY
  while (link) {
    const key = runFileKey(link.runId, 'manifest.json')
    const bytes = await files.read(key)
    const differs = (column: string, expected: Value, found: Value): void =>
      report(findings, {
        step: 'chain',
        userId: null,
        where: key,
        row: null,
        column: `${column}, named by ${namedBy}`,
        expected,
        found,
        explainedBy: null,
      })
    if (bytes === null) {
      differs('object', 'present', null)
      return runs
    }
    const found = sha256Of(bytes)
    if (found !== link.manifestSha256) {
      differs('sha256', link.manifestSha256, found)
      return runs
    }
    runs.push(link.runId)
    namedBy = key
    link = manifestSchema.parse(JSON.parse(Buffer.from(bytes).toString())).previous
  }
  return runs
}

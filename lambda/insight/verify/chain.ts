import { type Manifest, manifestSchema } from '../../archive/cards.ts'
import { type ClosedRun, readWriter } from '../../archive/control.ts'
import { runFileKey, WRITER_KEY } from '../../archive/keys.ts'
import { sha256Of } from '../../archive/s3/objects.ts'
import type { Store } from '../../archive/s3/store.ts'
import { type Findings, report, type Value } from './differences.ts'
import { filesOfStore, type RunFiles } from './files.ts'

/**
 * Follows the chain of writing runs from the last closed one to the first: each manifest names the one before
 * it, with its SHA-256. A manifest that is missing or was replaced ends the chain and is named. Returns the
 * runs that it holds, the newest first.
 * @throws ArchiveCorrupt for writer.json, ArchiveUnavailable
 */
export async function followChain(store: Store, findings: Findings): Promise<string[]> {
  const files = filesOfStore(store)
  const runs: string[] = []
  let link = (await readWriter(store))?.document.lastClosed ?? null
  let namedBy = WRITER_KEY
  while (link) {
    const manifest = await readLinked(files, link, namedBy, findings)
    if (!manifest) return runs
    runs.push(link.runId)
    namedBy = runFileKey(link.runId, 'manifest.json')
    link = manifest.previous
  }
  return runs
}

/**
 * The manifest that a link of the chain names, compared with it; null, with a difference, where it is another
 * one.
 */
export async function readLinked(
  files: RunFiles,
  link: ClosedRun,
  namedBy: string,
  findings: Findings,
): Promise<Manifest | null> {
  const where = runFileKey(link.runId, 'manifest.json')
  const bytes = await files.read(where)
  const found = bytes && sha256Of(bytes)
  if (bytes && found === link.manifestSha256)
    return manifestSchema.parse(JSON.parse(Buffer.from(bytes).toString()))
  const [column, expected]: [string, Value] = bytes ? ['sha256', link.manifestSha256] : ['object', 'present']
  report(findings, {
    step: 'chain',
    userId: null,
    where,
    row: null,
    column: `${column}, named by ${namedBy}`,
    expected,
    found,
    explainedBy: null,
  })
  return null
}

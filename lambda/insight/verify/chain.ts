import { manifestSchema } from '../../archive/cards.ts'
import { type ClosedRun, readWriter } from '../../archive/control.ts'
import { runFileKey, WRITER_KEY } from '../../archive/keys.ts'
import { sha256Of } from '../../archive/s3/objects.ts'
import type { Store } from '../../archive/s3/store.ts'
import { type Findings, addDifference, type Value } from './differences.ts'
import type { RunFiles } from './files.ts'
import type { ReadManifest, SignatureCheck } from './signatures.ts'

/**
 * Follows the chain of writing runs from the last closed one to the first: each manifest names the one before
 * it, with its SHA-256. A manifest that is missing or was replaced ends the chain and is named; signatures
 * are checked on the way, where there is a public key. Returns the runs that it holds, the newest first, and
 * whether it ended at the first run.
 * @throws ArchiveCorrupt for writer.json, ArchiveUnavailable
 */
export async function followChain(
  store: Store,
  files: RunFiles,
  signatures: SignatureCheck | null,
  findings: Findings,
): Promise<{ readonly runs: readonly string[]; readonly whole: boolean }> {
  const runs: string[] = []
  let link = (await readWriter(store))?.document.lastClosed ?? null
  let namedBy = WRITER_KEY
  while (link) {
    const read = await readLinked(files, link, namedBy, findings)
    if (!read) return { runs, whole: false }
    await signatures?.check(read, findings)
    runs.push(link.runId)
    namedBy = runFileKey(link.runId, 'manifest.json')
    link = read.manifest.previous
  }
  return { runs, whole: true }
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
): Promise<ReadManifest | null> {
  const where = runFileKey(link.runId, 'manifest.json')
  const bytes = await files.read(where)
  const found = bytes && sha256Of(bytes)
  if (bytes && found === link.manifestSha256)
    return { bytes, manifest: manifestSchema.parse(JSON.parse(Buffer.from(bytes).toString())) }
  const [column, expected]: [string, Value] = bytes ? ['sha256', link.manifestSha256] : ['object', 'present']
  addDifference(findings, {
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

import type * as z from 'zod'
import { type Manifest, type ManifestFile, manifestSchema } from '../../archive/cards.ts'
import { runFileKey } from '../../archive/keys.ts'
import { type Run, runSchema } from '../../archive/runs.ts'
import { sha256Of } from '../../archive/s3/objects.ts'
import { type ExitCard, exitCardSchema } from '../../exit-card.ts'
import { type Difference, type Findings, addDifference, type Value } from './differences.ts'
import type { RunFiles } from './files.ts'
import type { ReadManifest } from './signatures.ts'

/** The documents of a closed run, with the texts that were read. */
export type ClosedRunDocuments = {
  readonly run: Run
  readonly manifest: Manifest
  readonly card: ExitCard | null
}

/**
 * Reads what a closed run's logs are compared with; what is missing or damaged is a difference.
 * Null where there is too little to compare anything with.
 */
export async function readClosedRun(
  files: RunFiles,
  runId: string,
  findings: Findings,
): Promise<ClosedRunDocuments | null> {
  const run = await readDocument(files, runFileKey(runId, 'run.json'), runSchema, findings)
  const manifest = (await readManifestWithBytes(files, runId, findings))?.manifest ?? null
  const card = await readDocument(files, runFileKey(runId, 'summary.json'), exitCardSchema, findings)
  if (!run || !manifest) return null
  for (const file of manifest.files.filter(({ key }) => !key.startsWith('logs/')))
    checkHash(file, await files.read(file.key), findings)
  return { run, manifest, card }
}

/** A run's manifest with the bytes that were read; null, with a difference, where it is missing or damaged. */
export async function readManifestWithBytes(
  files: RunFiles,
  runId: string,
  findings: Findings,
): Promise<ReadManifest | null> {
  const key = runFileKey(runId, 'manifest.json')
  const bytes = await files.read(key)
  const manifest = parsed(bytes, key, manifestSchema, findings)
  return bytes && manifest && { bytes, manifest }
}

/** A document of a run; null, with a difference, where it is missing or damaged. */
export async function readDocument<T>(
  files: RunFiles,
  key: string,
  schema: z.ZodType<T>,
  findings: Findings,
): Promise<T | null> {
  return parsed(await files.read(key), key, schema, findings)
}

function parsed<T>(
  bytes: Uint8Array | null,
  key: string,
  schema: z.ZodType<T>,
  findings: Findings,
): T | null {
  if (bytes === null) {
    addDifference(findings, ofObject(key, 'object', 'present', null))
    return null
  }
  try {
    return schema.parse(JSON.parse(Buffer.from(bytes).toString()))
  } catch {
    addDifference(findings, ofObject(key, 'form', 'readable', 'damaged'))
    return null
  }
}

/** A difference in an object of the bucket. */
export function ofObject(where: string, column: string, expected: Value, found: Value): Difference {
  return { step: 'logs', userId: null, where, row: null, column, expected, found, explainedBy: null }
}

/** Compares an object with what the manifest says of it. */
export function checkHash({ key, sha256 }: ManifestFile, bytes: Uint8Array | null, findings: Findings): void {
  if (bytes === null) return addDifference(findings, ofObject(key, 'object', 'present', null))
  const found = sha256Of(bytes)
  if (found !== sha256) addDifference(findings, ofObject(key, 'sha256', sha256, found))
}

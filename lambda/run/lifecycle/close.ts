import {
  cardToStore,
  createManifest,
  createRunLine,
  createSignature,
  type Manifest,
  type ManifestFile,
  manifestText,
  readManifest,
  storeCard,
} from '../../archive/cards.ts'
import { readWriter, recordRollback, swapWriter } from '../../archive/control.ts'
import type { Cursor } from '../../archive/cursor.ts'
import { ArchiveCorrupt } from '../../archive/errors.ts'
import { LOG_KINDS, partKey, runFileKey } from '../../archive/keys.ts'
import { checkPartSizes } from '../../archive/logs.ts'
import { isWriting, type Run } from '../../archive/runs.ts'
import { get, sha256Of } from '../../archive/s3/objects.ts'
import { type ExitCard, isComplete } from '../../exit-card.ts'
import { SigningFailed } from '../../signing/errors.ts'
import { cardOf } from '../lines/card/card.ts'
import { runLine } from '../lines/run-line.ts'
import type { Tools } from '../tools.ts'
import type { Holder } from './lease.ts'
import { markRun } from './marks.ts'
import { newSinceEarlier } from './since.ts'

/**
 * Closes a run whose pages have their outcome: part sizes compared with S3; then card, manifest and its
 * signature, cursor, and, for a writing run, writer.json last. The card comes before the manifest, which names
 * its hash. The same few requests whatever the size of the run (a dry run is compared with earlier ones, as
 * far as the time allows), and each can be done again, so a closing that was interrupted is simply repeated.
 * @throws ArchiveCorrupt, ArchiveUnavailable, LeaseLost
 */
export async function closeRun(holder: Holder, tools: Tools): Promise<ExitCard> {
  const { run } = holder
  const cursor = holder.cursor()
  const finalStatus = cursor.finalStatus
  if (cursor.state !== 'closing' || finalStatus === null)
    throw new Error(`Run ${run.runId} has no final status.`)
  await checkPartSizes(tools.store, run.runId, cursor.pages)

  const place = { bucket: tools.config.bucket, region: tools.region }
  const shown = cardOf(run, cursor, finalStatus, place, tools.now())
  const complete = await withNewSince(shown, run, cursor, tools)
  const manifestOf = await manifestsOf(run, cursor, tools)
  const { signed, warnings } = await signManifest(run, complete, manifestOf, tools)
  const warned = { ...complete, warnings: [...complete.warnings, ...warnings] }
  const { card, body } = await storeCard(tools.store, warned)
  const manifest = await createManifest(tools.store, run.runId, manifestOf(body))
  // Another holder's card may have been stored meanwhile: its manifest is not the one that was signed.
  if (signed?.manifest === manifest) await createSignature(tools.store, run.runId, signed.signature)
  await createRunLine(tools.store, run.runId, runLine(run, card))
  await recordRolledBack(run, cursor, tools)
  await holder.update((before) => ({ ...before, state: 'closed', lease: null }))
  // Before the writer is freed: after a crash here, the next invocation finds a closed run.
  tools.onClosed(card)
  await freeWriter(run, manifest, tools)
  return card
}

/** A complete dry run's card says what is new in it. */
async function withNewSince(card: ExitCard, run: Run, cursor: Cursor, tools: Tools): Promise<ExitCard> {
  if (run.mode !== 'dry-run' || !isComplete(card.status)) return card
  const { warnings, ...since } = await newSinceEarlier(run, cursor, tools)
  return { ...card, ...since, warnings: [...card.warnings, ...warnings] }
}

/** The run that a rollback has rolled back, for some users at least, says so from then on. */
export async function recordRolledBack(
  { runId, mode, instant, asked, selection }: Run,
  { totals }: Cursor,
  { store }: Tools,
): Promise<void> {
  if (mode !== 'rollback' || selection.rollback === null || totals.usersProcessed === 0) return
  const users = totals.usersProcessed
  await recordRollback(store, {
    runId: selection.rollback,
    rollbackRunId: runId,
    by: asked.by,
    at: instant,
    users,
  })
}

type Signed = { readonly manifest: string; readonly signature: Uint8Array }

/**
 * Signs the manifest of a writing run before anything of its closing is stored: where that fails, the card
 * says so. It does not keep the run open: nothing would be safer for it, no other run could begin, and the
 * next signed manifest names this one's hash.
 */
async function signManifest(
  run: Run,
  card: ExitCard,
  manifestOf: (summary: string) => string,
  { store, signer, log }: Tools,
): Promise<{ readonly signed: Signed | null; readonly warnings: readonly string[] }> {
  if (signer === null || !isWriting(run.mode)) return { signed: null, warnings: [] }
  const manifest = manifestOf((await cardToStore(store, card)).body)
  try {
    return { signed: { manifest, signature: await signer.sign(manifest) }, warnings: [] }
  } catch (error) {
    if (!(error instanceof SigningFailed)) throw error
    log('the manifest is not signed', { runId: run.runId, why: error.message })
    return { signed: null, warnings: [`the manifest of this run is not signed: ${error.message}`] }
  }
}

/**
 * The manifest by the text of the run's card: the parts with the hashes that the cursor has from their
 * writers, and the run's other files.
 */
async function manifestsOf(run: Run, cursor: Cursor, tools: Tools): Promise<(summary: string) => string> {
  const runKey = runFileKey(run.runId, 'run.json')
  const stored = await get(tools.store, runKey)
  if (!stored) throw new ArchiveCorrupt(`${runKey} is missing. Restore it in S3, then resume the run.`)
  const parts = cursor.pages.flatMap((named): ManifestFile[] =>
    LOG_KINDS.flatMap((kind) => {
      const part = named[kind]
      return part ? [{ key: partKey(run.runId, kind, named.page, named.epoch), ...part }] : []
    }),
  )
  const files = [...parts, fileOf(runKey, stored.body)]
  const previous: Manifest['previous'] = isWriting(run.mode)
    ? ((await readWriter(tools.store))?.document.lastClosed ?? null)
    : null
  return (summary) =>
    manifestText({
      runId: run.runId,
      softwareVersion: run.softwareVersion,
      files: [...files, fileOf(runFileKey(run.runId, 'summary.json'), summary)],
      previous,
    })
}

function fileOf(key: string, body: string): ManifestFile {
  return { key, bytes: Buffer.byteLength(body), sha256: sha256Of(body) }
}

/**
 * Frees writer.json if it still names this run, which is closed. The run's marks are written before, once
 * more: the invocation that wrote them first may have been cut off.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function freeWriter(run: Run, manifest: string | null, tools: Tools): Promise<void> {
  if (!isWriting(run.mode)) return
  const writer = await readWriter(tools.store)
  if (writer?.document.runId !== run.runId) return
  await markRun(run, tools)
  const body = manifest ?? (await readManifest(tools.store, run.runId))?.body ?? null
  const lastClosed =
    body === null ? writer.document.lastClosed : { runId: run.runId, manifestSha256: sha256Of(body) }
  await swapWriter(tools.store, writer, { runId: null, lastClosed })
}

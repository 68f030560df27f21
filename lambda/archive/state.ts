import type { Mode } from '../constants.ts'
import { type ExitCard, isFinal } from '../exit-card.ts'
import { lastCard } from './cards.ts'
import { readMark, readWriter } from './control.ts'
import { type Cursor, findCursor, readCursor, unnamedPages, type VersionedCursor } from './cursor.ts'
import { ArchiveCorrupt, ifLost } from './errors.ts'
import { intentPrefix, logFolder, pageAndEpochOf, runFileKey, WRITER_KEY } from './keys.ts'
import { type Asked, isWriting, type Run } from './runs.ts'
import { list } from './s3/list.ts'
import type { Store } from './s3/store.ts'

/**
 * The state of a run: open; closed, with its card (null where it was deleted or damaged); refused at its opening;
 * or prepared and never opened, with nothing written.
 */
export type RunState =
  | { readonly is: 'open'; readonly cursor: Cursor }
  | { readonly is: 'never_opened'; readonly cursor: Cursor | null }
  | { readonly is: 'closed'; readonly cursor: Cursor; readonly card: ExitCard | null }
  | { readonly is: 'refused'; readonly card: ExitCard }

type KnownRun = {
  readonly runId: string
  readonly mode: Mode
  readonly asked: Pick<Asked, 'requestKey'>
}

/** Objects of a run contradict each other; the text says which one to restore. */
type Contradiction = { readonly is: 'contradiction'; readonly text: string }

/**
 * Finds out the state of a run. The cursor's state decides; a writing run is worked on only while writer.json
 * names it, and a dry run with a request key only once the mark of that key names it.
 * @throws ArchiveCorrupt when a run that was opened has no cursor, or an object is older than another one;
 *   ArchiveUnavailable
 */
export async function stateOf(store: Store, run: KnownRun): Promise<RunState> {
  // Several objects are read one after the other, and an invocation may write them meanwhile: where they
  // contradict each other, all are read again.
  const first = await lookUp(store, run)
  const found = first.is === 'contradiction' ? await lookUp(store, run) : first
  if (found.is === 'contradiction') throw new ArchiveCorrupt(found.text)
  return found
}

async function lookUp(store: Store, run: KnownRun): Promise<RunState | Contradiction> {
  const { runId, mode } = run
  // The card first: of a run that was abandoned, other objects cannot be read; and a cursor that is read after
  // a final card is `closing` at least.
  const { card, damaged } = await lastCardOrDamage(store, runId)
  if (card?.status === 'refused' || card?.status === 'abandoned') return { is: 'refused', card }
  const writer = isWriting(mode) ? ((await readWriter(store))?.document ?? null) : null
  const cursor = (await findCursor(store, runId))?.document ?? null
  const finalCard = finalOf(card)
  if (cursor?.state === 'closed')
    return {
      is: 'closed',
      cursor,
      card: finalCard ?? (damaged ? null : finalOf(await lastCard(store, runId))),
    }
  if (damaged) throw damaged
  if (finalCard && (cursor?.state === 'prepared' || cursor?.state === 'open'))
    return olderCursor(runId, cursor, `its last card says ${finalCard.status}`)
  if (!isWriting(mode) && cursor && cursor.state !== 'prepared') return { is: 'open', cursor }

  const isNamed = isWriting(mode) ? writer?.runId === runId : await isMarked(store, run)
  if (cursor === null) {
    // A run that is named, has a card or an intent was prepared to the end: its cursor must be there.
    if (card || isNamed || (await firstIntent(store, run)) !== null) await readCursor(store, runId)
    return { is: 'never_opened', cursor: null }
  }
  if (isNamed) return { is: 'open', cursor }
  if (cursor.state !== 'prepared')
    return writer?.lastClosed?.runId === runId
      ? olderCursor(runId, cursor, `${WRITER_KEY} says that the run was closed`)
      : olderWriter(runId)
  const intent = await firstIntent(store, run)
  return intent === null
    ? { is: 'never_opened', cursor }
    : olderCursor(runId, cursor, `${intent} was written after it`)
}

/** Of a closed run the cursor has all figures, so that a damaged card is like a deleted one. */
async function lastCardOrDamage(
  store: Store,
  runId: string,
): Promise<{ readonly card: ExitCard | null; readonly damaged: ArchiveCorrupt | null }> {
  try {
    return { card: await lastCard(store, runId), damaged: null }
  } catch (error) {
    if (error instanceof ArchiveCorrupt) return { card: null, damaged: error }
    throw error
  }
}

function finalOf(card: ExitCard | null): ExitCard | null {
  return card && isFinal(card.status) ? card : null
}

/** Of two deliveries of a dry run's request key, the mark of the key says which one is the run. */
async function isMarked(store: Store, { runId, asked }: KnownRun): Promise<boolean> {
  if (asked.requestKey === null) return false
  return (await readMark(store, 'dry-run-request', asked.requestKey)) === runId
}

async function firstIntent(store: Store, { runId, mode }: KnownRun): Promise<string | null> {
  if (!isWriting(mode)) return null
  for await (const { key } of list(store, intentPrefix(runId, null))) return key
  return null
}

function olderWriter(runId: string): Contradiction {
  return {
    is: 'contradiction',
    text:
      `The cursor of run ${runId} is open, but ${WRITER_KEY} does not name the run: probably an older ` +
      'version of it was restored. The run may have written to the ledger. Nothing was done. Restore ' +
      `the version of ${WRITER_KEY} that names ${runId} (if there is none, copy the present one and set ` +
      `its runId), then send {"resume": "${runId}"}. If the run was closed before, restore the latest ` +
      `version of ${runFileKey(runId, 'cursor.json')} instead.`,
  }
}

function olderCursor(runId: string, { pages, pagesTotal }: Cursor, why: string): Contradiction {
  const key = runFileKey(runId, 'cursor.json')
  return {
    is: 'contradiction',
    text:
      `${key} is an older version: it names ${pages.length} of ${pagesTotal} pages, and ${why}. ` +
      'Nothing was done. Restore its latest version in S3, the one that names the most pages, then ' +
      `send {"resume": "${runId}"}.${ifLost(key)}`,
  }
}

/**
 * Refuses to continue from an older version of a run's cursor: what was committed for pages that only a later
 * version names would be in no log. Intents and log parts tell: one of a later epoch, or of a page that this
 * cursor neither names nor can have begun, was written after it. Where only pages that it may have begun are
 * missing, settling their intents finds everything, and nothing is refused.
 * @throws ArchiveCorrupt, ArchiveUnavailable
 */
export async function refuseOlderCursor(
  store: Store,
  { runId, mode, settings }: Pick<Run, 'runId' | 'mode' | 'settings'>,
  read: VersionedCursor,
): Promise<void> {
  const cursor = read.document
  const begun = [...unnamedPages(cursor)].slice(0, settings.concurrency)
  const known = new Set([...cursor.pages.map(({ page }) => page), ...begun])
  const prefixes = isWriting(mode) ? [intentPrefix(runId, null)] : []
  for (const prefix of [...prefixes, logFolder(runId, 'users')]) {
    for await (const { key, bytes } of list(store, prefix)) {
      const of = pageAndEpochOf(key)
      if (of === null || bytes === 0 || (known.has(of.page) && of.epoch <= cursor.epoch)) continue
      // A holder may have written this and the cursor since the cursor was read.
      if ((await readCursor(store, runId)).etag !== read.etag) return
      throw new ArchiveCorrupt(olderCursor(runId, cursor, `${key} was written after it`).text)
    }
  }
}

import { type Hold, readHold, readWriter, swapHold } from '../../archive/control.ts'
import { readCursor } from '../../archive/cursor.ts'
import { ArchiveCorrupt, ArchiveUnavailable } from '../../archive/errors.ts'
import { HOLD_KEY } from '../../archive/keys.ts'
import type { Run } from '../../archive/runs.ts'
import { personOf, redact } from '../../redact.ts'
import type { Tools } from '../tools.ts'

/** What a hold or a release answers. Never stored as a card. */
export type HoldAnswer = {
  readonly answer: 'hold' | 'release'
  readonly result: 'held' | 'released'
  readonly by: string
  readonly at: string
  readonly reason: string
  /** What was in force until then; null where another invocation's change was kept instead. */
  readonly before: string | null
  /** The open writing run, and until when it may still commit. */
  readonly openRun: { readonly runId: string; readonly mayCommitUntil: string | null } | null
  /** Why `openRun` is not, or not wholly, known. */
  readonly problem: string | null
  readonly next: { readonly text: string; readonly payload: Record<string, unknown> } | null
}

/**
 * Why writing is held, as a sentence; null when it is not, or for a run that was started under this very hold.
 * @throws ArchiveUnavailable
 */
export async function heldBecause(
  tools: Pick<Tools, 'store'>,
  run: Pick<Run, 'underHold'> = { underHold: null },
): Promise<string | null> {
  const hold = (await readHold(tools.store))?.document
  return hold?.held && hold.nonce !== run.underHold ? sentenceOf(hold) : null
}

function sentenceOf({ by, at, reason }: HoldState): string {
  const since = at === '' ? '' : ` since ${at}`
  return `held by ${personOf(by)}${since}: ${redact(reason)}`
}

type HoldState = Omit<Hold, 'nonce'>

/** So often a hold is tried again where a release came between. */
const MOST_TRIES = 5

/**
 * Holds or releases writing. Changed only by compare-and-swap, so that a late release cannot lift a newer
 * hold: the answer to the loser of a race is what is stored now.
 * @throws ArchiveUnavailable, also when a hold could not be set because others kept releasing
 */
export async function setHold(held: boolean, reason: string, by: string, tools: Tools): Promise<HoldAnswer> {
  const changed = await storeHold({ held, by, at: tools.now().toISOString(), reason }, tools)
  return answerOf(held, changed, await openRunOf(tools))
}

/** What is stored now, and the sentence for what was before; null where this invocation changed nothing. */
type Changed = { readonly now: HoldState; readonly before: string | null }

/** Stores what is wanted, unless a change by another invocation is kept instead. */
async function storeHold(wanted: HoldState, { store }: Tools): Promise<Changed> {
  let read = await readHold(store)
  for (let nth = 1; nth <= MOST_TRIES; nth++) {
    if (await swapHold(store, read, wanted))
      return { now: wanted, before: read?.document.held ? sentenceOf(read.document) : 'not held' }
    read = await readHold(store)
    // A hold is set in spite of a release that came between: stopping must not depend on who was faster.
    if (read && (read.document.held || !wanted.held)) return { now: read.document, before: null }
  }
  throw new ArchiveUnavailable(
    `${HOLD_KEY} was changed by other invocations ${MOST_TRIES} times while this one tried to write it. ` +
      'Writing is not held. Send the payload again.',
  )
}

type OpenRun = Pick<HoldAnswer, 'openRun' | 'problem'>

function answerOf(asked: boolean, { now, before }: Changed, { openRun, problem }: OpenRun): HoldAnswer {
  return {
    answer: asked ? 'hold' : 'release',
    result: now.held ? 'held' : 'released',
    by: now.by,
    at: now.at,
    reason: now.reason,
    before,
    openRun,
    problem,
    next: now.held
      ? { text: 'release the hold', payload: { release: 'why it is safe to write again' } }
      : openRun && { text: 'resume the open run', payload: { resume: openRun.runId } },
  }
}

/** Whoever sets a hold must hear that it is set, also where the objects of the open run cannot be read. */
async function openRunOf({ store }: Tools): Promise<OpenRun> {
  let runId: string | null = null
  try {
    runId = (await readWriter(store))?.document.runId ?? null
    if (runId === null) return { openRun: null, problem: null }
    const { lease } = (await readCursor(store, runId)).document
    return { openRun: { runId, mayCommitUntil: lease?.expiresAt ?? null }, problem: null }
  } catch (error) {
    if (!(error instanceof ArchiveCorrupt || error instanceof ArchiveUnavailable)) throw error
    const what = runId === null ? 'which run is open' : 'until when the open run may still commit'
    return {
      openRun: runId === null ? null : { runId, mayCommitUntil: null },
      problem: `it is not known ${what}: an object could not be read. Send {"check": true} to see which one`,
    }
  }
}

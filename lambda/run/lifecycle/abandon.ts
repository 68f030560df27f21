import { lastCard, replaceCard } from '../../archive/cards.ts'
import { readCancellation, readMark, readWriter, swapWriter } from '../../archive/control.ts'
import {
  type Cursor,
  findCursor,
  swapCursor,
  unnamedPages,
  type VersionedCursor,
} from '../../archive/cursor.ts'
import { ArchiveCorrupt } from '../../archive/errors.ts'
import { listAttempts, readIntent } from '../../archive/intents.ts'
import { modeOf, WRITER_KEY } from '../../archive/keys.ts'
import { checkPartSizes } from '../../archive/logs.ts'
import { readPage } from '../../archive/pages.ts'
import { readRun, type Run } from '../../archive/runs.ts'
import { refuseOlderCursor, stateOf } from '../../archive/state.ts'
import type { ExitCard } from '../../exit-card.ts'
import { RunRefused } from '../../errors.ts'
import { databaseClock } from '../../ledger/preflight/clock.ts'
import { personOf, redact } from '../../redact.ts'
import { UnreadableInputs } from '../../rules/inputs.ts'
import { checkNewestRows } from '../ledger-identity.ts'
import { bareRun, cardOf } from '../lines/card/card.ts'
import { noTotals } from '../lines/totals.ts'
import { PlannedByOtherVersion } from '../errors.ts'
import { modeOfPage } from '../pages/loop.ts'
import { planIntentAgain } from '../pages/settle.ts'
import type { Tools } from '../tools.ts'
import { SOFTWARE_VERSION } from '../version.ts'
import { recordRolledBack } from './close.ts'
import { leaseFrom } from './lease.ts'
import { markRun } from './marks.ts'
import { placeOf } from './work.ts'

/**
 * Gives up an open writing run whose objects cannot be read: writer.json is freed, the run gets the final
 * status `abandoned`, and its intents stay, for a person to see what it may have changed (verify refuses such
 * a run). For no other run: a readable one is resumed or cancelled.
 * @throws RunRefused, ArchiveUnavailable, LedgerUnavailable
 */
export async function abandon(runId: string, reason: string, by: string, tools: Tools): Promise<ExitCard> {
  const writer = await readWriter(tools.store)
  if (writer?.document.runId !== runId) {
    throw new RunRefused(
      `Run ${runId} is not the open writing run of bucket ${tools.config.bucket}. Nothing was done. ` +
        'Only an open writing run whose objects cannot be read can be abandoned.',
    )
  }
  const run = await readable(async () => readRun(tools.store, runId))
  const cursor = await readable(async () => findCursor(tools.store, runId))
  const last = await readable(async () => lastCard(tools.store, runId))
  if (last?.status === 'abandoned') return freeAbandoned(writer, run, last, tools)
  if (run && cursor && (await canBeFinished(run, cursor, tools))) {
    throw new RunRefused(
      `Run ${runId} can be read, so it can be finished. Nothing was done. Send {"resume": "${runId}"} or ` +
        `{"cancel": "${runId}"}.`,
    )
  }
  const now = await databaseClock(tools.ledger.writer, tools)
  const leaseExpiresAt = await leaseOf(runId, cursor, tools)
  if (leaseExpiresAt !== null && leaseExpiresAt > now) {
    throw new RunRefused(
      `An invocation holds the lease of run ${runId} until ${leaseExpiresAt}. Nothing was done. ` +
        'Abandon the run after that.',
    )
  }
  if (cursor) await takeLease(cursor, now, tools)
  const card = abandonedCard(runId, run, cursor?.document ?? null, { reason, by, now }, tools)
  if (run && cursor) await recordRolledBack(run, cursor.document, tools)
  await replaceCard(tools.store, card)
  return freeAbandoned(writer, run, card, tools)
}

/** Nobody resumes the run between the look at its lease and its last card. @throws RunRefused */
async function takeLease(cursor: VersionedCursor, now: string, tools: Tools): Promise<void> {
  const { runId, epoch: before } = cursor.document
  const epoch = before + 1
  const lease = leaseFrom(now, epoch, tools)
  if (await swapCursor(tools.store, cursor, { ...cursor.document, epoch, lease })) return
  throw new RunRefused(
    `Another invocation began to work on run ${runId} at this moment. Nothing was done. ` +
      `Send {"status": "${runId}"} to see what it does.`,
  )
}

/** The last step, and all that is left to do where an abandon was cut off before it. @throws RunRefused */
async function freeAbandoned(
  writer: NonNullable<Awaited<ReturnType<typeof readWriter>>>,
  run: Run | null,
  card: ExitCard,
  tools: Tools,
): Promise<ExitCard> {
  // A late duplicate must find the run; where a mark cannot be read, it is refused anyway.
  if (run) await readable(async () => markRun(run, tools))
  const freed = { runId: null, lastClosed: writer.document.lastClosed }
  if (await swapWriter(tools.store, writer, freed)) return card
  throw new RunRefused(
    `${WRITER_KEY} was changed by another invocation meanwhile. Run ${card.runId} has the final status abandoned. ` +
      'Send {"check": true} to see which run is open now.',
  )
}

function epochOf(attempt: string): number {
  return Number(attempt.split('-')[1])
}

/**
 * Until when an invocation may work on the run. Where the cursor cannot be read there may be one all the
 * same: the newest intent says until when.
 */
async function leaseOf(
  runId: string,
  cursor: VersionedCursor | null,
  { store }: Tools,
): Promise<string | null> {
  if (cursor) return cursor.document.lease?.expiresAt ?? null
  const newest = (await listAttempts(store, runId, null)).toSorted((a, b) => epochOf(a) - epochOf(b)).at(-1)
  if (newest === undefined) return null
  return (await readable(async () => readIntent(store, runId, newest)))?.head.lease_expires_at ?? null
}

const MAYBE_MORE =
  'these figures may lack what the run wrote last; how to find it: docs/runbook.md, "Abandoned runs"'

function abandonedCard(
  runId: string,
  run: Run | null,
  cursor: Cursor | null,
  { reason, by, now }: { readonly reason: string; readonly by: string; readonly now: string },
  tools: Tools,
): ExitCard {
  const nothing = { totals: noTotals(), usersDone: 0, usersTotal: 0, pages: [], pagesTotal: 0 }
  const status = {
    status: 'abandoned' as const,
    why: `abandoned by ${personOf(by)} at ${now}: ${redact(reason)}`,
  }
  const shown = run ?? unknownRun(runId, by, reason, now)
  const card = cardOf(shown, cursor ?? nothing, status, placeOf(tools), tools.now())
  return { ...card, warnings: [...card.warnings, MAYBE_MORE] }
}

const DAMAGED = [ArchiveCorrupt, PlannedByOtherVersion, UnreadableInputs]

/**
 * Whether everything is readable that cancelling the run reads, and the ledger has what it wrote: whoever
 * resumes it reads no less.
 */
async function canBeFinished(run: Run, cursor: VersionedCursor, tools: Tools): Promise<boolean> {
  const { store } = tools
  const { runId, settings, asked, selection } = run
  const { pages } = cursor.document
  const all = await readable(async () => {
    await stateOf(store, run)
    await refuseOlderCursor(store, run, cursor)
    await readCancellation(store, runId)
    if (asked.requestKey !== null) await readMark(store, 'request', asked.requestKey)
    if (selection.plan !== null) await readMark(store, 'plan', selection.plan)
    await checkPartSizes(store, runId, pages)
    for (const number of [...unnamedPages(cursor.document)].slice(0, settings.concurrency)) {
      const page = await readPage(store, runId, number)
      const attempts = await listAttempts(store, runId, number)
      if (attempts.length === 0) continue
      const mode = await modeOfPage({ run, foreignKeys: [], tools }, page)
      for (const attempt of attempts) {
        const intent = await readIntent(store, runId, attempt)
        // What another version wrote, that version can finish.
        if (intent.head.software_version === SOFTWARE_VERSION) planIntentAgain(mode, intent)
      }
    }
    await checkNewestRows(run, cursor.document, tools)
    return true
  })
  return all === true
}

/** Null where an object is missing or damaged, an intent that does not give its own plan again among them. */
async function readable<T>(read: () => Promise<T | null>): Promise<T | null> {
  try {
    return await read()
  } catch (error) {
    if (DAMAGED.some((kind) => error instanceof kind)) return null
    throw error
  }
}

/** What is known of a run from its id. */
function unknownRun(runId: string, by: string, reason: string, at: string): Parameters<typeof cardOf>[0] {
  return bareRun({
    runId,
    mode: modeOf(runId) ?? 'execute',
    instant: at,
    softwareVersion: 'not known',
    asked: { by, via: 'abandon', evidence: {}, requestId: '', reason, requestKey: null, payload: {} },
  })
}

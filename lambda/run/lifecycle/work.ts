import { storeCard } from '../../archive/cards.ts'
import { readCancellation } from '../../archive/control.ts'
import type { Cursor, FinalStatus, NamedPage } from '../../archive/cursor.ts'
import { LeaseLost } from '../../archive/errors.ts'
import { WRITER_KEY } from '../../archive/keys.ts'
import { isWriting, type Run } from '../../archive/runs.ts'
import type { ExitCard, RunStatus } from '../../exit-card.ts'
import { LedgerBusy } from '../../ledger/errors.ts'
import { readForeignKeys, watchedKeys } from '../../ledger/preflight/references.ts'
import { withRetriedRead } from '../../ledger/connection/transaction.ts'
import { personOf, redact } from '../../redact.ts'
import { AttemptOpen } from '../errors.ts'
import { checkNewestRows } from '../ledger-identity.ts'
import { cardOf } from '../lines/card/card.ts'
import { addTotals } from '../lines/totals.ts'
import { sameErrorAfter } from '../pages/gate.ts'
import {
  type PageLoop,
  type RecoveredPages,
  settlePages,
  storeBegunPages,
  workThroughPages,
} from '../pages/loop.ts'
import type { PageOutcome } from '../pages/outcome.ts'
import type { Tools } from '../tools.ts'
import { closeRun } from './close.ts'
import { heldBecause } from './hold.ts'
import { emptyPredecessors, type Holder } from './lease.ts'
import { markRun } from './marks.ts'

/**
 * How an invocation ended that holds a run's lease. `otherRun` is the run that its request key or plan
 * belongs to.
 */
export type Worked = { readonly card: ExitCard; readonly otherRun: string | null }

/**
 * What an invocation does with a run whose lease it holds: marks, settling what another invocation left,
 * pages, closing; ending in good order whatever happens.
 * @throws RunRefused, LedgerUnavailable, ArchiveUnavailable, ArchiveCorrupt; the message says how far the run
 * got
 */
export async function work(holder: Holder, tools: Tools): Promise<Worked> {
  const { run, epoch, leaseExpiresAt } = holder
  tools.log('working on a run', { runId: run.runId, epoch, leaseExpiresAt })
  try {
    await emptyPredecessors(holder, tools)
    const otherRun = await markRun(run, tools)
    if (epoch > 1) await checkNewestRows(run, holder.cursor(), tools)
    if (holder.cursor().state === 'prepared')
      await holder.update((cursor) => (cursor.state === 'prepared' ? { ...cursor, state: 'open' } : cursor))
    const loop = await pageLoopOf(holder, tools)
    const recovered: RecoveredPages = isWriting(run.mode) ? await settlePages(loop) : new Map()
    const decided = await finalStatusOf(holder, loop, recovered, otherRun)
    if ('incomplete' in decided)
      return { card: await leaveIncomplete(holder, 'incomplete', decided.incomplete, tools), otherRun }
    await beginClosing(holder, loop, recovered, decided)
    return { card: await closeRun(holder, tools), otherRun }
  } catch (error) {
    return { card: await handleFailure(holder, error, tools), otherRun: null }
  }
}

/**
 * Decides how the run ends, once: a final status that is there already stays. The pages that were begun are
 * named in the same write, so that an invocation that continues an interrupted closing names no further ones.
 */
async function beginClosing(
  holder: Holder,
  loop: PageLoop,
  recovered: RecoveredPages,
  decided: FinalStatus,
): Promise<void> {
  if (holder.cursor().state === 'closing') return
  const begun = isComplete(decided) ? [] : await storeBegunPages(loop, recovered)
  await holder.update((cursor) => ({
    ...begun.reduce((before, { named, outcome }) => withPage(before, named, outcome, null), cursor),
    state: 'closing',
    finalStatus: cursor.finalStatus ?? decided,
  }))
}

function isComplete({ status }: FinalStatus): boolean {
  return status === 'complete' || status === 'complete_with_errors'
}

async function pageLoopOf(holder: Holder, tools: Tools): Promise<PageLoop> {
  const { run } = holder
  const needsKeys = run.selection.rollback !== null
  const sql = isWriting(run.mode) ? tools.ledger.writer : tools.ledger.reader
  const foreignKeys = needsKeys ? await withRetriedRead(sql, readForeignKeys, tools) : []
  const watched = watchedKeys(foreignKeys, run.settings.acceptedReferences)
  return {
    run,
    epoch: holder.epoch,
    leaseExpiresAt: holder.leaseExpiresAt,
    // A preview looks at the tables that it may read; its card warns of the others.
    foreignKeys: isWriting(run.mode) ? watched : watched.filter(({ readable }) => readable),
    cursor: holder.cursor,
    async namePage(named, outcome, finalStatus) {
      await holder.update((cursor) => withPage(cursor, named, outcome, finalStatus))
      const at = { status: 'incomplete' as const, why: 'working' }
      tools.onProgress(cardOf(run, holder.cursor(), at, placeOf(tools), tools.now()))
    },
    cancelled: async () => cancelledBecause(run.runId, tools),
    held: async () => heldBecause(tools, run),
    tools,
  }
}

/** Naming a page that is named already changes nothing, totals included. */
function withPage(
  cursor: Cursor,
  named: NamedPage,
  outcome: PageOutcome,
  finalStatus: FinalStatus | null,
): Cursor {
  const decided = { ...cursor, finalStatus: cursor.finalStatus ?? finalStatus }
  if (cursor.pages.some(({ page }) => page === named.page)) return decided
  const highest = cursor.pages.at(-1)?.page ?? -1
  return {
    ...decided,
    pages: [...cursor.pages, named].toSorted((a, b) => a.page - b.page),
    usersDone: cursor.usersDone + outcome.errors.length,
    lastUserId: named.page > highest ? outcome.lastUserId : cursor.lastUserId,
    totals: addTotals(cursor.totals, outcome.totals),
    sameError: sameErrorAfter(cursor.sameError, outcome.errors),
  }
}

async function cancelledBecause(runId: string, { store }: Tools): Promise<string | null> {
  const request = await readCancellation(store, runId)
  if (!request) return null
  const { by, at, reason } = request
  return `cancelled by ${personOf(by)} at ${at}${reason === null ? '' : `: ${redact(reason)}`}`
}

/** How the run ends, or why this invocation leaves it incomplete. */
async function finalStatusOf(
  holder: Holder,
  loop: PageLoop,
  recovered: RecoveredPages,
  otherRun: string | null,
): Promise<FinalStatus | { readonly incomplete: string }> {
  const { finalStatus } = holder.cursor()
  if (finalStatus) return finalStatus
  if (otherRun !== null)
    return { status: 'stopped', why: `its request key or plan belongs to run ${otherRun}` }
  const cancelled = await loop.cancelled()
  if (cancelled !== null) return { status: 'cancelled', why: cancelled }
  const end = await workThroughPages(loop, recovered)
  switch (end.end) {
    case 'out_of_time':
      return { incomplete: 'this invocation ran out of time' }
    case 'held':
      return { incomplete: end.why }
    case 'stopped':
    case 'cancelled':
      return { status: end.end, why: end.why }
    case 'done':
      return completeStatus(holder.cursor())
  }
}

function completeStatus({ totals, pagesTotal }: Cursor): FinalStatus {
  const { usersFailed } = totals
  if (usersFailed > 0)
    return {
      status: 'complete_with_errors',
      why: `every page is done, and ${usersFailed === 1 ? '1 user' : `${usersFailed} users`} failed`,
    }
  return { status: 'complete', why: pagesTotal === 0 ? 'no user matched' : 'every page is done' }
}

/** The lease is released whatever becomes of the card. */
async function leaveIncomplete(
  holder: Holder,
  status: RunStatus,
  why: string,
  tools: Tools,
): Promise<ExitCard> {
  const card = cardOf(holder.run, holder.cursor(), { status, why }, placeOf(tools), tools.now())
  try {
    await storeCard(tools.store, card)
  } catch (cause) {
    tools.log('the card could not be stored', { runId: card.runId, cause: messageOf(cause) })
  }
  await holder.update((cursor) => ({ ...cursor, lease: null }))
  return card
}

/**
 * The lease is released, unless a commit may still be under way. Errors say how far the run got and how to
 * resume it.
 */
async function handleFailure(holder: Holder, error: unknown, tools: Tools): Promise<ExitCard> {
  const { run, leaseExpiresAt } = holder
  const why = redact(messageOf(error))
  const card = (status: RunStatus, text: string): ExitCard =>
    cardOf(run, holder.cursor(), { status, why: text }, placeOf(tools), tools.now())
  if (error instanceof LeaseLost) return card('busy', why)
  if (error instanceof AttemptOpen)
    return card('incomplete', `${why} The lease expires at ${leaseExpiresAt}; resume the run after that`)
  try {
    const left = await leaveIncomplete(holder, 'incomplete', why, tools)
    if (error instanceof LedgerBusy) return left
  } catch (cause) {
    tools.log('the lease could not be released; it expires by itself', {
      leaseExpiresAt,
      cause: messageOf(cause),
    })
  }
  throw withProgress(error, holder)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'an unknown error'
}

/** The same error, with the state of the run in its message. */
function withProgress(error: unknown, { run, cursor }: Holder): unknown {
  if (!(error instanceof Error)) return error
  error.message = `${error.message.replace(/[^.!?]$/, '$&.')} ${progressOf(run, cursor())}`
  return error
}

/** How far a run has got, and what continues it: the end of a message. */
export function progressOf(
  { runId, mode }: Run,
  { usersDone, usersTotal, state, finalStatus }: Cursor,
  next: 'resume' | 'cancel' = 'resume',
): string {
  if (state === 'closed')
    return (
      `Run ${runId} is closed as ${finalStatus?.status}, and ${WRITER_KEY} still names it: the next invocation ` +
      `frees it. Send {"resume": "${runId}"} to see its card.`
    )
  const beyond = isWriting(mode) ? ', and what was committed beyond that is in its intents' : ''
  return `Run ${runId} is open: ${usersDone} of ${usersTotal} users are done${beyond}. Then send {"${next}": "${runId}"}.`
}

export function placeOf({ config, region }: Tools) {
  return { bucket: config.bucket, region }
}

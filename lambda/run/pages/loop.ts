import type { Cursor, FinalStatus, NamedPage } from '../../archive/cursor.ts'
import { unnamedPages } from '../../archive/cursor.ts'
import { LeaseLost } from '../../archive/errors.ts'
import { createParts } from '../../archive/logs.ts'
import { type Page, readPage } from '../../archive/pages.ts'
import { isWriting, type Run } from '../../archive/runs.ts'
import type { ForeignKey } from '../../ledger/preflight/references.ts'
import { attemptName } from '../../archive/keys.ts'
import { AttemptOpen, OutOfTime } from '../errors.ts'
import type { Tools } from '../tools.ts'
import type { PageWork } from './apply.ts'
import { previewPage } from './dry-run.ts'
import { executeMode, readPlanShown } from './modes/execute.ts'
import { errorThresholdExceeded, openGate } from './gate.ts'
import type { PageMode } from './modes/mode.ts'
import { bareResult, type PageOutcome, pageOutcome } from './outcome.ts'
import { writePage } from './page.ts'
import { openTurns } from './plan-users.ts'
import { contextOf } from '../lines/run-rules.ts'
import { readLoggedChanges, rollbackMode } from './modes/rollback.ts'
import { type Recovered, refuseUnexpired, settlePage } from './settle.ts'

/** Before each page this much time must be left: three times the slowest page so far, within these bounds. */
const RESERVE_PAGES = 3
const RESERVE_LEAST_MS = 10_000

/** What the pages work with: the run whose lease is held, and what may end them. */
export type PageLoop = {
  readonly run: Run
  readonly epoch: number
  readonly leaseExpiresAt: string
  readonly foreignKeys: readonly ForeignKey[]
  /** The cursor as it was last written. */
  readonly cursor: () => Cursor
  /**
   * Names a page in the cursor; with a final status, the run closes with it.
   * @throws LeaseLost, ArchiveUnavailable
   */
  readonly namePage: (
    named: NamedPage,
    outcome: PageOutcome,
    finalStatus: FinalStatus | null,
  ) => Promise<void>
  /** Why the run is to be cancelled, or null; asked before each page. */
  readonly cancelled: () => Promise<string | null>
  /** Why nothing may be written for now, or null; asked before each page. */
  readonly held: () => Promise<string | null>
  readonly tools: Tools
}

/** Why the pages ended: all done, no time for another, a hold, a limit, a threshold, or a cancellation. */
export type LoopEnd =
  | { readonly end: 'done' | 'out_of_time' }
  | { readonly end: 'held' | 'stopped' | 'cancelled'; readonly why: string }

/** Results that earlier invocations committed, by page. */
export type RecoveredPages = ReadonlyMap<number, Recovered>

/**
 * Settles every attempt on pages that the cursor does not name, before anything is planned. Only the first
 * `concurrency` of them can have been begun.
 * @throws as refuseUnexpired and settlePage
 */
export async function settlePages(loop: PageLoop): Promise<RecoveredPages> {
  const { run, tools } = loop
  await refuseUnexpired(loop.cursor().unreleasedUntil, tools)
  const recovered = new Map<number, Recovered>()
  for (const number of begunPages(loop)) {
    const modeOf = async (): Promise<PageMode> =>
      modeOfPage(loop, await readPage(tools.store, run.runId, number))
    recovered.set(number, await settlePage(run.runId, number, modeOf, tools))
  }
  return recovered
}

/** The pages that may have been begun and are not named. */
function begunPages({ run, cursor }: PageLoop): number[] {
  return [...unnamedPages(cursor())].slice(0, run.settings.concurrency)
}

/**
 * Works through the pages that the cursor does not name, `concurrency` of them at a time. A page's parts are
 * stored before the cursor names it, and the next page of a worker begins only after that.
 * @throws what a page throws, after the other pages in flight have ended
 */
export async function workThroughPages(loop: PageLoop, recovered: RecoveredPages): Promise<LoopEnd> {
  const { run, cursor, tools } = loop
  const { totals } = cursor()
  const known = [...recovered.values()].flatMap((page) => [...page.values()])
  const gate = openGate(run.settings.limits.correctionsUsd, {
    correctedMicrodollars: known.reduce(
      (sum, { counted }) => sum + counted.correction_microdollars,
      totals.correctedMicrodollars,
    ),
    expiredMicrodollars: known.reduce(
      (sum, { counted }) => sum + counted.expired_microdollars + counted.due_paid_microdollars,
      totals.expiredMicrodollars + totals.duePaidMicrodollars,
    ),
  })
  const planning = openTurns()
  const pages = unnamedPages(cursor())
  const time = timekeeper(tools)
  const state: { end: LoopEnd | null; error: { cause: unknown } | null } = {
    end: stoppedBy(errorThresholdExceeded(cursor(), run.settings)),
    error: null,
  }

  const worker = async (): Promise<void> => {
    while (!state.end && !state.error) {
      if (!time.isEnoughForAPage()) {
        state.end = { end: 'out_of_time' }
        return
      }
      const next = pages.next()
      if (next.done) return
      try {
        const [end, page] = await Promise.all([endAsked(loop), readPage(tools.store, run.runId, next.value)])
        state.end ??= end
        if (state.end) return
        const began = performance.now()
        const stop = await workOnPage(loop, page, { gate, planning }, recovered.get(page.page) ?? new Map())
        time.took(Math.round(performance.now() - began))
        state.end ??= stoppedBy(stop ?? errorThresholdExceeded(cursor(), run.settings))
      } catch (error) {
        // Above any other end: this page has no outcome, so the run cannot be closed yet.
        if (error instanceof OutOfTime) state.end = { end: 'out_of_time' }
        else if (!state.error || keepsLease(error)) state.error = { cause: error }
      }
    }
  }
  await Promise.all(Array.from({ length: run.settings.concurrency }, worker))
  if (state.error) throw state.error.cause
  return state.end ?? { end: 'done' }
}

/** Above any other error: a commit may still be under way, so the lease must not be released. */
function keepsLease(error: unknown): boolean {
  return error instanceof AttemptOpen || error instanceof LeaseLost
}

function stoppedBy(why: string | null): LoopEnd | null {
  return why === null ? null : { end: 'stopped', why }
}

async function endAsked(loop: PageLoop): Promise<LoopEnd | null> {
  const [cancelled, held] = await Promise.all([
    loop.cancelled(),
    isWriting(loop.run.mode) ? loop.held() : null,
  ])
  if (cancelled !== null) return { end: 'cancelled', why: cancelled }
  return held === null ? null : { end: 'held', why: held }
}

async function workOnPage(
  loop: PageLoop,
  page: Page,
  { gate, planning }: Pick<PageWork, 'gate' | 'planning'>,
  recovered: Recovered,
): Promise<string | null> {
  const { run, epoch, leaseExpiresAt, tools } = loop
  const { outcome, stop } = isWriting(run.mode)
    ? await writePage({
        run,
        page,
        epoch,
        leaseExpiresAt,
        gate,
        planning,
        mode: await modeOfPage(loop, page),
        tools,
        results: new Map(recovered),
        takenLinks: new Set(),
        lastPlans: new Map(),
        attempts: 0,
      })
    : { outcome: await showPage(loop, page), stop: null }
  // With the page, so that no crash in between forgets why the run stops.
  await nameOutcome(loop, outcome, stop === null ? null : { status: 'stopped', why: stop })
  return stop
}

/** Parts first, then the cursor: a page that the cursor names has its log. */
async function nameOutcome(
  { run, epoch, namePage, tools }: PageLoop,
  outcome: PageOutcome,
  finalStatus: FinalStatus | null,
): Promise<void> {
  const named = await createParts(tools.store, run.runId, outcome.page, epoch, outcome.bytes)
  await namePage(named, outcome, finalStatus)
}

/** A page whose parts are stored, to be named by the cursor. */
export type StoredPage = { readonly named: NamedPage; readonly outcome: PageOutcome }

/**
 * Gives an outcome to the pages that may have been begun and will not be continued: what was committed of
 * them, and `not_reached` for all other users. For a run that closes before its end. The cursor has to name
 * them yet.
 * @throws LeaseLost, ArchiveUnavailable, ArchiveCorrupt
 */
export async function storeBegunPages(loop: PageLoop, recovered: RecoveredPages): Promise<StoredPage[]> {
  const { run, epoch, tools } = loop
  const stored: StoredPage[] = []
  for (const number of begunPages(loop)) {
    const page = await readPage(tools.store, run.runId, number)
    const context = contextOf(run, attemptName(number, epoch, 0))
    const known = recovered.get(number)
    const results = new Map(
      page.userIds.map((id) => [id, known?.get(id) ?? bareResult(context, id, null, 'not_reached')]),
    )
    const outcome = pageOutcome(context, page, results, tools.now())
    stored.push({ named: await createParts(tools.store, run.runId, number, epoch, outcome.bytes), outcome })
  }
  return stored
}

/** What the run does to the users of a page. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function modeOfPage(
  { run, foreignKeys, tools }: Pick<PageLoop, 'run' | 'foreignKeys' | 'tools'>,
  page: Page,
): Promise<PageMode> {
  const { plan, rollback } = run.selection
  if (rollback !== null)
    return rollbackMode(run, await readLoggedChanges(tools.store, rollback, sourceOf(page)), foreignKeys)
  return executeMode(run, plan === null ? null : await readPlanShown(tools.store, plan, sourceOf(page)))
}

async function showPage(loop: PageLoop, page: Page): Promise<PageOutcome> {
  const { run, epoch, tools } = loop
  return previewPage(run, page, epoch, await modeOfPage(loop, page), tools.ledger.reader, tools)
}

function sourceOf({ page, source }: Page): NonNullable<Page['source']> {
  if (source) return source
  throw new Error(`Page ${page} follows no page of another run.`)
}

function timekeeper(tools: Tools) {
  let slowestMs = 0
  return {
    isEnoughForAPage(): boolean {
      const reserve = Math.min(Math.max(RESERVE_PAGES * slowestMs, RESERVE_LEAST_MS), tools.invocationMs / 3)
      return tools.timeLeft() > reserve
    },
    took(milliseconds: number): void {
      slowestMs = Math.max(slowestMs, milliseconds)
      tools.onPage(milliseconds)
    },
  }
}

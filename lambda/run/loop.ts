import { readPageList } from '../archive/cursor.ts'
import { isWriting, type PageList, type Run } from '../archive/documents.ts'
import { LeaseLost } from '../archive/errors.ts'
import { readCancel } from '../archive/marks.ts'
import { putOutcome } from '../archive/segments.ts'
import type { Candidate } from './attempt.ts'
import { readPlanShown } from './bound.ts'
import { type CorrectionsGate, correctionsGate, errorThresholdPassed } from './brakes.ts'
import { cardOf } from './card.ts'
import { dryPage } from './dry-page.ts'
import { AttemptOpen, OutOfTime } from './errors.ts'
import { executing } from './execute.ts'
import type { Holding } from './lease.ts'
import type { PageResult, UserResult } from './page.ts'
import { unfinished } from './ranges.ts'
import { loggedChangesOf, rollbackDryPage, rollingBack } from './rollback.ts'
import { correctedIn, type Recovered } from './settling.ts'
import type { Tools } from './tools.ts'
import type { PageWork } from './one-attempt.ts'
import { writePage } from './write-page.ts'

/** Before each page, this much time must be left: three times the slowest page so far, within these bounds. */
const RESERVE_PAGES = 3
const RESERVE_LEAST_MS = 10_000

/** Why the pages ended: all done, no time for another, a brake with its reason, or somebody's wish. */
export type LoopEnd =
  | { readonly end: 'done' | 'out_of_time' }
  | { readonly end: 'stopped' | 'cancelled'; readonly why: string }

/**
 * Works through the pages that the cursor does not name, `concurrency` of them at a time, so that the database need
 * not wait for S3. A page's outcome is stored before the cursor names it.
 * @throws what a page throws, after the other pages in flight have come to their end
 */
export async function workThroughPages(
  holding: Holding,
  recovered: Recovered,
  tools: Tools,
): Promise<LoopEnd> {
  const { run } = holding
  const { pagesTotal, finished, totals } = holding.cursor()
  const pages = unfinished(finished, pagesTotal)
  const corrections = correctionsGate(
    run.settings.limits.correctionsUsd,
    totals.correctedMicrodollars + correctedIn(recovered),
  )
  const hasTime = timekeeper(tools)
  let ended: LoopEnd | null = stoppedBy(errorThresholdPassed(holding.cursor(), run.settings))
  let failed: { error: unknown } | null = null

  const worker = async (): Promise<void> => {
    while (!ended && !failed) {
      if (!hasTime.forAnotherPage()) {
        ended = { end: 'out_of_time' }
        return
      }
      const next = pages.next()
      if (next.done) return
      try {
        const [wish, list] = await Promise.all([
          wishToCancel(run.runId, tools),
          readPageList(tools.store, run.runId, next.value),
        ])
        ended ??= cancelledBy(wish)
        if (ended) return
        const started = tools.now().getTime()
        const stop = await workOnPage(
          holding,
          list,
          corrections,
          recovered.get(list.page) ?? new Map(),
          tools,
        )
        hasTime.took(tools.now().getTime() - started)
        ended ??= stoppedBy(stop ?? errorThresholdPassed(holding.cursor(), run.settings))
        tools.onProgress(
          cardOf(holding.run, holding.cursor(), { status: 'incomplete', why: 'at work' }, tools),
        )
      } catch (error) {
        // Above any other end: this page is not finished, so the run cannot be closed yet.
        if (error instanceof OutOfTime) ended = { end: 'out_of_time' }
        else if (!failed || keepsLease(error)) failed = { error }
      }
    }
  }
  await Promise.all(Array.from({ length: run.settings.concurrency }, worker))
  return conclusion(ended, failed)
}

/** Above any other error: a commit may still be on its way, so the lease must not be given back. */
function keepsLease(error: unknown): boolean {
  return error instanceof AttemptOpen || error instanceof LeaseLost
}

/** Somebody's wish that a run be cancelled, as the reason why it ends; null where there is none. @throws ArchiveCorrupt, ArchiveUnavailable */
export async function wishToCancel(runId: string, tools: Tools): Promise<string | null> {
  const cancel = await readCancel(tools.store, runId)
  return cancel && `cancelled by ${cancel.by} at ${cancel.at}`
}

function cancelledBy(why: string | null): LoopEnd | null {
  return why === null ? null : { end: 'cancelled', why }
}

function stoppedBy(why: string | null): LoopEnd | null {
  return why === null ? null : { end: 'stopped', why }
}

/** A function of its own, since TypeScript does not see that workers assign these. */
function conclusion(ended: LoopEnd | null, failed: { error: unknown } | null): LoopEnd {
  if (failed) throw failed.error
  return ended ?? { end: 'done' }
}

async function workOnPage(
  holding: Holding,
  list: PageList,
  corrections: CorrectionsGate,
  recovered: ReadonlyMap<string, UserResult>,
  tools: Tools,
): Promise<string | null> {
  const { run, epoch, leaseExpiresAt } = holding
  const { result, stop } = isWriting(run.mode)
    ? await writeList({ run, list, epoch, leaseExpiresAt, corrections, recovered, tools })
    : { result: await showPage(run, list, epoch, tools), stop: null }
  await putOutcome(tools.store, run.runId, list.page, epoch, result.lines)
  // With the page, so that no cut in between forgets why the run stops.
  await holding.finish(result, stop === null ? null : { status: 'stopped', why: stop })
  return stop
}

function showPage(run: Run, list: PageList, epoch: number, tools: Tools): Promise<PageResult> {
  return run.mode === 'dry-run' ? dryPage(run, list, epoch, tools) : rollbackDryPage(run, list, epoch, tools)
}

async function writeList(
  work: Omit<PageWork<Candidate>, 'writing'>,
): Promise<{ result: PageResult; stop: string | null }> {
  const { run, list, tools } = work
  const sql = tools.ledger.writer
  if (run.mode === 'rollback')
    return writePage({ ...work, writing: rollingBack(run, sql, await loggedChangesOf(run, list, tools)) })
  const shown =
    run.selection.plan !== null && list.shown
      ? await readPlanShown(tools.store, run.selection.plan, list.shown.page, list.shown.epoch)
      : null
  return writePage({ ...work, writing: executing(run, sql, shown) })
}

function timekeeper(tools: Tools) {
  let slowestMs = 0
  return {
    forAnotherPage(): boolean {
      const reserve = Math.min(Math.max(RESERVE_PAGES * slowestMs, RESERVE_LEAST_MS), tools.invocationMs / 3)
      return tools.timeLeft() > reserve
    },
    took(milliseconds: number): void {
      slowestMs = Math.max(slowestMs, milliseconds)
      tools.onPage(milliseconds)
    },
  }
}

import type { RollbackRecord } from '../../../archive/control.ts'
import type { Cursor } from '../../../archive/cursor.ts'
import { isWriting, type Run } from '../../../archive/runs.ts'
import { dollars, type ExitCard, isFinal, isPartlyRolledBack, type RunStatus } from '../../../exit-card.ts'
import { nearest } from '../../../nearest.ts'
import { matchesCategory } from '../../../rules/categories.ts'
import { idleCategoryWarning, refusalWarning, type Warning, warningsOf } from '../glossary.ts'
import { categoryGroup, correctionsExceeded, noTotals } from '../totals.ts'
import { linksOf, type Place } from './links.ts'
import { nextOf } from './next.ts'
import { SOFTWARE_VERSION } from '../../version.ts'

/** What a card shows of a run and of its cursor. */
export type ShownRun = Pick<
  Run,
  'runId' | 'mode' | 'instant' | 'softwareVersion' | 'asked' | 'selection' | 'refusals' | 'warnings'
> & {
  readonly matched: Pick<Run['matched'], 'faceValueMicrodollars'>
  readonly settings: Pick<Run['settings'], 'limits'> | null
}
type ShownCursor = Pick<Cursor, 'totals' | 'usersDone' | 'usersTotal' | 'pages' | 'pagesTotal'>

/** The exit card of a run as its cursor is: 3-contract, "Exit card". */
export function cardOf(
  run: ShownRun,
  cursor: ShownCursor,
  { status, why }: { readonly status: RunStatus; readonly why: string },
  place: Place,
  now: Date,
): ExitCard {
  const { totals, usersDone, usersTotal } = cursor
  const { asked, matched } = run
  return {
    runId: run.runId,
    mode: run.mode,
    instant: run.instant,
    status,
    why,
    asked: {
      by: asked.by,
      via: asked.via,
      reason: asked.reason,
      plan: run.selection.plan,
      payload: asked.payload,
    },
    domains: run.selection.domains,
    softwareVersion: run.softwareVersion,
    progress: {
      usersDone,
      usersTotal,
      percent: usersTotal === 0 ? 100 : Math.floor((usersDone / usersTotal) * 100),
      etaSeconds: isFinal(status) ? (usersDone < usersTotal ? null : 0) : etaSeconds(run, cursor, now),
    },
    totals: {
      usersMatched: usersTotal,
      usersWithoutGrants: totals.usersWithoutGrants,
      usersProcessed: totals.usersProcessed,
      usersSkipped: totals.usersSkipped,
      usersFailed: totals.usersFailed,
      usersNotReached: usersTotal - usersDone + (totals.outcomes.not_reached ?? 0),
      grantsTargeted: totals.grantsTargeted,
      matchedFaceValueMicrodollars: matched.faceValueMicrodollars,
      matchedFaceValue: dollars(matched.faceValueMicrodollars),
      expiredMicrodollars: totals.expiredMicrodollars,
      expired: dollars(totals.expiredMicrodollars),
      duePaidMicrodollars: totals.duePaidMicrodollars,
      duePaid: dollars(totals.duePaidMicrodollars),
      usersCorrected: totals.usersCorrected,
      correctedMicrodollars: totals.correctedMicrodollars,
      corrected: dollars(totals.correctedMicrodollars),
      outcomes: totals.outcomes,
      flags: totals.flags,
    },
    byCategory: byCategory(cursor),
    sincePrevious: null,
    sinceExecuted: null,
    rolledBackBy: [],
    usersRolledBack: 0,
    rollsBack: run.selection.rollback,
    warnings: cardWarnings(run, cursor).map(({ text }) => text),
    logs: linksOf(run.runId, cursor, place),
    next: nextOf(run, cursor, status),
  }
}

/** The warnings of a run's card, each with its explanation. */
export function cardWarnings(
  {
    mode,
    selection,
    settings,
    refusals,
    warnings,
  }: Omit<ShownRun, 'runId' | 'instant' | 'asked' | 'softwareVersion' | 'matched'>,
  { totals, usersDone, usersTotal }: Pick<ShownCursor, 'totals' | 'usersDone' | 'usersTotal'>,
): Warning[] {
  const isDone = usersDone === usersTotal
  return [
    ...(isWriting(mode) ? [] : refusals.map(refusalWarning)),
    ...(mode === 'dry-run' && settings ? correctionsWarning(totals, settings.limits.correctionsUsd) : []),
    ...warnings.map((text) => ({ text, explanation: null })),
    // An execute may well find that none is left.
    ...(isDone && !isWriting(mode) ? idleCategories(selection, totals) : []),
    ...warningsOf(totals),
  ]
}

/** An execute would stop before the corrections that exceed their limit, and its plan would be used up. */
function correctionsWarning({ correctedMicrodollars }: Cursor['totals'], limitUsd: number): Warning[] {
  const why = correctionsExceeded(correctedMicrodollars, limitUsd)
  return why === null ? [] : [{ text: `an execute would stop: ${why}`, explanation: null }]
}

/** The selected categories that no processed grant has: one of them may be misspelt. */
function idleCategories({ categories }: ShownRun['selection'], totals: Cursor['totals']): Warning[] {
  const processed = Object.keys(totals.byCategory)
  const isProcessed = (one: string): boolean =>
    processed.some((group) => group === categoryGroup(one) || matchesCategory(group, [one]))
  return (categories ?? [])
    .filter((one) => !isProcessed(one))
    .map((one) => idleCategoryWarning(one, nearest(one, processed)))
}

function byCategory({ totals }: ShownCursor): ExitCard['byCategory'] {
  return Object.entries(totals.byCategory)
    .map(([category, { grants, expiredMicrodollars, faceValueMicrodollars }]) => ({
      category,
      grants,
      expiredMicrodollars,
      expired: dollars(expiredMicrodollars),
      faceValueMicrodollars,
      faceValue: dollars(faceValueMicrodollars),
    }))
    .toSorted((a, b) => sizeOf(b) - sizeOf(a) || (a.category < b.category ? -1 : 1))
}

/** In a rollback the amounts are negative. */
function sizeOf({ expiredMicrodollars }: ExitCard['byCategory'][number]): number {
  return Math.abs(expiredMicrodollars)
}

/** By the share of users done since the run's instant: rough, and null until there is something to go by. */
function etaSeconds(run: ShownRun, { usersDone, usersTotal }: ShownCursor, now: Date): number | null {
  if (usersDone >= usersTotal) return 0
  if (usersDone === 0) return null
  const secondsSoFar = (now.getTime() - Date.parse(run.instant)) / 1000
  return Math.max(1, Math.round((secondsSoFar / usersDone) * (usersTotal - usersDone)))
}

/**
 * The card of a closed run as it is shown: with the runs that rolled it back, which a final card cannot have.
 */
export function closedCard(
  run: ShownRun,
  { cursor, card }: { readonly cursor: Cursor; readonly card: ExitCard | null },
  rollbacks: readonly RollbackRecord[],
  place: Place,
  now: Date,
): ExitCard {
  const status = cursor.finalStatus ?? { status: 'stopped' as const, why: 'its final status is missing' }
  const shown = card ?? cardOf(run, cursor, status, place, now)
  if (rollbacks.length === 0) return shown
  const rolledBackBy = rollbacks.map(({ rollbackRunId }) => rollbackRunId)
  const usersRolledBack = rollbacks.reduce((sum, { users }) => sum + users, 0)
  const { usersProcessed } = shown.totals
  const isPart = isPartlyRolledBack(usersRolledBack, usersProcessed)
  const some = isPart ? `${usersRolledBack} of ${usersProcessed} users ` : ''
  const why = `${shown.why}; ${some}rolled back by ${rolledBackBy.join(' and ')}`
  return { ...shown, why, rolledBackBy, usersRolledBack, next: isPart ? shown.next : null }
}

/** A card where there is no run to show: nothing matched, nothing done. */
export function emptyCard(
  mode: Run['mode'],
  asked: Run['asked'],
  state: { readonly status: RunStatus; readonly why: string },
  place: Place,
  now: Date,
): ExitCard {
  const run = bareRun({
    runId: '',
    mode,
    instant: now.toISOString(),
    softwareVersion: SOFTWARE_VERSION,
    asked,
  })
  const cursor = { totals: noTotals(), usersDone: 0, usersTotal: 0, pages: [], pagesTotal: 0 }
  return cardOf(run, cursor, state, place, now)
}

/** What a card shows of a run that selected nothing, or of which no more than this is known. */
export function bareRun(
  known: Pick<ShownRun, 'runId' | 'mode' | 'instant' | 'softwareVersion' | 'asked'>,
): ShownRun {
  return {
    ...known,
    selection: {
      domains: [],
      userIds: null,
      exceptUserIds: [],
      categories: null,
      plan: null,
      rollback: null,
    },
    settings: null,
    refusals: [],
    warnings: [],
    matched: { faceValueMicrodollars: 0 },
  }
}

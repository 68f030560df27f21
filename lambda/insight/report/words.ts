import { adviceOf, FLAGS, OUTCOMES } from '../../run/lines/glossary.ts'
import type { ReportCard } from './input.ts'

/** The words of a mode, and what it does. */
export type ModeWords = {
  readonly name: string
  /** After an amount: "$12.00 of free credit expired". */
  readonly moved: string
  /** Heads a column of amounts. */
  readonly column: string
  readonly correctionColumn: string
  readonly writes: boolean
  readonly restores: boolean
}

const MODES: Readonly<Record<string, ModeWords>> = {
  'dry-run': {
    name: 'Dry run',
    moved: 'would expire',
    column: 'Would expire',
    correctionColumn: 'Correction',
    writes: false,
    restores: false,
  },
  execute: {
    name: 'Execute run',
    moved: 'expired',
    column: 'Expired',
    correctionColumn: 'Correction',
    writes: true,
    restores: false,
  },
  'rollback-dry-run': {
    name: 'Rollback preview',
    moved: 'would be restored',
    column: 'Would be restored',
    correctionColumn: 'Correction removed',
    writes: false,
    restores: true,
  },
  rollback: {
    name: 'Rollback',
    moved: 'was restored',
    column: 'Restored',
    correctionColumn: 'Correction removed',
    writes: true,
    restores: true,
  },
}

/** @throws Error for a mode that no run has. */
export function modeWords(mode: string): ModeWords {
  const words = MODES[mode]
  if (!words) throw new Error(`Unknown mode ${mode}. No report was made.`)
  return words
}

/** How a status reads, and how it is coloured. */
export type StatusWords = { readonly label: string; readonly tone: 'good' | 'warn' | 'bad' }

const STATUSES: Readonly<Record<string, StatusWords>> = {
  complete: { label: 'Complete', tone: 'good' },
  complete_with_errors: { label: 'Complete with errors', tone: 'warn' },
  incomplete: { label: 'Incomplete, can be resumed', tone: 'warn' },
  stopped: { label: 'Stopped', tone: 'bad' },
  cancelled: { label: 'Cancelled', tone: 'warn' },
  abandoned: { label: 'Abandoned', tone: 'bad' },
  busy: { label: 'Busy', tone: 'warn' },
  held: { label: 'Held', tone: 'warn' },
  refused: { label: 'Refused', tone: 'bad' },
}

export function statusWords(status: string): StatusWords {
  return STATUSES[status] ?? { label: status, tone: 'warn' }
}

/** An outcome as a reader sees it, and what it means. */
type OutcomeWords = { readonly label: string; readonly meaning: string }

/** An outcome that this version does not know is shown by its name. */
export function outcomeWords(outcome: string, { mode }: Pick<ReportCard, 'mode'>): OutcomeWords {
  const entry = new Map(Object.entries(OUTCOMES)).get(outcome)
  if (!entry) return { label: outcome, meaning: '' }
  const { label, meaning } = (modeWords(mode).writes ? undefined : entry.preview) ?? entry
  return { label, meaning }
}

export const OUTCOME_NAMES: readonly string[] = Object.keys(OUTCOMES)

/** What each flag means, and what to do about it. */
export const FLAG_MEANINGS: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(FLAGS).map(([flag, entry]) => [flag, adviceOf(entry)]),
)

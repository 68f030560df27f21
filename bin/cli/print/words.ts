import type { Payload } from '../../../lambda/event.ts'
import { type ExitCard, grouped } from '../../../lambda/exit-card.ts'
import { type CountedAs, OUTCOMES } from '../../../lambda/run/lines/glossary.ts'

/** How a mode is called, what happens to credit in it, and its corrections. */
type Words = {
  readonly title: string
  readonly changed: string
  readonly corrections: string
  readonly note: string | null
  /** Where a run that writes changed nothing. */
  readonly unchanged?: string
}

const NOTHING_WRITTEN = 'Nothing was written to the ledger. These are the figures of'

const WORDS: Readonly<Record<string, Words>> = {
  'dry-run': {
    title: 'Dry run',
    changed: 'would expire',
    corrections: 'Corrections to zero',
    note: `${NOTHING_WRITTEN} an execute run now.`,
  },
  execute: {
    title: 'Execute',
    changed: 'expired',
    corrections: 'Corrections to zero',
    note: null,
    unchanged: 'Nothing expired: no row was changed.',
  },
  'rollback-dry-run': {
    title: 'Dry run of a rollback',
    changed: 'would be restored',
    corrections: 'Corrections that would be removed',
    note: `${NOTHING_WRITTEN} the rollback now.`,
  },
  rollback: {
    title: 'Rollback',
    changed: 'restored',
    corrections: 'Corrections removed',
    note: null,
    unchanged: 'Nothing was restored: no row was changed.',
  },
}

const OTHER: Words = { title: 'Run', changed: 'changed', corrections: 'Corrections', note: null }

/** `Free credit that would expire`, `Free credit expired`. */
export function changedText(what: string, mode: string): string {
  const { changed } = wordsFor(mode)
  return `${what} ${changed.startsWith('would') ? 'that ' : ''}${changed}`
}

/** Amounts as they are shown: in a rollback they are negative on the card, since credit comes back. */
export function shownAmount(mode: string, microdollars: number): number {
  return mode.startsWith('rollback') ? 0 - microdollars : microdollars
}

export function wordsFor(mode: string): Words {
  return WORDS[mode] ?? OTHER
}

/** What the progress line calls the work on a payload. */
export function labelFor(payload: Payload): string {
  if ('mode' in payload) return wordsFor(payload.mode).title
  const labels: Partial<Record<Payload['kind'], string>> = {
    resume: 'Resume',
    cancel: 'Cancel',
    abandon: 'Abandon',
    hold: 'Hold',
    release: 'Release',
    check: 'Check',
    history: 'History',
    verify: 'Verify',
    diff: 'Compare',
    report: 'Report',
  }
  return labels[payload.kind] ?? 'Read'
}

const OUTCOME_ENTRIES = new Map(Object.entries(OUTCOMES))

/** A few words about an outcome; the name itself is the one in the log. */
export function outcomeText(outcome: string): string {
  return OUTCOME_ENTRIES.get(outcome)?.inShort ?? ''
}

/** Whether an outcome is a reason to skip a user. */
export function isSkipped(outcome: string): boolean {
  return countedAs(outcome) === 'usersSkipped'
}

function countedAs(outcome: string): CountedAs {
  return OUTCOME_ENTRIES.get(outcome)?.countedAs ?? null
}

type Counted = readonly (readonly [outcome: string, users: number])[]

/** How users were processed, and the reasons for which users were skipped, each with how many. */
export function outcomesOf(totals: ExitCard['totals']): {
  readonly processed: Counted
  readonly skipped: Counted
} {
  const counted = [...OUTCOME_ENTRIES.keys()]
    .map((outcome) => [outcome, totals.outcomes[outcome] ?? 0] as const)
    .filter(([, users]) => users > 0)
  return {
    processed: counted.filter(([outcome]) => countedAs(outcome) === 'usersProcessed'),
    skipped: counted.filter(([outcome]) => isSkipped(outcome)),
  }
}

/** `1 user`, `2 users`. */
export function usersText(users: number): string {
  return users === 1 ? '1 user' : `${grouped(users)} users`
}

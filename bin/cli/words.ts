import type { Payload } from '../../lambda/event.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'

/** How a mode is spoken of: its name, its sums, and what happens to credit in it. */
type Words = {
  readonly title: string
  readonly changed: string
  readonly free: string
  readonly due: string
  readonly corrections: string
  readonly note: string | null
}

const NOTHING_WRITTEN = 'Nothing was written to the ledger: this only shows what would happen.'

const WORDS: Readonly<Record<string, Words>> = {
  'dry-run': {
    title: 'Dry run',
    changed: 'would expire',
    free: 'Free credit that would expire',
    due: 'Other due credit that would expire with it',
    corrections: 'Corrections of balances below zero',
    note: NOTHING_WRITTEN,
  },
  execute: {
    title: 'Execute',
    changed: 'expired',
    free: 'Free credit expired',
    due: 'Other due credit expired with it',
    corrections: 'Corrections of balances below zero',
    note: null,
  },
  'rollback-dry-run': {
    title: 'Dry run of a rollback',
    changed: 'would come back',
    free: 'Free credit that would come back',
    due: 'Other credit that would come back with it',
    corrections: 'Corrections that would be undone',
    note: NOTHING_WRITTEN,
  },
  rollback: {
    title: 'Rollback',
    changed: 'came back',
    free: 'Free credit that came back',
    due: 'Other credit that came back with it',
    corrections: 'Corrections undone',
    note: null,
  },
}

const OTHER: Words = {
  title: 'Run',
  changed: 'changed',
  free: 'Free credit',
  due: 'Other credit',
  corrections: 'Corrections',
  note: null,
}

/**
 * Amounts of a card or a log line as a person speaks of them: in a rollback they have the opposite sign there, since
 * what was expired comes back.
 */
export function spoken(mode: string, microdollars: number): number {
  return mode.startsWith('rollback') ? 0 - microdollars : microdollars
}

export function wordsFor(mode: string): Words {
  return WORDS[mode] ?? OTHER
}

/** What the progress line calls the work on a payload. */
export function labelFor(payload: Payload): string {
  if ('mode' in payload) return wordsFor(payload.mode).title
  const labels: Partial<Record<Payload['kind'], string>> = { resume: 'Resuming', cancel: 'Cancelling' }
  return labels[payload.kind] ?? 'Reading'
}

/** What an outcome means; the name itself is what stands in the log. */
const OUTCOMES: Readonly<Record<string, string>> = {
  expired: 'with credit left in a grant',
  nothing_to_expire: 'every grant of theirs is spent; dated and closed with 0',
  too_recent: 'a row of theirs is too recent: the next run takes them',
  needs_review: 'a grant may have been taken back without a link: look, then name them with --user-ids',
  exceeds_plan: 'more would happen than the plan showed: make a new dry run',
  not_internal: 'no longer internal',
  gone: 'no longer in the ledger',
  already_rolled_back: 'nothing of theirs was left to undo',
  changed_since: 'changed since that run: the users log says what',
}

export function outcomeText(outcome: string): string {
  return OUTCOMES[outcome] ?? ''
}

const PROCESSED = ['expired', 'nothing_to_expire', 'rolled_back']
const NO_REASON = [...PROCESSED, 'no_targeted_grant', 'failed', 'not_reached']

/** Whether an outcome is a reason for which a user was left alone. */
export function isLeftAlone(outcome: string): boolean {
  return !NO_REASON.includes(outcome)
}

/** How users were processed, and the reasons for which users were left alone, each with how many. */
export function outcomesOf({ totals }: ExitCard): {
  processed: [string, number][]
  leftAlone: [string, number][]
} {
  const counted = Object.entries(totals.outcomes).filter(([, users]) => users > 0)
  return {
    processed: counted.filter(([outcome]) => PROCESSED.includes(outcome)),
    leftAlone: counted.filter(([outcome]) => isLeftAlone(outcome)),
  }
}

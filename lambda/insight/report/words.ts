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

const OUTCOMES: Readonly<Record<string, OutcomeWords>> = {
  expired: { label: 'Expired', meaning: 'Unused free credit expired.' },
  nothing_to_expire: {
    label: 'Fully spent',
    meaning: 'All grants were spent already. They were closed with an amount of zero.',
  },
  no_targeted_grant: { label: 'No grant', meaning: 'The user has no open free grant.' },
  excluded: {
    label: 'Excluded',
    meaning: 'The payload or the configuration leaves the user out.',
  },
  too_recent: {
    label: 'Too recent',
    meaning:
      'A row of the user is so new that the application may still be writing. ' +
      'The next run includes the user.',
  },
  needs_review: {
    label: 'Needs review',
    meaning:
      'A grant may have been taken back already, so expiring it could use up paid credit. ' +
      'Check the rows named here, then name the user in "userIds".',
  },
  exceeds_plan: {
    label: 'Exceeds plan',
    meaning: 'More would have happened than the plan showed. A new dry run shows the new amounts.',
  },
  not_internal: {
    label: 'Not internal',
    meaning: 'The e-mail address was no longer in an internal domain when the run came to the user.',
  },
  gone: { label: 'Gone', meaning: 'The user was no longer in the ledger when the run came to the user.' },
  failed: { label: 'Failed', meaning: 'An error kept the run from changing the user. Nothing was written.' },
  not_reached: { label: 'Not reached', meaning: 'The run ended before it came to the user.' },
  rolled_back: { label: 'Restored', meaning: 'The changes of the run were taken back.' },
  already_rolled_back: {
    label: 'Already restored',
    meaning: 'An earlier rollback took the changes of the run back.',
  },
  changed_since: {
    label: 'Changed since',
    meaning:
      'A row changed after the run, so a rollback could overwrite newer data. ' +
      'The differences are named here.',
  },
}

/** In a preview nothing has happened yet. */
const PREVIEWED: Readonly<Record<string, OutcomeWords>> = {
  expired: { label: 'Would expire', meaning: 'Unused free credit would expire.' },
  nothing_to_expire: {
    label: 'Fully spent',
    meaning: 'All grants are spent already. They would be closed with an amount of zero.',
  },
  rolled_back: { label: 'Would be restored', meaning: 'The changes of the run would be taken back.' },
}

/** An outcome that this version does not know is shown by its name. */
export function outcomeWords(outcome: string, { mode }: Pick<ReportCard, 'mode'>): OutcomeWords {
  const previewed = modeWords(mode).writes ? undefined : PREVIEWED[outcome]
  return previewed ?? OUTCOMES[outcome] ?? { label: outcome, meaning: '' }
}

export const OUTCOME_NAMES: readonly string[] = Object.keys(OUTCOMES)

export const FLAGS: Readonly<Record<string, string>> = {
  auto_top_up_risk:
    'Auto top-up is on and the balance ends under $5.00: the application may charge the card.',
  due_paid_credit: 'Credit that is not targeted was due and expires in the same pass.',
  overdrawn_before: 'The balance was below zero before the run.',
  link_taken: 'A grant cannot be closed, because another row links to it already.',
  unlinked_deduction: 'Credit was deducted without a link to a grant, so expiring may reach paid credit.',
  negative_dated:
    'A negative row has an expiry date. On that date production adds the amount to the balance.',
}

/** What a warning of the card means for the reader, recognised by its words. */
const EXPLANATIONS: readonly (readonly [RegExp, string])[] = [
  [
    /auto top-up/i,
    'The application charges the card of a user with auto top-up when the balance is low. ' +
      'Tell these users, or turn auto top-up off for them first.',
  ],
  [
    /execute would be refused/i,
    'A dry run ignores the limits, but an execute run with the same payload would stop before it writes. ' +
      'Narrow the selection, or raise the limit in the configuration.',
  ],
  [
    /same pass/i,
    'Credit that had reached its own expiry date expires together with the targeted grants, ' +
      'as it would have in the next production pass. It is counted apart from free credit.',
  ],
  [
    /negative balance/i,
    'These users had spent more than they had before the run. A correction sets the balance to zero.',
  ],
  [
    /links to it|link_taken|cannot be closed/i,
    'The ledger allows one row to link to a grant, and another row does so already. The grant stays open.',
  ],
  [
    /unlinked|past the usage counter|without a link/i,
    'Credit was spent or taken back by rows that name no grant. ' +
      'The amounts follow the production accounting, so check whether these users paid for credit.',
  ],
  [
    /dated transaction|negative_dated|that much credit back/i,
    'Production turns a negative row with an expiry date into credit on that date. ' +
      'The run did not change the row.',
  ],
  [
    /too recent/i,
    'The application writes a grant in two steps, so very new rows may be incomplete. ' +
      'The next run includes these users.',
  ],
  [
    /review|person has looked/i,
    'A deduction without a link may have taken a grant back already. ' +
      'Check the rows under "Skipped users" before you name these users in a run.',
  ],
  [/plan showed|exceed/i, 'More would have happened to these users than was approved. Make a new dry run.'],
  [
    /changed after|changed since/i,
    'Newer changes would be lost, so these users were not rolled back. Their differences are listed below.',
  ],
  [/failed/i, 'Nothing was written for these users. The causes are listed under "Failures".'],
  [
    /trigger/i,
    'A trigger runs inside the transactions of this job. ' +
      'The job reads back what it wrote and fails on a difference.',
  ],
]

/** Null for a warning that explains itself. */
export function explanationOf(warning: string): string | null {
  return EXPLANATIONS.find(([pattern]) => pattern.test(warning))?.[1] ?? null
}

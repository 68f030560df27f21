import type { Totals } from '../../archive/cursor.ts'
import { dollars } from '../../exit-card.ts'
import type { Flag } from '../../rules/types.ts'
import type { Outcome } from './user-line.ts'

/** How users of an outcome are counted; not_reached users are not done. */
export type CountedAs = 'usersWithoutGrants' | 'usersProcessed' | 'usersSkipped' | 'usersFailed' | null

/** The one definition of an outcome: how it counts, its name for people, what it means and what to do. */
type OutcomeEntry = {
  readonly countedAs: CountedAs
  readonly label: string
  /** A few words beside the outcome's name, in the summary of the command. */
  readonly inShort: string
  readonly meaning: string
  /** The same in a run that writes nothing, where that differs. */
  readonly preview?: { readonly label: string; readonly meaning: string }
  readonly todo: string
  /** The sentence on the exit card; none where the outcome needs no attention. */
  readonly warning?: (users: string, totals: Totals) => string
}

export const OUTCOMES: Readonly<Record<Outcome, OutcomeEntry>> = {
  expired: {
    countedAs: 'usersProcessed',
    label: 'Expired',
    inShort: 'credit was left in a grant',
    meaning: 'Credit was left in at least one targeted grant, and it expired.',
    preview: {
      label: 'Would expire',
      meaning: 'Credit is left in at least one targeted grant, and it would expire.',
    },
    todo: 'Nothing.',
  },
  nothing_to_expire: {
    countedAs: 'usersProcessed',
    label: 'Fully spent',
    inShort: 'all grants fully spent; closed with 0',
    meaning: 'Every targeted grant was fully spent; each was closed with 0.',
    preview: {
      label: 'Fully spent',
      meaning: 'Every targeted grant is fully spent; each would be closed with 0.',
    },
    todo: 'Nothing.',
  },
  no_targeted_grant: {
    countedAs: 'usersWithoutGrants',
    label: 'No grant',
    inShort: 'no free grant is open and can be closed',
    meaning: 'The user has no free, personal, positive grant that is open and can be closed.',
    todo: 'Nothing.',
  },
  excluded: {
    countedAs: 'usersSkipped',
    label: 'Excluded',
    inShort: 'excluded by the payload or the configuration',
    meaning:
      'The user, or every targeted grant of the user, is excluded by the payload or the configuration.',
    todo: 'Nothing, if that is intended: exceptUserIds, categories, EXCLUDED_USER_IDS, EXCLUDED_CATEGORIES.',
  },
  too_recent: {
    countedAs: 'usersSkipped',
    label: 'Too recent',
    inShort: 'a row is too recent; a later run processes them',
    meaning: 'A personal row of the user is younger than the minimum age and may be half written.',
    todo: 'Nothing: a later run processes the user.',
    warning: (users) => `${users} skipped because of a row that is too recent: a later run processes them`,
  },
  needs_review: {
    countedAs: 'usersSkipped',
    label: 'Needs review',
    inShort: 'a grant may have been taken back already; check, then name the user',
    meaning: 'A grant may already have been taken back by a row without a link, or a closing row is damaged.',
    todo: 'Check the rows named in "review", then name the user in "userIds".',
    warning: (users, { examples }) =>
      `${users} to review; the first: ${examples.needs_review?.text ?? 'see the users log.'} ` +
      'After checking, name them in "userIds"',
  },
  exceeds_plan: {
    countedAs: 'usersSkipped',
    label: 'Exceeds plan',
    inShort: 'more would happen than the plan showed; make a new dry run',
    meaning: 'More would happen to the user now than the plan showed.',
    todo: 'Make a new dry run and execute that one.',
    warning: (users) => `${users} skipped because more would happen than the plan showed: make a new dry run`,
  },
  not_internal: {
    countedAs: 'usersSkipped',
    label: 'Not internal',
    inShort: 'no longer internal',
    meaning: 'The e-mail address of the user is no longer internal.',
    todo: 'Nothing.',
  },
  gone: {
    countedAs: 'usersSkipped',
    label: 'Gone',
    inShort: 'no longer in the ledger',
    meaning: 'The user no longer exists.',
    todo: 'Nothing.',
  },
  rolled_back: {
    countedAs: 'usersProcessed',
    label: 'Rolled back',
    inShort: 'what the run wrote was rolled back',
    meaning: 'What the run wrote for the user was rolled back.',
    preview: {
      label: 'Would be rolled back',
      meaning: 'What the run wrote for the user would be rolled back.',
    },
    todo: 'Nothing.',
  },
  already_rolled_back: {
    countedAs: 'usersSkipped',
    label: 'Already rolled back',
    inShort: 'nothing was left to roll back',
    meaning: 'What the run wrote for the user had been rolled back before.',
    todo: 'Nothing.',
  },
  changed_since: {
    countedAs: 'usersSkipped',
    label: 'Changed since',
    inShort: 'changed since that run; the users log says what',
    meaning: 'A row of the user is not as the run left it, so nothing was rolled back for the user.',
    todo: 'See "changed" in the user line: which row and column, expected and found.',
    warning: (users) => `${users} skipped because rows changed after the run: see "changed" in their lines`,
  },
  failed: {
    countedAs: 'usersFailed',
    label: 'Failed',
    inShort: 'see the errors log',
    meaning: 'The user could not be processed; nothing was written for the user.',
    todo: 'See the errors log, fix the cause, then run again.',
    warning: (users) => `${users} failed: see the errors log`,
  },
  not_reached: {
    countedAs: null,
    label: 'Not reached',
    inShort: 'the run ended before',
    meaning: 'The run ended before the user was processed.',
    todo: 'Run again.',
  },
}

/** The outcomes of users who are skipped. */
export const SKIPPED_OUTCOMES: ReadonlySet<string> = new Set(
  Object.entries(OUTCOMES).flatMap(([outcome, { countedAs }]) =>
    countedAs === 'usersSkipped' ? [outcome] : [],
  ),
)

/** The one definition of a flag: what it means, what to do, and the sentence on the exit card. */
export const FLAGS: Readonly<
  Record<Flag, { meaning: string; todo: string; warning: (users: string, totals: Totals) => string }>
> = {
  auto_top_up_risk: {
    meaning: 'Auto top-up is enabled and the final balance is under $5.00.',
    todo: 'Tell the user: the application may charge the card at its next balance check.',
    warning: (users) => `${users} may be charged by auto top-up: balance under $5.00 after this run`,
  },
  due_paid_credit: {
    meaning: 'Paid credit that was due expired in the same pass.',
    todo: 'Nothing: the application would have expired it at its next pass.',
    warning: (users, { flagMicrodollars }) =>
      `${dollars(flagMicrodollars.due_paid_credit ?? 0)} of paid credit of ${users} was due and ` +
      'expires in the same pass',
  },
  overdrawn_before: {
    meaning: 'The balance was below zero before the run.',
    todo: 'Nothing: the correction brings it to zero.',
    warning: (users) => `${users} had a negative balance before`,
  },
  link_taken: {
    meaning: 'Another row links to a grant, so that it cannot be closed and stays open.',
    todo: 'Check the linking row; "flag_details" in the user line names it.',
    warning: (users) => `${users} with a grant that cannot be closed because another row links to it`,
  },
  negative_dated: {
    meaning: 'A dated row is not positive. It stays open, and on its date the application adds that credit.',
    todo: 'Check that row before that date; "flag_details" in the user line names it.',
    warning: (users, { examples, flagMicrodollars }) =>
      `${users} with a negative dated row: on its date the application gives the credit back, ` +
      `${dollars(-(flagMicrodollars.negative_dated ?? 0))} in all; the first: ` +
      (examples.negative_dated?.text ?? 'see the users log'),
  },
  unlinked_deduction: {
    meaning: 'Credit was deducted by rows without a link, past the usage counter.',
    todo: 'Check those rows: expiring may reach credit that the user paid for.',
    warning: (users, { flagMicrodollars }) =>
      `${users} with deductions past the usage counter, ` +
      `${dollars(-(flagMicrodollars.unlinked_deduction ?? 0))} in all: expiring may reach credit that ` +
      'the user paid for',
  },
}

/** What an outcome or a flag means, and what to do about it where there is something to do. */
export function adviceOf({ meaning, todo }: Pick<OutcomeEntry, 'meaning' | 'todo'>): string {
  const advice = todo.replace(/^Nothing(\.$|: )/, '')
  return advice === '' ? meaning : `${meaning} ${advice.charAt(0).toUpperCase()}${advice.slice(1)}`
}

/**
 * A sentence on the exit card, and what it means and what to do about it where the sentence does not say so.
 */
export type Warning = { readonly text: string; readonly explanation: string | null }

/** Of a run that writes nothing, for each reason why an execute would be refused. */
export function refusalWarning(reason: string): Warning {
  return {
    text: `an execute would be refused: ${reason}`,
    explanation:
      'A dry run is never refused, but an execute with the same payload would be, before it writes. ' +
      'Narrow the selection, or change the configuration.',
  }
}

/** Of a run of selected categories, for each that no processed grant has; `near` is one that was processed. */
export function idleCategoryWarning(category: string, near: string | undefined): Warning {
  const hint = near === undefined ? 'check its spelling' : `did you mean "${near}"?`
  return {
    text: `no grant that was processed has the category "${category}": ${hint}`,
    explanation:
      'Category names are compared exactly, capital letters included; a * at the end fits any rest. ' +
      'The card of a dry run without "categories" lists those that there are.',
  }
}

/** What a person should know about the users of a run, one sentence each. */
export function warningsOf(totals: Totals): Warning[] {
  type Entry = Pick<OutcomeEntry, 'meaning' | 'todo' | 'warning'>
  const say = (n: number | undefined, entry: Entry): Warning[] =>
    n && entry.warning
      ? [{ text: entry.warning(n === 1 ? '1 user' : `${n} users`, totals), explanation: adviceOf(entry) }]
      : []
  return [
    ...Object.entries(FLAGS).flatMap(([flag, entry]) => say(totals.flags[flag], entry)),
    ...Object.entries(OUTCOMES).flatMap(([outcome, entry]) => say(totals.outcomes[outcome], entry)),
  ]
}

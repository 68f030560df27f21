import { type Cursor, isWriting, type Run } from '../archive/documents.ts'
import { logKey, runFolder } from '../archive/keys.ts'
import { dollars, type ExitCard, type RunStatus } from '../exit-card.ts'
import type { Tools } from './tools.ts'

/** What a card shows of a run and of its cursor. */
export type Shown = Pick<Run, 'runId' | 'mode' | 'instant' | 'asked' | 'selection' | 'concerns'>
type Standing = Pick<Cursor, 'totals' | 'usersDone' | 'usersTotal'>

/** The exit card of a run as its cursor stands: 3-contract, "Exit card". */
export function cardOf(
  run: Shown,
  cursor: Standing,
  verdict: { status: RunStatus; why: string },
  tools: Tools,
): ExitCard {
  const { totals, usersDone, usersTotal } = cursor
  return {
    runId: run.runId,
    mode: run.mode,
    instant: run.instant,
    status: verdict.status,
    why: verdict.why,
    progress: {
      usersDone,
      usersTotal,
      percent: usersTotal === 0 ? 100 : Math.floor((usersDone / usersTotal) * 100),
      etaSeconds: isOpen(verdict.status)
        ? etaSeconds(run, cursor, tools.now())
        : usersDone < usersTotal
          ? null
          : 0,
    },
    totals: {
      usersMatched: usersTotal,
      usersWithoutGrants: totals.usersWithoutGrants,
      usersProcessed: totals.usersProcessed,
      usersLeftAlone: totals.usersLeftAlone,
      usersFailed: totals.usersFailed,
      usersNotReached: usersTotal - usersDone + (totals.outcomes.not_reached ?? 0),
      grantsTargeted: totals.grantsTargeted,
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
    warnings: warningsOf(run, cursor),
    logs: linksOf(run.runId, tools.config.bucket),
    next: nextOf(run, cursor, verdict.status),
  }
}

function isOpen(status: RunStatus): boolean {
  return status === 'incomplete' || status === 'busy'
}

/** By the share of users done since the run's instant: rough, and null until there is something to go by. */
function etaSeconds(run: Shown, { usersDone, usersTotal }: Standing, now: Date): number | null {
  if (usersDone >= usersTotal) return 0
  if (usersDone === 0) return null
  const secondsSoFar = (now.getTime() - Date.parse(run.instant)) / 1000
  return Math.max(1, Math.round((secondsSoFar / usersDone) * (usersTotal - usersDone)))
}

function warningsOf(run: Shown, { totals }: Standing): string[] {
  const { flags, outcomes } = totals
  const concerns = isWriting(run.mode) ? [] : run.concerns
  return [
    ...concerns.map((concern) => `an execute would be refused: ${concern}`),
    ...say(
      flags.auto_top_up_risk,
      (n) => `${users(n)} may be charged by auto top-up: balance under $5.00 after this run`,
    ),
    ...say(
      Math.max(0, totals.duePaidMicrodollars),
      (n) => `${dollars(n)} of credit that was not targeted was due and expired in the same pass`,
    ),
    ...say(flags.overdrawn_before, (n) => `${users(n)} had a negative balance before`),
    ...say(
      flags.link_taken,
      (n) => `${one(n, 'has', 'have')} a grant that cannot be closed, since another row links to it`,
    ),
    ...say(
      flags.negative_dated,
      (n) => `${one(n, 'has', 'have')} a dated transaction that is not positive; it was left open`,
    ),
    ...say(
      outcomes.too_recent,
      (n) => `${users(n)} left alone, since a row of theirs is too recent: the next run takes them`,
    ),
    ...say(
      outcomes.needs_review,
      (n) => `${users(n)} left alone until a person has looked: name them in "userIds" then`,
    ),
    ...say(
      outcomes.exceeds_plan,
      (n) => `${users(n)} left alone, since more would happen than the plan showed`,
    ),
    ...say(
      outcomes.changed_since,
      (n) => `${users(n)} left alone, since they changed after the run: see their lines`,
    ),
    ...say(totals.usersFailed, (n) => `${users(n)} failed: see the error log`),
  ]
}

function say(count: number | undefined, sentence: (count: number) => string): string[] {
  return count ? [sentence(count)] : []
}

function one(count: number, single: string, many: string): string {
  return `${users(count)} ${count === 1 ? single : many}`
}

function users(count: number): string {
  return count === 1 ? '1 user' : `${count} users`
}

function linksOf(runId: string, bucket: string): ExitCard['logs'] {
  const link = (key: string) => `s3://${bucket}/${key}`
  return {
    users: link(logKey(runId, 'users')),
    mutations: link(logKey(runId, 'mutations')),
    errors: link(logKey(runId, 'errors')),
    run: link(runFolder(runId)),
    console: `https://s3.console.aws.amazon.com/s3/buckets/${bucket}?prefix=${runFolder(runId)}`,
  }
}

/** The payload to send next: 3-contract, "Exit card". */
function nextOf(run: Shown, cursor: Standing, status: RunStatus): ExitCard['next'] {
  if (isOpen(status)) return { text: 'go on with this run', payload: { resume: run.runId } }
  if (status === 'refused') return null
  const { plan: _plan, requestKey: _key, restart: _restart, ...asked } = run.asked.payload
  const again = { text: 'mend what the error log shows, then try again', payload: asked }
  switch (run.mode) {
    case 'dry-run':
      if (status !== 'complete') return again
      return cursor.totals.usersProcessed === 0
        ? null
        : { text: 'execute exactly this plan', payload: { execute: true, plan: run.runId } }
    case 'execute':
      if (status === 'complete_with_errors')
        return run.selection.plan === null ? again : newPlan(run.selection)
      return cursor.totals.mutationLines === 0
        ? null
        : { text: 'undo this run (this shows it first)', payload: { rollback: run.runId } }
    case 'rollback-dry-run':
      if (status !== 'complete') return again
      return cursor.totals.usersProcessed === 0
        ? null
        : { text: 'undo it', payload: { rollback: run.selection.rollback, execute: true } }
    case 'rollback':
      return status === 'complete' ? null : again
  }
}

/** A plan is executed once, and without it the same payload would be about everybody: so a new dry run of the same users. */
function newPlan({ domains, userIds }: Shown['selection']): ExitCard['next'] {
  return {
    text: 'mend what the error log shows, then make a new plan',
    payload: { domains, ...(userIds && { userIds }) },
  }
}

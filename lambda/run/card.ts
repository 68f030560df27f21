import type { Cursor, Run } from '../archive/documents.ts'
import { logKey, runFolder } from '../archive/keys.ts'
import { dollars, type ExitCard, type RunStatus } from '../exit-card.ts'
import { limitsPassed } from './brakes.ts'
import type { Tools } from './tools.ts'

/** The exit card of a run as its cursor stands: 3-contract, "Exit card". */
export function cardOf(run: Run, cursor: Cursor, verdict: { status: RunStatus; why: string }, tools: Tools): ExitCard {
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
      etaSeconds: etaSeconds(run, cursor, tools.now()),
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
    next: nextOf(run, verdict.status),
  }
}

/** By the share of users done since the run's instant: rough, and null until there is something to go by. */
function etaSeconds(run: Run, { usersDone, usersTotal }: Cursor, now: Date): number | null {
  if (usersDone >= usersTotal) return 0
  if (usersDone === 0) return null
  const secondsSoFar = (now.getTime() - Date.parse(run.instant)) / 1000
  return Math.max(1, Math.round((secondsSoFar / usersDone) * (usersTotal - usersDone)))
}

function warningsOf(run: Run, { totals }: Cursor): string[] {
  const { flags, outcomes } = totals
  const over = run.mode === 'dry-run' ? limitsPassed(run.matched, run.settings.limits) : []
  return [
    ...over.map((limit) => `an execute would be refused: ${limit}`),
    ...say(flags.auto_top_up_risk, (n) => `${users(n)} may be charged by auto top-up: balance under $5.00 after this run`),
    ...say(totals.duePaidMicrodollars, (n) => `${dollars(n)} of credit that was not targeted was due and expired in the same pass`),
    ...say(flags.overdrawn_before, (n) => `${users(n)} had a negative balance before`),
    ...say(flags.link_taken, (n) => `${one(n, 'has', 'have')} a grant that cannot be closed, since another row links to it`),
    ...say(flags.negative_dated, (n) => `${one(n, 'has', 'have')} a dated transaction that is not positive; it was left open`),
    ...say(outcomes.too_recent, (n) => `${users(n)} left alone, since a row of theirs is too recent: the next run takes them`),
    ...say(outcomes.needs_review, (n) => `${users(n)} left alone until a person has looked: name them in "userIds" then`),
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

function nextOf(run: Run, status: RunStatus): ExitCard['next'] {
  const { domains, userIds } = selectionAsAsked(run)
  const again = { execute: true, ...domains, ...userIds }
  if (status === 'incomplete' || status === 'busy') return { text: 'go on with this run', payload: { resume: run.runId } }
  if (status === 'refused') return null
  if (run.mode === 'dry-run') return { text: 'execute', payload: again }
  if (status === 'complete') return null
  return { text: 'mend what the error log shows, then try again', payload: again }
}

/** The selection fields of the payload that opened the run. */
function selectionAsAsked({ asked }: Run): { domains: object; userIds: object } {
  const { domains, userIds } = asked.payload
  return { domains: domains === undefined ? {} : { domains }, userIds: userIds === undefined ? {} : { userIds } }
}

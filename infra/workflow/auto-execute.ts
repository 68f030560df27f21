import { Condition } from 'aws-cdk-lib/aws-stepfunctions'
import { FLAGS_THAT_STOP, SKIPS_THAT_STOP } from './auto-execute-stops.ts'
import type { ScheduledExecute } from '../settings.ts'

/** Where a state holds the dry run's exit card, and in it what the last executed plan did not show. */
const CARD = '$.exchange'
const SINCE = `${CARD}.sinceExecuted`
const MICRODOLLARS = 1_000_000

/** Whether the dry run's card can be compared with an executed plan: it is null before the first one. */
export const COMPARABLE = Condition.and(
  Condition.isPresent(`${SINCE}.users`),
  Condition.isPresent(`${SINCE}.expiredMicrodollars`),
  Condition.isPresent(`${SINCE}.skipped`),
)

/**
 * Whether a comparable plan is executed without a person's approval: few users and little credit are new
 * since the last executed plan, no flag stops it, and all limits of the scheduled execute hold.
 */
export function withinLimits({ limits, auto }: ScheduledExecute): Condition {
  return Condition.and(
    atMost(`${SINCE}.users`, auto.newUsers),
    atMost(`${SINCE}.expiredMicrodollars`, auto.newUsd * MICRODOLLARS),
    atMost(`${CARD}.totals.usersMatched`, limits.users),
    atMost(`${CARD}.totals.grantsTargeted`, limits.grants),
    // As the job applies it: lambda/run/lifecycle/opening/limits.ts.
    atMost(`${CARD}.totals.matchedFaceValueMicrodollars`, limits.usd * MICRODOLLARS),
    atMost(`${CARD}.totals.correctedMicrodollars`, limits.correctionsUsd * MICRODOLLARS),
    ...FLAGS_THAT_STOP.filter((flag) => auto.stopsOn.includes(flag)).map((flag) =>
      none(`${CARD}.totals.flags.${flag}`),
    ),
    ...SKIPS_THAT_STOP.filter((reason) => auto.stopsOn.includes(reason)).map((reason) =>
      none(`${SINCE}.skipped.${reason}`),
    ),
  )
}

/** The same rule in words, for the notice. */
export function ruleInWords({ limits, auto }: ScheduledExecute): string {
  const stops = auto.stopsOn.length === 0 ? '' : `, and none of: ${auto.stopsOn.join(', ')}`
  return [
    `Executed without approval: at most ${auto.newUsers} new users and ${auto.newUsd} USD new${stops};`,
    `in all at most ${limits.users} users, ${limits.grants} grants, ${limits.usd} USD of face value`,
    `and ${limits.correctionsUsd} USD of corrections.`,
  ].join(' ')
}

function atMost(path: string, most: number): Condition {
  return Condition.numberLessThanEquals(path, Math.floor(most))
}

/** A count that is absent is zero. */
function none(path: string): Condition {
  return Condition.or(Condition.not(Condition.isPresent(path)), Condition.numberEquals(path, 0))
}

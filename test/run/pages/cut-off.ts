import { expect } from 'vitest'
import type { S3Request } from '../../../bin/sandbox/s3.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import type { Fate, RoundTrip } from '../../faults/proxy.ts'
import { isCommitOfApply } from '../../faults/stall.ts'
import { auditAndLogs } from '../../support/audit.ts'
import { type LogLine, readLogs } from '../../support/logs.ts'
import { place, s3 } from '../../support/scenario-place.ts'

/** How every run of the scenario ends. */
const ENDS = {
  status: 'complete_with_errors',
  totals: { usersMatched: 12, usersProcessed: 9, usersFailed: 1, usersSkipped: 1, usersCorrected: 1 },
}

/** The run has ended as it must, its logs are what the database noted, and each user has one line. */
export async function expectWholeAndTrue(
  card: ExitCard,
): Promise<{ users: LogLine[]; mutations: LogLine[] }> {
  expect(card).toMatchObject(ENDS)
  const { database, logs } = await auditAndLogs(place.sql, place.bucket, [card.runId])
  expect(logs).toEqual(database)
  const { users, mutations } = await readLogs(place.bucket, card.runId)
  expect(new Set(users.map((line) => line.user_id)).size).toBe(users.length)
  return { users, mutations }
}

/** The users whose lines come from an invocation that was cut off. */
export const recoveredOf = (users: readonly LogLine[]) =>
  users.filter((line) => line.recovered === true).map((line) => line.user_id)

/** One fate for the nth COMMIT of an apply; the others pass. */
export function nthCommit(nth: number, fate: Fate): (trip: RoundTrip) => Fate {
  let commits = 0
  return (trip) => (isCommitOfApply(trip) && ++commits === nth ? fate : 'pass')
}

/** From the first such request on, the process is as good as dead: S3 hears nothing more of it. */
export function dieAt(which: (request: S3Request) => boolean): void {
  let dead = false
  s3.setHooks(place.bucket.bucket, {
    before: (request) => {
      dead ||= which(request)
      return dead ? 'drop' : undefined
    },
  })
}

/** S3 is there again. */
export const revive = () => s3.setHooks(place.bucket.bucket, undefined)

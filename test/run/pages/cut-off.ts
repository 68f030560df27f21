import { expect } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import type { Fate, RoundTrip } from '../../faults/proxy.ts'
import { isCommitOfApply } from '../../faults/stall.ts'
import { auditAndLogs } from '../../support/audit.ts'
import { auditRun } from '../../support/audit-run.ts'
import type { LogLine, RunLogs } from '../../support/logs.ts'
import { place } from '../../support/places/scenario-place.ts'

/** How every run of the scenario ends. */
const ENDS = {
  status: 'complete_with_errors',
  totals: { usersMatched: 12, usersProcessed: 9, usersFailed: 1, usersSkipped: 1, usersCorrected: 1 },
}

/** The run has ended as it must, and its logs are what the database noted. */
export async function expectWholeAndTrue(card: ExitCard): Promise<RunLogs> {
  expect(card).toMatchObject(ENDS)
  const { database, logs } = await auditAndLogs(place.sql, place.bucket, [card.runId])
  expect(logs).toEqual(database)
  return auditRun(place.bucket, card.runId, place.sql)
}

/** The users whose lines come from an invocation that was cut off. */
export const recoveredOf = (users: readonly LogLine[]) =>
  users.filter((line) => line.recovered === true).map((line) => line.user_id)

/** One fate for the nth COMMIT of a write; the others pass. */
export function nthCommit(nth: number, fate: Fate): (trip: RoundTrip) => Fate {
  let commits = 0
  return (trip) => (isCommitOfApply(trip) && ++commits === nth ? fate : 'pass')
}

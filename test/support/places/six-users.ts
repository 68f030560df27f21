import { afterEach, beforeEach } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { type InvocationOptions, invokeJob, type JobPlace } from '../job.ts'
import { dump } from '../ledger.ts'
import { freshTeam, type Team } from './team.ts'

/** An execute over the six users, on three pages, one page in flight. */
export const EVENT = { execute: true, batchSize: 2, concurrency: 1 }

/** What the test that runs works on; set by the hooks below. */
export let team: Team
export let bucket: Team['bucket']
export let place: JobPlace

/** Gives each test of a file six users with a grant each; the database's clock is stopped. */
export function useSixUsers(): void {
  beforeEach(async () => {
    team = await freshTeam(6)
    bucket = team.bucket
    place = { databaseUrl: team.url, bucket, env: { MIN_GRANT_AGE_SECONDS: '0', AWS_MAX_ATTEMPTS: '1' } }
  })
  afterEach(async () => team.drop())
}

export async function invoke(event: object, options?: InvocationOptions): Promise<ExitCard> {
  return invokeJob(place, event, options)
}

/** Both tables, without updated_at. */
export async function state(): ReturnType<typeof dump> {
  return dump(team.sql, { updatedAt: false })
}

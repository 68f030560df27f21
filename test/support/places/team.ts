import type { Sql } from 'postgres'
import { startS3, type S3Server } from '../../../bin/sandbox/s3.ts'
import { freshBucket, type TestBucket } from '../bucket.ts'
import { setClock, stopClock } from '../clock.ts'
import { freshDatabase, insertTransaction, insertUser } from '../ledger.ts'

/** The time at which the clock of a team's database is stopped. */
export const NOW = '2026-11-22T06:00:00.000Z'
/** Past every lease that was taken at NOW. */
export const LATER = '2026-11-22T09:00:00.000Z'

/**
 * A ledger of internal users, `user-1` and so on, each with one free grant of 10 USD; and an empty bucket
 * with hooks.
 */
export type Team = {
  readonly url: string
  readonly sql: Sql
  readonly bucket: TestBucket
  readonly s3: S3Server
  readonly drop: () => Promise<void>
}

/** Databases with a team of so many users, kept for all files of a worker: copying one is faster than filling it. */
const templates = new Map<number, Promise<string>>()

/** Sets up a team, with an S3 server of its own. */
export async function freshTeam(users: number): Promise<Team> {
  const template = templates.get(users) ?? teamTemplate(users)
  templates.set(users, template)
  const s3 = await startS3()
  const database = await freshDatabase(await template)
  await setClock(database.sql, NOW)
  const drop = async () => {
    await database.drop()
    await s3.stop()
  }
  return { url: database.url, sql: database.sql, bucket: await freshBucket(s3.endpoint), s3, drop }
}

/** The name of a database with a team. */
async function teamTemplate(users: number): Promise<string> {
  const database = await freshDatabase()
  for (let n = 1; n <= users; n++) {
    await insertUser(database.sql, {
      id: `user-${n}`,
      total_microdollars_acquired: 10_000_000,
      created_at: '2026-01-01',
    })
    await insertTransaction(database.sql, { kilo_user_id: `user-${n}`, created_at: '2026-01-01' })
  }
  await stopClock(database.sql, NOW)
  await database.sql.end()
  return database.sql.options.database
}

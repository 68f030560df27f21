import { afterAll, beforeAll, beforeEach } from 'vitest'
import * as fc from 'fast-check'
import type { Sql } from 'postgres'
import { startS3, type S3Server } from '../../../bin/sandbox/s3.ts'
import { ledgers } from '../../rules/ledgers.ts'
import { freshBucket, type TestBucket } from '../bucket.ts'
import { stopClock } from '../clock.ts'
import { freshDatabase } from '../ledger.ts'
import { insertLedgers, LEDGERS_INSTANT } from './population.ts'

/** RUN_SEED=… repeats a failure. */
export const SEED = Number(process.env.RUN_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** A database of its own with the random ledgers, and a bucket. */
export type Place = {
  readonly database: Awaited<ReturnType<typeof freshDatabase>>
  readonly bucket: TestBucket
}

/** The S3 server of a test file; set by the hooks below. */
export let s3: S3Server
let template: string
const drops: (() => Promise<void>)[] = []

/** Makes a template with random ledgers, and what `prepare` adds to it; each test prints the seed. */
export function useRandomLedgers(users: number, prepare: (sql: Sql) => Promise<unknown>): void {
  beforeAll(async () => {
    s3 = await startS3()
    const made = await freshDatabase()
    drops.push(made.drop)
    await insertLedgers(made.sql, fc.sample(ledgers, { seed: SEED, numRuns: users }), { takenLinks: true })
    await prepare(made.sql)
    await made.sql.end()
    template = new URL(made.url).pathname.slice(1)
  })
  afterAll(async () => {
    // Emptied, because files share their worker's modules.
    for (const drop of drops.splice(0).toReversed()) await drop()
    await s3.stop()
  })
  beforeEach(() => {
    process.stderr.write(`RUN_SEED=${SEED}\n`)
  })
}

/** A copy of the random ledgers, whose clock is stopped at their instant, and an empty bucket. */
export async function freshPlace(): Promise<Place> {
  const database = await freshDatabase(template)
  drops.push(database.drop)
  await stopClock(database.sql, LEDGERS_INSTANT)
  return { database, bucket: await freshBucket(s3.endpoint) }
}

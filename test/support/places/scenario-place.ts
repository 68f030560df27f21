import { afterAll, beforeAll, beforeEach } from 'vitest'
import { startS3, type S3Server } from '../../../bin/sandbox/s3.ts'
import type { Fate, RoundTrip } from '../../faults/proxy.ts'
import { buildScenario } from '../../faults/scenario.ts'
import { openPlace, type Place } from '../../faults/stall.ts'
import { auditJob } from '../audit.ts'
import { freshDatabase } from '../ledger.ts'

/**
 * Pages of four users, one at a time: users 1 to 4 are page 0, 5 to 8 page 1, 9 to 12 page 2; see
 * test/faults/scenario.ts.
 */
export const EVENT = { execute: true, batchSize: 4, concurrency: 1 }

/** The S3 server of a test file, and the place of the test that runs; set by the hooks below. */
export let s3: S3Server
export let place: Place

/**
 * What becomes of the job's round trips to the database in the test that runs; they pass unless it says
 * otherwise.
 */
export const steer: { decide: (trip: RoundTrip) => Fate | Promise<Fate> } = { decide: () => 'pass' }

/**
 * The name of a template database with the scenario, in which triggers note every change that the job
 * commits.
 */
export async function auditedTemplate(): Promise<string> {
  const made = await freshDatabase()
  await buildScenario(made.sql)
  await auditJob(made.sql)
  await made.sql.end()
  return new URL(made.url).pathname.slice(1)
}

/** Gives each test of a file a fresh place with the scenario, and takes them all away at the end. */
export function useScenarioPlaces(): void {
  const drops: (() => Promise<void>)[] = []
  let template = ''
  beforeAll(async () => {
    s3 = await startS3()
    template = await auditedTemplate()
  })
  afterAll(async () => {
    for (const drop of drops) await drop()
    await s3.stop()
  })
  beforeEach(async () => {
    steer.decide = () => 'pass'
    const opened = await openPlace(template, s3, (trip) => steer.decide(trip))
    drops.push(async () => opened.drop())
    place = opened
  })
}

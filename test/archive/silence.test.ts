import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Host } from '../../lambda/host.ts'
import { freshBucket, type TestBucket } from '../support/bucket.ts'
import { invokeJob } from '../support/job.ts'
import { freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { type MisbehavingS3, startMisbehavingS3 } from '../support/servers/misbehaving-s3.ts'
import { type SilentProxy, startSilentProxy } from '../support/servers/silent-proxy.ts'

/**
 * A whole run of the job while S3 or PostgreSQL is silent now and then: it costs a deadline each, and not the
 * run.
 */
const USERS = 6
const USD = 1_000_000
/** Far longer than local servers take to answer. */
const WAITS: Host['waits'] = {
  aws: { requestMs: 1_000, silenceMs: 1_000, pauseMs: 1 },
  ledger: { connectMs: 1_500, statementMs: 1_000, idleMs: 500 },
}

let database: Awaited<ReturnType<typeof freshDatabase>>
let bucket: TestBucket
let s3: MisbehavingS3
const proxies: SilentProxy[] = []
beforeEach(async () => {
  database = await freshDatabase()
  bucket = await freshBucket()
  s3 = await startMisbehavingS3(bucket.endpoint)
  for (let n = 0; n < USERS; n++) {
    await insertUser(database.sql, { id: `user-${n}`, total_microdollars_acquired: 10 * USD })
    await insertTransaction(database.sql, { kilo_user_id: `user-${n}` })
  }
})
afterEach(async () => {
  await Promise.all(proxies.splice(0).map(async (proxy) => proxy.stop()))
  await s3.stop()
  await database.drop()
})

async function execute(databaseUrl = database.url) {
  const place = { databaseUrl, bucket: { endpoint: s3.endpoint, bucket: bucket.bucket } }
  return invokeJob(place, { execute: true, batchSize: 3 }, { host: { waits: WAITS } })
}

async function expectExpiredOnce(card: Awaited<ReturnType<typeof execute>>): Promise<void> {
  expect(card).toMatchObject({
    status: 'complete',
    totals: { usersProcessed: USERS, usersFailed: 0, expiredMicrodollars: USERS * 10 * USD },
  })
  const rows = await database.sql`
    select kilo_user_id, amount_microdollars from credit_transactions
    where credit_category = 'credits_expired' order by kilo_user_id`
  expect([...rows]).toEqual(
    Array.from({ length: USERS }, (_, n) => ({
      kilo_user_id: `user-${n}`,
      amount_microdollars: String(-10 * USD),
    })),
  )
}

test.each([
  ['PUT', 'silent'],
  ['PUT', 'mute'],
  ['GET', 'silent'],
  ['GET', 'half, then silent'],
] as const)('every sixth %s is %s: the run completes', async (method, behaviour) => {
  let count = 0
  s3.behave((request) => (request.method === method && ++count % 6 === 0 ? behaviour : 'pass'))
  const card = await execute()
  expect(count).toBeGreaterThan(6)
  await expectExpiredOnce(card)
})

test.each([
  ['a write', ['-- write expirations']],
  ['the commit of a write', ['-- write expirations', '\0commit\0']],
])('the network to PostgreSQL drops everything from %s on: the run completes', async (_, silentAt) => {
  const url = new URL(database.url)
  const proxy = await startSilentProxy({ host: url.hostname, port: Number(url.port) }, ...silentAt)
  proxies.push(proxy)
  url.port = String(proxy.port)
  const card = await execute(url.href)
  expect(proxy.silenced()).toBe(1)
  await expectExpiredOnce(card)
})

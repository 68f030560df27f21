import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { freshBucket, readLines, type TestBucket } from '../support/bucket.ts'
import { freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import {
  type Asset,
  type AssetProcess,
  readBundle,
  startAsset,
  startSecrets,
  synthesizeAsset,
} from './asset-process.ts'
import { emittedIn } from './metric-names.ts'

/** The synthesized asset itself, loaded as Lambda loads it: the only check that catches a bundle that cannot load. */

const { url, sql, drop } = await freshDatabase()
let asset: Asset
let bucket: TestBucket
let secrets: Awaited<ReturnType<typeof startSecrets>>
let lambda: AssetProcess

beforeAll(async () => {
  for (const id of ['ada', 'bob']) {
    await insertUser(sql, { id, total_microdollars_acquired: 10_000_000, microdollars_used: 4_000_000 })
    await insertTransaction(sql, { kilo_user_id: id })
  }
  bucket = await freshBucket()
  secrets = await startSecrets(url)
  asset = await synthesizeAsset()
  lambda = await startAsset(asset, {
    ...asset.environment,
    // The file is there on Lambda only.
    NODE_EXTRA_CA_CERTS: '',
    LOG_BUCKET: bucket.bucket,
    AWS_ENDPOINT_URL_S3: bucket.endpoint,
    AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_LAMBDA_FUNCTION_NAME: 'credit-expiry',
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '1769',
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
  })
})

afterAll(async () => {
  await lambda.stop()
  await secrets.stop()
  await asset.remove()
  await drop()
})

/** The metrics of the last invocation. */
async function metricsOf(event: unknown): Promise<string[]> {
  const sent = () => lambda.lines().filter((line) => '_aws' in line)
  const before = sent().length
  await lambda.invoke(event)
  return sent()
    .slice(before)
    .flatMap(emittedIn)
    .map(
      ({ namespace, name, unit, dimensions }) => `${namespace} ${name} ${unit} ${JSON.stringify(dimensions)}`,
    )
}

test('it is one file under 1.5 MB that reaches no package', async () => {
  expect(Buffer.byteLength(await readBundle(asset))).toBeLessThan(1_500_000)
  expect(lambda.strangers).toEqual([])
})

test("a dry run and then an execute, with the database's address from Secrets Manager", async () => {
  const dry = (await lambda.invoke({})).card as ExitCard
  expect(dry).toMatchObject({ mode: 'dry-run', status: 'complete', totals: { expired: '$12.00' } })
  const done = (await lambda.invoke({ execute: true, plan: dry.runId })).card as ExitCard
  expect(done).toMatchObject({
    mode: 'execute',
    status: 'complete',
    totals: { expired: '$12.00', usersProcessed: 2 },
  })
  expect(await readLines(bucket, `logs/users/${done.runId}.jsonl`)).toHaveLength(2)
  const rows = await sql`SELECT FROM kilocode_users WHERE total_microdollars_acquired <> microdollars_used`
  expect(rows).toHaveLength(0)
})

test('its metrics are those that the alarms name', async () => {
  const mode = (value: string) => JSON.stringify({ mode: value })
  expect(await metricsOf({})).toEqual(
    expect.arrayContaining([
      `CreditExpiry PageMilliseconds Milliseconds ${mode('dry-run')}`,
      `CreditExpiry RunsClosed Count ${mode('dry-run')}`,
      `CreditExpiry UsersFailed Count ${mode('dry-run')}`,
      `CreditExpiry UsdCorrected None ${mode('dry-run')}`,
    ]),
  )
  expect(await metricsOf({ status: 'latest' })).toEqual([
    `CreditExpiry OpenRunIdleSeconds Seconds ${mode('status')}`,
  ])
  expect(await metricsOf({ excute: true })).toEqual([`CreditExpiry InvalidEvents Count ${mode('unknown')}`])
  expect(await metricsOf({ execute: true, plan: '2026-01-01T00-00-00-000Z-dry-run-0000' })).toEqual([
    `CreditExpiry RunsRefused Count ${mode('execute')}`,
  ])
})

test('an error is logged as JSON, with lines of the source and not of the bundle', async () => {
  await lambda.invoke({ excute: true })
  const logged = lambda.lines().findLast((line) => 'error_name' in line) as
    | { error_name: string; stack: string }
    | undefined
  expect(logged?.error_name).toBe('InvalidEvent')
  expect(logged?.stack).toMatch(/lambda\/event\.ts:\d+/)
})

test("no log line holds an e-mail address or the database's address", () => {
  const logs = JSON.stringify(lambda.lines())
  expect(logs).not.toContain('@kilo.ai')
  expect(logs).not.toContain(url)
})

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { freshBucket, readLines, readText, type TestBucket } from '../../support/bucket.ts'
import { freshDatabase, insertTransaction, insertUser } from '../../support/ledger.ts'
import { type Kms, startKms } from '../../support/servers/kms.ts'
import {
  type Asset,
  type AssetProcess,
  readBundle,
  startAsset,
  startSecrets,
  synthesizeAsset,
} from './asset-process.ts'
import { emittedIn } from '../alarms/metric-names.ts'
import { LEAST } from '../synthesized.ts'

/**
 * The synthesized asset itself, loaded as Lambda loads it: the only check that catches a bundle that cannot
 * load.
 */

const { url, sql, drop } = await freshDatabase()
let asset: Asset
let bucket: TestBucket
let kms: Kms
let secrets: Awaited<ReturnType<typeof startSecrets>>
let lambda: AssetProcess
let preview: AssetProcess
/** Its secret names a database that does not exist. */
let elsewhere: AssetProcess
let wrongSecrets: Awaited<ReturnType<typeof startSecrets>>

/** A synthesis with a bundle takes seconds, on a busy machine minutes. */
const SLOW = 300_000

beforeAll(async () => {
  for (const id of ['ada', 'bob']) {
    await insertUser(sql, { id, total_microdollars_acquired: 10_000_000, microdollars_used: 4_000_000 })
    await insertTransaction(sql, { kilo_user_id: id })
  }
  bucket = await freshBucket()
  secrets = await startSecrets(url)
  wrongSecrets = await startSecrets(new URL('/no_such_database', url).href)
  kms = await startKms()
  asset = await synthesizeAsset()
  const onLambda = {
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
  }
  const signing = { SIGNING_KEY_ARN: kms.keyArn, AWS_ENDPOINT_URL_KMS: kms.endpoint }
  lambda = await startAsset(asset, { ...asset.environments.job, ...onLambda, ...signing })
  preview = await startAsset(asset, { ...asset.environments.preview, ...onLambda })
  elsewhere = await startAsset(asset, {
    ...asset.environments.job,
    ...onLambda,
    AWS_ENDPOINT_URL_SECRETS_MANAGER: wrongSecrets.endpoint,
  })
}, SLOW)

afterAll(async () => {
  await Promise.all([lambda.stop(), preview.stop(), elsewhere.stop()])
  await secrets.stop()
  await wrongSecrets.stop()
  await kms.stop()
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

test('it is under 1 MB and reaches no package; a cold start loads no client of AWS and no report', async () => {
  const { whole, atStart } = await readBundle(asset)
  expect(Buffer.byteLength(whole)).toBeLessThan(1_000_000)
  for (const later of ['<!doctype html>', 'GetPublicKey', 'ListBucketResult', 'GetSecretValue']) {
    expect(whole).toContain(later)
    expect(atStart).not.toContain(later)
  }
  expect(lambda.strangers).toEqual([])
  expect(preview.strangers).toEqual([])
})

test('the preview function makes a dry run, and reads the read-only secret alone', async () => {
  const dry = (await preview.invoke({})).card as ExitCard
  expect(dry).toMatchObject({ mode: 'dry-run', status: 'complete', totals: { expired: '$12.00' } })
  expect([...secrets.read]).toEqual([LEAST.readonlyDatabaseSecretArn])
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
  expect(await readLines(bucket, `logs/users/${done.runId}/00000-0001.jsonl`)).toHaveLength(2)
  expect(kms.requests.map(({ operation }) => operation)).toEqual(['Sign'])
  expect(await readText(bucket, `runs/${done.runId}/report.html`)).toContain('$12.00')
  const rows = await sql`SELECT FROM kilocode_users WHERE total_microdollars_acquired <> microdollars_used`
  expect(rows).toHaveLength(0)
})

test('its metrics are those that the alarms name', async () => {
  const mode = (value: string) => JSON.stringify({ stage: 'prod', mode: value })
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
  const errors = ['ErrorsReported', 'InvalidEvents', 'RunsRefused', 'Failures']
  const refused = { execute: true, plan: '2026-01-01T00-00-00-000Z-dry-run-0000' }
  for (const [event, of] of [
    [{ excute: true }, 'unknown'],
    [refused, 'execute'],
  ] as const) {
    expect((await metricsOf(event)).toSorted()).toEqual(
      errors.map((name) => `CreditExpiry ${name} Count ${mode(of)}`).toSorted(),
    )
  }
})

test('an error is one JSON line, with its name and lines of the source, not of the bundle', async () => {
  const errors = () => lambda.lines().filter((line) => 'level' in line && line.level === 'ERROR')
  const before = errors().length
  await lambda.invoke({ excute: true })
  expect(errors()).toHaveLength(before + 1)
  const logged = errors().at(-1) as { error_name: string; stack: string } | undefined
  expect(logged?.error_name).toBe('InvalidEvent')
  expect(logged?.stack).toMatch(/lambda\/event\.ts:\d+/)
  expect(logged?.stack).not.toContain('***')
})

test('names of errors survive the bundler: CloudWatch shows them as error types', async () => {
  expect((await lambda.invoke({ excute: true })).error?.name).toBe('InvalidEvent')
  expect((await readBundle(asset)).whole).toMatch(/extends Error\{name="InvalidEvent"/)
})

test("so does that of the driver's errors: a cause in CloudWatch says PostgresError", async () => {
  expect((await elsewhere.invoke({ execute: true })).error?.name).toBe('LedgerUnavailable')
  const causes = elsewhere.lines().flatMap((line) => ('causes' in line ? line.causes : []))
  expect(causes).toEqual(['PostgresError: database "no_such_database" does not exist'])
})

test("no log line holds an e-mail address or the database's address", () => {
  const logs = JSON.stringify(lambda.lines())
  expect(logs).not.toContain('@kilo.ai')
  expect(logs).not.toContain(url)
})

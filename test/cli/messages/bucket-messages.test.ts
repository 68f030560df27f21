import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startS3, type S3Fault, type S3Server } from '../../../bin/sandbox/s3.ts'
import { freshBucket, type TestBucket } from '../../support/bucket.ts'
import { invokeJob } from '../../support/job.ts'
import { freshDatabase } from '../../support/ledger.ts'
import { ownPlace, start } from '../start.ts'

let database: Awaited<ReturnType<typeof freshDatabase>>
let s3: S3Server
let bucket: TestBucket
let cwd: string
beforeAll(async () => {
  database = await freshDatabase()
  s3 = await startS3()
  cwd = await mkdtemp(join(tmpdir(), 'credit-expiry-bucket-'))
})
afterAll(async () => {
  await database.drop()
  await s3.stop()
  await rm(cwd, { recursive: true })
})
beforeEach(async () => {
  bucket = await freshBucket(s3.endpoint)
})

async function refusal(
  place: Pick<TestBucket, 'bucket' | 'endpoint'>,
  event: object = { execute: true },
  env: Record<string, string> = {},
): Promise<string> {
  return invokeJob(
    { databaseUrl: database.url, bucket: place, env: { AWS_MAX_ATTEMPTS: '1', ...env } },
    event,
  ).then(
    (card) => `no error: ${card.status}`,
    (error: unknown) => (error instanceof Error ? `${error.name}: ${error.message}` : 'no Error'),
  )
}

test('a bucket that is not there', async () => {
  const said = await refusal({ ...bucket, bucket: 'no-such-bucket' })
  expect(said).toBe(
    'ArchiveUnavailable: Could not read control/hold.json in the bucket no-such-bucket: the bucket ' +
      'does not exist (404 NoSuchBucket). Check LOG_BUCKET, and which account and region you use. Then ' +
      'try again.',
  )
})

test.each<[string, S3Fault, string]>([
  [
    'access is forbidden',
    { status: 403, code: 'AccessDenied' },
    'these credentials lack a permission (403 AccessDenied). They need s3:ListBucket on the bucket, ' +
      's3:GetObject and s3:PutObject on its objects',
  ],
  [
    'the credentials have expired',
    { status: 400, code: 'ExpiredToken' },
    'the AWS credentials have expired (400 ExpiredToken). Log in again',
  ],
  [
    'the credentials are wrong',
    { status: 403, code: 'InvalidAccessKeyId' },
    'the AWS credentials are not valid (403 InvalidAccessKeyId). Check AWS_PROFILE',
  ],
  [
    'the signature is wrong',
    { status: 403, code: 'SignatureDoesNotMatch' },
    'the AWS credentials are not valid (403 SignatureDoesNotMatch).',
  ],
  [
    "this machine's clock is wrong",
    { status: 403, code: 'RequestTimeTooSkewed' },
    "this machine's clock is wrong (403 RequestTimeTooSkewed). Set it (NTP)",
  ],
  [
    'the bucket is elsewhere',
    { status: 301, code: 'PermanentRedirect' },
    'the bucket is in another region (301 PermanentRedirect). Set AWS_REGION to the region of the bucket.',
  ],
  [
    'S3 fails',
    { status: 503, code: 'SlowDown' },
    'S3 reported an internal error (503 SlowDown). Wait a minute.',
  ],
  ['another refusal', { status: 400, code: 'Odd' }, 'S3 refused (400 Odd). Check that the bucket exists'],
  ['the connection is cut', 'drop', 'S3 cannot be reached ('],
])('%s', async (_, fault, message) => {
  s3.setHooks(bucket.bucket, { before: () => fault })
  const said = await refusal(bucket)
  expect(said).toContain(
    `ArchiveUnavailable: Could not read control/hold.json in the bucket ${bucket.bucket}: ${message}`,
  )
  expect(said).toMatch(/Then try again\.$/)
})

test('no S3 at all', async () => {
  expect(await refusal({ bucket: 'logs', endpoint: 'http://127.0.0.1:1' })).toContain(
    'S3 cannot be reached (Error). Check the network: in a VPC, an endpoint for S3; elsewhere ' +
      'AWS_ENDPOINT_URL_S3, AWS_REGION and the proxy.',
  )
})

test('an absent object is not taken for one that may not be read', async () => {
  s3.setHooks(bucket.bucket, {
    before: ({ key }) => (key === 'control/writer.json' ? { status: 403, code: 'AccessDenied' } : undefined),
  })
  expect(await refusal(bucket)).toContain('these credentials lack a permission')
})

test('no credentials, no region', async () => {
  const { AWS_ACCESS_KEY_ID: _, ...withoutKey } = ownPlace(database.url, bucket)
  const noKey = await start([], { cwd, env: { ...withoutKey, AWS_EC2_METADATA_DISABLED: 'true' } }).ended
  expect(noKey).toMatchObject({ status: 1, stdout: '' })
  expect(noKey.stderr).toContain(
    'there are no AWS credentials, or the login has expired (CredentialsProviderError). Log in (aws ' +
      'sso login), or set AWS_PROFILE',
  )
  const { AWS_REGION: __, ...withoutRegion } = ownPlace(database.url, bucket)
  const noRegion = await start([], { cwd, env: withoutRegion }).ended
  expect(noRegion.stderr).toContain('no AWS region is set (Error). Set AWS_REGION.')
})

test.each<[string, Record<string, string>, string]>([
  [
    'a bare top-level domain',
    { INTERNAL_DOMAINS: 'kilo.ai,ai' },
    'InvalidConfiguration: The configuration is not valid: INTERNAL_DOMAINS must be a list of domain ' +
      'names, such as kilocode.ai,kilo.ai, not "ai".',
  ],
  [
    'an empty list',
    { INTERNAL_DOMAINS: '' },
    'INTERNAL_DOMAINS must be a list of domain names, such as kilocode.ai,kilo.ai, not "".',
  ],
  [
    'no bucket name',
    { LOG_BUCKET: '' },
    'LOG_BUCKET is required: the name of the S3 bucket for state and logs.',
  ],
  [
    'a database address that is none',
    { DATABASE_URL: 'postgres://u:hunter2#@db' },
    'DATABASE_URL must be a postgres:// URL with user, password, host, port and database, special ' +
      'characters in them percent-encoded.',
  ],
])('%s in the configuration', async (_, env, message) => {
  const said = await refusal(bucket, {}, env)
  expect(said).toContain(message)
  expect(said).not.toContain('hunter2')
})

test.each(['resume', 'cancel', 'status', 'rollback', 'restart', 'plan'])(
  '%s: a run id that is misspelt brings up the nearest',
  async (field) => {
    const { runId } = await invokeJob({ databaseUrl: database.url, bucket }, {})
    for (const misspelt of [
      `${runId.slice(0, -1)}#`.replace('#', runId.endsWith('z') ? 'y' : 'z'),
      runId.slice(0, -2),
    ]) {
      const event = {
        ...(field === 'restart' || field === 'plan' ? { execute: true } : {}),
        [field]: misspelt,
      }
      const said = await refusal(bucket, event)
      expect(said).toContain(misspelt)
      expect(said).toMatch(new RegExp(`(Did you mean |the nearest: )${runId}`))
    }
  },
)

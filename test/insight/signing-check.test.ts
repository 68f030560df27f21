import { generateKeyPairSync } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import type { CheckAnswer } from '../../lambda/insight/check.ts'
import { freshBucket, keys } from '../support/bucket.ts'
import type { InvocationOptions } from '../support/job.ts'
import { type Kms, type KmsBehaviour, startKms } from '../support/servers/kms.ts'
import { freshDatabase } from '../support/ledger.ts'
import { ask } from './ask.ts'

const SOON: InvocationOptions = { host: { waits: { aws: { requestMs: 1_500, tries: 2, pauseMs: 1 } } } }

let kms: Kms
afterEach(async () => {
  delete process.env.AWS_ENDPOINT_URL_KMS
  await kms.stop()
})

/** What {"check": true} says of signing; undefined where it is not checked. */
async function checkOf(
  started: Kms,
  env: Record<string, string> = {},
): Promise<CheckAnswer['checks'][number] | undefined> {
  kms = started
  process.env.AWS_ENDPOINT_URL_KMS = kms.endpoint
  const { url, drop } = await freshDatabase()
  const bucket = await freshBucket()
  const place = { databaseUrl: url, bucket, env: { SIGNING_KEY_ARN: kms.keyArn, ...env } }
  const { checks } = await ask<CheckAnswer>(place, { check: true }, SOON)
  expect(await keys(bucket)).toEqual([])
  await drop()
  return checks.find(({ check }) => check === 'signing')
}

test('a key that signs passes', async () => {
  expect(await checkOf(await startKms())).toEqual({
    check: 'signing',
    ok: true,
    detail: `with ${kms.keyArn}`,
    fix: null,
  })
})

const denied =
  (operation: string) =>
  (request: { operation: string }): KmsBehaviour =>
    request.operation === operation ? { status: 400, error: 'AccessDeniedException' } : 'answer'

test.for([
  ['Sign is not allowed', denied('Sign'), 'the right is missing', 'Allow this role kms:Sign'],
  ['the public key may not be read', denied('GetPublicKey'), 'the right is missing', 'kms:GetPublicKey'],
  [
    'the key is disabled',
    (): KmsBehaviour => ({ status: 409, error: 'DisabledException' }),
    'the key is disabled',
    'aws kms enable-key',
  ],
  [
    'KMS is silent',
    (): KmsBehaviour => 'silent',
    'KMS did not answer',
    'needs an interface endpoint, or NAT',
  ],
] as const)('%s: what is wrong, and a fix', async ([, behave, detail, fix]) => {
  const started = await startKms()
  started.behave(behave)
  expect(await checkOf(started)).toMatchObject({
    ok: false,
    detail: expect.stringContaining(`The key ${kms.keyArn} does not sign: ${detail}`) as string,
    fix: expect.stringContaining(fix) as string,
  })
})

test.for(['RSA_2048', 'ECC_NIST_P384'] as const)('a key of the spec %s is refused', async (spec) => {
  expect(await checkOf(await startKms(spec))).toMatchObject({
    ok: false,
    detail: `The key ${kms.keyArn} does not sign: its key spec is ${spec}.`,
    fix: 'Configure a key with key spec ECC_NIST_P256 and key usage SIGN_VERIFY.',
  })
})

test('a key that does not exist is named', async () => {
  const SIGNING_KEY_ARN = 'arn:aws:kms:us-east-1:123456789012:key/ffffffff-0000-4000-8000-0123456789ab'
  expect((await checkOf(await startKms(), { SIGNING_KEY_ARN }))?.detail).toContain('the key does not exist')
})

test('a configured public key that is not the one of the key is named', async () => {
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
  const SIGNING_PUBLIC_KEYS = other.export({ type: 'spki', format: 'der' }).toString('base64')
  expect(await checkOf(await startKms(), { SIGNING_PUBLIC_KEYS })).toMatchObject({
    ok: false,
    detail: `SIGNING_PUBLIC_KEYS does not hold the public key of ${kms.keyArn}.`,
  })
})

test('the preview function does not sign, so that it has nothing to check', async () => {
  expect(await checkOf(await startKms(), { ALLOW_WRITES: 'false' })).toBeUndefined()
  expect(kms.requests).toEqual([])
})

import { verify } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { auditRun } from '../../support/audit-run.ts'
import { keys, readBytes, readJson, readText } from '../../support/bucket.ts'
import { failureOf, invokeJob, type InvocationOptions, type JobPlace } from '../../support/job.ts'
import { type Kms, startKms } from '../../support/servers/kms.ts'
import { openRunId, readStoredCursor } from '../../support/logs.ts'
import { freshTeam, type Team } from '../../support/places/team.ts'

const EXECUTE = { execute: true }
/** Far longer than the substitute needs, and far shorter than in production. */
const SOON: InvocationOptions = { host: { waits: { aws: { requestMs: 1_500, tries: 2, pauseMs: 1 } } } }

let kms: Kms
let team: Team
let place: JobPlace

beforeAll(async () => {
  kms = await startKms()
  process.env.AWS_ENDPOINT_URL_KMS = kms.endpoint
})
afterAll(async () => {
  delete process.env.AWS_ENDPOINT_URL_KMS
  await kms.stop()
})
beforeEach(async () => {
  kms.behave(() => 'answer')
  team = await freshTeam(2)
  const env = { MIN_GRANT_AGE_SECONDS: '0', SIGNING_KEY_ARN: kms.keyArn }
  place = { databaseUrl: team.url, bucket: team.bucket, env }
})
afterEach(() => team.drop())

const manifestKey = (runId: string) => `runs/${runId}/manifest.json`
const signatureKey = (runId: string) => `runs/${runId}/manifest.sig`
const signatures = async () => (await keys(team.bucket)).filter((key) => key.endsWith('.sig'))

async function isSigned(runId: string): Promise<boolean> {
  const [manifest, signature] = await Promise.all([
    readBytes(team.bucket, manifestKey(runId)),
    readBytes(team.bucket, signatureKey(runId)),
  ])
  return verify('sha256', manifest, kms.publicKey, signature)
}

/** S3 refuses to write one file of a run: an invocation that closes the run ends there. */
function refuseToWrite(file: string): void {
  team.s3.setHooks(team.bucket.bucket, {
    before: ({ method, key }) =>
      method === 'PUT' && key.endsWith(`/${file}`) ? { status: 403, code: 'AccessDenied' } : undefined,
  })
}

async function resumeOpenRun(options?: InvocationOptions) {
  const runId = await openRunId(team.bucket)
  expect(await readStoredCursor(team.bucket, runId)).toMatchObject({ state: 'closing' })
  team.s3.setHooks(team.bucket.bucket, undefined)
  return invokeJob(place, { resume: runId }, options)
}

test('an execute and its rollback are signed, so that the public key alone checks the bytes of the manifest', async () => {
  const run = await invokeJob(place, EXECUTE)
  expect(kms.requests).toEqual([
    {
      operation: 'Sign',
      input: {
        KeyId: kms.keyArn,
        Message: expect.stringMatching(/^[\w+/]{43}=$/) as string,
        MessageType: 'DIGEST',
        SigningAlgorithm: 'ECDSA_SHA_256',
      },
    },
  ])
  expect(run).toMatchObject({ status: 'complete', warnings: [] })
  expect(await isSigned(run.runId)).toBe(true)
  await auditRun(team.bucket, run.runId, team.sql)
  const rollback = await invokeJob(place, { rollback: run.runId, execute: true })
  expect(await isSigned(rollback.runId)).toBe(true)
})

test.for([
  ['a dry run', {}, {}],
  ['an execute without a configured key', EXECUTE, { SIGNING_KEY_ARN: undefined }],
] as const)('%s asks nothing of KMS and has no signature', async ([, event, env]) => {
  const given = Object.fromEntries(
    Object.entries({ ...place.env, ...env }).filter((entry): entry is [string, string] => Boolean(entry[1])),
  )
  expect(await invokeJob({ ...place, env: given }, event)).toMatchObject({ status: 'complete' })
  expect(kms.requests).toEqual([])
  expect(await signatures()).toEqual([])
})

test('KMS that does not answer is asked twice; the run closes without a signature, and its card says so', async () => {
  kms.behave(() => 'silent')
  const card = await invokeJob(place, EXECUTE, SOON)
  expect(kms.requests).toHaveLength(2)
  expect(card).toMatchObject({
    status: 'complete',
    warnings: [
      `the manifest of this run is not signed: The key ${kms.keyArn} does not sign: KMS did not ` +
        'answer (TimeoutError). In a VPC, KMS needs an interface endpoint, or NAT.',
    ],
  })
  expect(await readJson(team.bucket, `runs/${card.runId}/summary.json`)).toEqual(card)
  expect(await signatures()).toEqual([])
  await auditRun(team.bucket, card.runId, team.sql)
  kms.behave(() => 'answer')
  const next = await invokeJob(place, { rollback: card.runId, execute: true })
  expect(await isSigned(next.runId)).toBe(true)
})

test.for(['silent', { status: 500, error: 'KMSInternalException' }] as const)(
  'KMS that fails once (%o) is asked again, and the manifest is signed',
  async (behaviour) => {
    kms.behave((_request, number) => (number === 1 ? behaviour : 'answer'))
    const card = await invokeJob(place, EXECUTE, SOON)
    expect(card.warnings).toEqual([])
    expect(await isSigned(card.runId)).toBe(true)
  },
)

test('a right that is missing is named on the card, and KMS is not asked again', async () => {
  kms.behave(() => ({ status: 400, error: 'AccessDeniedException' }))
  const { status, warnings } = await invokeJob(place, EXECUTE)
  expect(kms.requests).toHaveLength(1)
  expect(status).toBe('complete')
  expect(warnings[0]).toContain('the right is missing (AccessDeniedException). Allow this role kms:Sign')
})

test('a closing that was cut off between manifest and signature is repeated: the same manifest, and signed', async () => {
  refuseToWrite('manifest.sig')
  expect((await failureOf(invokeJob(place, EXECUTE))).name).toBe('ArchiveUnavailable')
  const manifest = await readText(team.bucket, manifestKey(await openRunId(team.bucket)))
  const card = await resumeOpenRun()
  expect(card).toMatchObject({ status: 'complete', warnings: [] })
  expect(await readText(team.bucket, manifestKey(card.runId))).toBe(manifest)
  expect(await isSigned(card.runId)).toBe(true)
})

test('a closing that was cut off after the card ends although KMS is silent by then', async () => {
  refuseToWrite('manifest.json')
  expect((await failureOf(invokeJob(place, EXECUTE))).name).toBe('ArchiveUnavailable')
  kms.behave(() => 'silent')
  const card = await resumeOpenRun(SOON)
  expect(card).toMatchObject({ status: 'complete', warnings: [] })
  expect(await signatures()).toEqual([])
  await auditRun(team.bucket, card.runId, team.sql)
})

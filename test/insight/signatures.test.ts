import { generateKeyPairSync, hash, type KeyObject } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { reportOf, verifyFolder } from '../../bin/verify.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import type { VerifyAnswer } from '../../lambda/insight/verify/verify.ts'
import { freshBucket, putText, readBytes, readText, remove, type TestBucket } from '../support/bucket.ts'
import { download } from '../support/download.ts'
import { failureOf, invokeJob, type InvocationOptions, type JobPlace } from '../support/job.ts'
import { type Kms, startKms } from '../support/servers/kms.ts'
import { freshDatabase, insertTransaction, insertUser } from '../support/ledger.ts'
import { runHere } from '../cli/here.ts'
import { ownPlace } from '../cli/start.ts'
import { ask } from './ask.ts'

const SOON: InvocationOptions = { host: { waits: { aws: { requestMs: 1_500, tries: 2, pauseMs: 1 } } } }

const { url, sql, drop } = await freshDatabase()
const work = await mkdtemp(join(tmpdir(), 'credit-expiry-signed-'))
let kms: Kms
let bucket: TestBucket
let place: JobPlace
/** An execute, its rollback, and another execute: each signed. */
let first: ExitCard
let rollback: ExitCard
let second: ExitCard

beforeAll(async () => {
  kms = await startKms()
  process.env.AWS_ENDPOINT_URL_KMS = kms.endpoint
})
beforeEach(async () => {
  kms.behave(() => 'answer')
  await sql`TRUNCATE kilocode_users, credit_transactions CASCADE`
  await insertUser(sql, { id: 'ada', total_microdollars_acquired: 5_000_000 })
  await insertTransaction(sql, { kilo_user_id: 'ada' })
  bucket = await freshBucket()
  place = { databaseUrl: url, bucket, env: { SIGNING_KEY_ARN: kms.keyArn } }
  first = await invokeJob(place, { execute: true })
  rollback = await invokeJob(place, { rollback: first.runId, execute: true })
  second = await invokeJob(place, { execute: true })
})
afterAll(async () => {
  delete process.env.AWS_ENDPOINT_URL_KMS
  await kms.stop()
  await drop()
  await rm(work, { recursive: true, force: true })
})

const signature = ({ runId }: ExitCard) => `runs/${runId}/manifest.sig`
const manifest = ({ runId }: ExitCard) => `runs/${runId}/manifest.json`
const otherKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString()
const verify = async (at = place, options?: InvocationOptions) =>
  ask<VerifyAnswer>(at, { verify: second.runId }, options)

/** The differences in signatures, each as the file, and what of it. */
async function found(at?: JobPlace): Promise<(string | null)[][]> {
  const { differences } = await verify(at)
  return differences.map(({ step, where, column }) => [step, where, column])
}

test('the job function takes the public key from KMS, and finds every signature of the chain valid', async () => {
  expect(await verify()).toMatchObject({ result: 'verified', checked: { chain: 3, signed: 3 } })
})

test('the preview function checks with the configured public key, and asks nothing of KMS', async () => {
  kms.behave(() => 'silent')
  const env = { ALLOW_WRITES: 'false', SIGNING_PUBLIC_KEYS: pem(kms.publicKey) }
  expect(await verify({ ...place, env })).toMatchObject({ result: 'verified', checked: { signed: 3 } })
  expect(kms.requests).toEqual([])
})

test('without a public key signatures are not checked, and the answer says so', async () => {
  await putText(bucket, signature(second), 'no signature')
  expect(await verify({ ...place, env: {} })).toMatchObject({ result: 'verified', checked: { signed: null } })
})

test('the newest signature missing: named; the one of an earlier run: the newest vouches for it', async () => {
  await remove(bucket, signature(first))
  expect(await verify()).toMatchObject({ result: 'verified', checked: { chain: 3, signed: 2 } })
  await remove(bucket, signature(second))
  expect(await verify()).toMatchObject({
    result: 'differences',
    differences: [
      { step: 'signature', where: signature(second), column: 'object', expected: 'present', found: null },
    ],
  })
})

test('a wrong signature is named, whichever run it belongs to', async () => {
  await putText(bucket, signature(first), await readBytes(bucket, signature(second)))
  await putText(bucket, signature(rollback), 'no signature')
  expect(await found()).toEqual([
    ['signature', signature(rollback), 'signature'],
    ['signature', signature(first), 'signature'],
  ])
})

test('a manifest that was replaced together with the hash that names it has no valid signature', async () => {
  const before = await readText(bucket, manifest(second))
  const edited = before.replace(/"softwareVersion": "[^"]+"/, '"softwareVersion": "9.9.9"')
  await putText(bucket, manifest(second), edited)
  const writer = await readText(bucket, 'control/writer.json')
  await putText(bucket, 'control/writer.json', writer.replace(hash('sha256', before), hash('sha256', edited)))
  expect(await found()).toEqual([['signature', signature(second), 'signature']])
})

test('with the public key of another key every signature is wrong; beside the right one it does no harm', async () => {
  const env = { SIGNING_PUBLIC_KEYS: pem(otherKey()) }
  expect((await found({ ...place, env })).map(([, where]) => where)).toEqual(
    [second, rollback, first].map(signature),
  )
  const both = { SIGNING_PUBLIC_KEYS: `${pem(otherKey())}${pem(kms.publicKey)}` }
  expect(await found({ ...place, env: both })).toEqual([])
})

test('KMS that does not give its public key ends a verification with a named error, not with "verified"', async () => {
  kms.behave(() => 'silent')
  expect(await failureOf(verify(place, SOON))).toMatchObject({
    name: 'SigningFailed',
    message: expect.stringContaining('KMS did not answer') as string,
  })
})

test('the command takes the public key from a file, and refuses it beside anything else', async () => {
  const file = join(work, 'command.pem')
  await writeFile(file, pem(kms.publicKey))
  const at = { cwd: work, env: ownPlace(url, bucket) }
  const verified = await runHere(['--verify', second.runId, '--public-key', file, '--json'], at)
  expect(JSON.parse(verified.stdout)).toMatchObject({ result: 'verified', checked: { signed: 3 } })
  const refused = await runHere(['--public-key', file], at)
  expect(refused).toMatchObject({ status: 1 })
  expect(refused.stderr).toContain('--public-key fits beside --verify only. Nothing was done.')
})

test('a downloaded folder is checked with the public key alone', async () => {
  const folder = join(work, 'downloaded')
  await download(bucket, folder, ['runs/', 'logs/'])
  const reports = async (...publicKeys: KeyObject[]) =>
    (await verifyFolder(folder, { publicKeys })).flatMap(reportOf)
  const verified = expect.stringMatching(/: verified, 1 users and \d+ mutations in 2 parts$/) as string
  expect(await reports(kms.publicKey)).toEqual([verified, verified, verified])

  await rm(join(folder, signature(second)))
  expect(await reports(kms.publicKey)).toEqual([
    verified,
    verified,
    expect.stringContaining(`${second.runId}: 1 difference,`),
    `  ${signature(second)}, object: expected present, found nothing`,
  ])
  expect(await reports(otherKey())).toContain(
    `  ${signature(first)}, signature: expected valid with a public key, found not valid`,
  )
})

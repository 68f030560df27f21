import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterEach, expect, test, vi } from 'vitest'
import { answerCheck } from '../../bin/check-stack.ts'
import type { Answered } from '../../bin/answered.ts'
import { type AwsEndpoints, type LambdaAnswer, startAwsEndpoints } from './aws-endpoints.ts'
import { cardWith } from './workflow/workflow-run.ts'
import type { CheckAnswer } from '../../lambda/insight/check.ts'
import { freshBucket } from '../support/bucket.ts'
import { invokeJob } from '../support/job.ts'
import { freshDatabase } from '../support/ledger.ts'

/** `npm run check` against CloudFormation and Lambda on this machine. */

const STACK = {
  name: 'CreditExpiry-prod',
  status: 'UPDATE_COMPLETE',
  outputs: { PreviewFunctionName: 'preview-function' },
}
const DRY_RUN = cardWith({ mode: 'dry-run', runId: '2026-11-22T06-12-30-123Z-dry-run-k3j9' })
const SECRET = { check: 'secret', ok: true, detail: 'the secret can be read', fix: null }
const COLUMNS = {
  check: 'columns',
  ok: false,
  detail: 'credit_transactions has no column expiry_date',
  fix: 'Check that the search_path of the user leads to the schema of the ledger.',
}

let aws: AwsEndpoints | null = null
afterEach(async () => {
  vi.unstubAllEnvs()
  await aws?.stop()
})

/** What the command prints, with these answers of the preview function. */
async function check(
  answer: (payload: unknown) => LambdaAnswer,
  stack: typeof STACK = STACK,
  given: string[] = [STACK.name],
): Promise<Answered> {
  aws = await startAwsEndpoints(stack, answer)
  for (const [name, value] of Object.entries(aws.env)) vi.stubEnv(name, value)
  return answerCheck(given)
}

const NEXT = { text: 'make a dry run', payload: {} }
const checks = (...lines: CheckAnswer['checks'][number][]): LambdaAnswer => ({
  payload: { answer: 'check', result: 'passed', checks: lines, next: NEXT } satisfies CheckAnswer,
})
const answering = (checked: LambdaAnswer) => (payload: unknown) =>
  'check' in (payload as object) ? checked : { payload: DRY_RUN }

test('everything in place: a line each, and exit status 0', async () => {
  const { exitCode, out } = await check(answering(checks(SECRET)))
  expect(out.split('\n')).toEqual([
    'ok      stack    CreditExpiry-prod is deployed',
    'ok      secret   the secret can be read',
    'ok      dry run  2026-11-22T06-12-30-123Z-dry-run-k3j9 is complete: 1 users matched, $0.00 would expire',
    '',
    'The preview function has everything it needs. Send {"check": true} to the job function to check that one.',
    '',
  ])
  expect(exitCode).toBe(0)
  expect(aws?.invoked).toEqual([
    { path: '/2015-03-31/functions/preview-function/invocations?Qualifier=live', payload: { check: true } },
    { path: '/2015-03-31/functions/preview-function/invocations?Qualifier=live', payload: {} },
  ])
})

test('the answers of the real function are understood: every check a line', async () => {
  const { url, drop } = await freshDatabase()
  const place = { databaseUrl: url, bucket: await freshBucket(), env: { ALLOW_WRITES: 'false' } }
  const [checked, dryRun]: unknown[] = [await invokeJob(place, { check: true }), await invokeJob(place, {})]
  await drop()
  const { exitCode, out } = await check((payload) => ({
    payload: 'check' in (payload as object) ? checked : dryRun,
  }))
  for (const { check: name } of (checked as CheckAnswer).checks) expect(out).toContain(`ok      ${name} `)
  expect(out).toMatch(/ok {6}dry run +\S+-dry-run-\S+ is complete: 0 users matched/)
  expect(out).toContain('The preview function has everything it needs.')
  expect(exitCode).toBe(0)
})

test('something not in place: its fix below it, and exit status 1', async () => {
  const { exitCode, out } = await check(answering(checks(SECRET, COLUMNS)))
  expect(out).toContain(`FAILED  columns  ${COLUMNS.detail}\n`)
  expect(out).toContain(`Fix: ${COLUMNS.fix}\n`)
  expect(out).toContain('1 of 4 not in place')
  expect(exitCode).toBe(1)
})

const unavailable = (errorType: string): LambdaAnswer => ({
  failed: true,
  payload: { errorType, errorMessage: 'No connection within 5 s. Nothing was done.', trace: [] },
})

test.for([
  ['LedgerUnavailable', 'docs/roles.sql'],
  ['ArchiveUnavailable', 'gateway endpoint'],
  ['InvalidConfiguration', 'interface endpoint'],
  ['SomethingNew', 'docs/runbook.md'],
] as const)('%s: reported with its fix, and no dry run is made', async ([name, fix]) => {
  const { exitCode, out } = await check(answering(unavailable(name)))
  expect(out).toContain(`FAILED  check  ${name}: No connection within 5 s.`)
  expect(out).toMatch(new RegExp(`Fix: .*${fix}`))
  expect(aws?.invoked).toHaveLength(1)
  expect(exitCode).toBe(1)
})

test('no right to invoke: names the policy that gives it', async () => {
  const denied = { status: 403, payload: { Message: 'not authorized to perform: lambda:InvokeFunction' } }
  const { out } = await check(() => denied)
  expect(out).toContain('not authorized to perform: lambda:InvokeFunction')
  expect(out).toContain('PreviewPolicyArn')
})

test('a dry run with failed users: not in place', async () => {
  const card = { ...DRY_RUN, status: 'complete_with_errors', why: '2 users failed' }
  const { out } = await check((payload) =>
    'check' in (payload as object) ? checks(SECRET) : { payload: card },
  )
  expect(out).toContain('FAILED  dry run')
  expect(out).toContain('2 users failed')
})

test.for([
  ['no such stack', { ...STACK, name: 'Another' }, 'does not exist', 'AWS_REGION'],
  ['a failed deployment', { ...STACK, status: 'ROLLBACK_COMPLETE' }, 'ROLLBACK_COMPLETE', 'deploy again'],
  ['an older stack', { ...STACK, outputs: {} }, 'no output PreviewFunctionName', 'Deploy this version'],
] as [string, typeof STACK, string, string][])('%s: reported with a fix', async ([, stack, found, fix]) => {
  const { exitCode, out } = await check(answering(checks(SECRET)), stack)
  expect(out).toContain(found)
  expect(out).toContain(fix)
  expect(exitCode).toBe(1)
})

test('an update that was rolled back: said, with a fix, and what is in service is checked', async () => {
  const { exitCode, out } = await check(answering(checks(SECRET)), {
    ...STACK,
    status: 'UPDATE_ROLLBACK_COMPLETE',
  })
  expect(out).toContain('FAILED  stack    CreditExpiry-prod: the last update was rolled back')
  expect(out).toContain('Fix: Open the events of the stack in CloudFormation')
  expect(out).toContain('ok      secret   the secret can be read')
  expect(out).toContain('1 of 3 not in place')
  expect(exitCode).toBe(1)
})

test('without a stack name: the usage', async () => {
  const { exitCode, error } = await check(answering(checks(SECRET)), STACK, [])
  expect(error).toContain('npm run check -- <stack name>')
  expect(exitCode).toBe(1)
})

test('as a person runs it, it ends with that status, and each output has its own', async () => {
  aws = await startAwsEndpoints(STACK, answering(checks(COLUMNS)))
  const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env
  const env = { PATH, NODE_COMPILE_CACHE, ...aws.env }
  const ended = promisify(execFile)(process.execPath, ['bin/check-stack.ts', STACK.name], { env })
  await expect(ended).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringContaining('1 of 3 not in place'),
    stderr: '',
  })
})

import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { environment as schema, readConfig } from '../../lambda/config.ts'
import { NODE_ENVIRONMENT } from '../../lambda/constants.ts'
import { InvalidSettings, readSettings } from '../../infra/settings.ts'
import { EVERYTHING, LEAST, resourcesOf, templateWith } from './synthesized.ts'

/** A scheduled execute with the limits that the function has by default. */
const SCHEDULED = {
  ...LEAST,
  executeSchedule: 'cron(0 7 1 * ? *)',
  executeLimitUsers: '2000',
  executeLimitGrants: '50000',
  executeLimitUsd: '250000',
  executeLimitCorrectionsUsd: '10000',
}

function complaintAbout(values: Record<string, unknown>): string {
  try {
    readSettings(values)
  } catch (error) {
    if (error instanceof InvalidSettings) return error.message
    throw error
  }
  return 'no complaint'
}

test('two secrets are enough, and every value is understood as text, as -c gives it', () => {
  expect(readSettings(LEAST)).toMatchObject({
    network: null,
    scheduledExecute: null,
    dryRunSchedule: 'cron(0 6 ? * MON *)',
  })
  expect(readSettings(EVERYTHING)).toMatchObject({
    numbers: { limitUsers: 300, limitCorrectionsUsd: 100.5, maxFailedUsers: 0 },
    internalDomains: ['kilocode.ai', 'kilo.ai'],
    correctionDescriptions: ['Set right by hand'],
    network: {
      subnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
      securityGroupIds: ['sg-0123456789abcdef0'],
    },
    scheduledExecute: {
      schedule: 'cron(0 7 1 * ? *)',
      limits: { users: 300, grants: 5000, usd: 20_000, correctionsUsd: 100 },
      auto: { newUsers: 5, newUsd: 500.5, stopsOn: ['auto_top_up_risk', 'needs_review'] },
    },
  })
})

test('the limits of a scheduled execute may be as high as those of the function, and no higher', () => {
  const limits = { users: 2000, grants: 50_000, usd: 250_000, correctionsUsd: 10_000 }
  expect(readSettings(SCHEDULED).scheduledExecute?.limits).toEqual(limits)
  const raised = { ...SCHEDULED, limitUsers: '3000', executeLimitUsers: '3000' }
  expect(readSettings(raised).scheduledExecute?.limits).toEqual({ ...limits, users: 3000 })
  const above = { ...SCHEDULED, executeLimitUsers: '2001', executeLimitUsd: '250000.01' }
  for (const name of ['executeLimitUsers', 'executeLimitUsd'])
    expect(complaintAbout(above)).toContain(`- "${name}" is `)
})

test('without limits for what is new, a scheduled execute asks as soon as anything is new', () => {
  const { autoExecuteNewUsers, autoExecuteNewUsd, autoExecuteStopsOn, ...others } = EVERYTHING
  expect([autoExecuteNewUsers, autoExecuteNewUsd, autoExecuteStopsOn]).not.toContain(undefined)
  expect(readSettings(others).scheduledExecute?.auto).toEqual({
    newUsers: 0,
    newUsd: 0,
    stopsOn: ['auto_top_up_risk', 'needs_review'],
  })
  expect(readSettings({ ...others, autoExecuteStopsOn: 'none' }).scheduledExecute?.auto.stopsOn).toEqual([])
})

test('an alarm links to the runbook of this repository, with an absolute address', () => {
  expect(readSettings(LEAST).runbookUrl).toMatch(/^https:\/\/github\.com\/.+\/docs\/runbook\.md$/)
})

test.for([
  [{}, '"databaseSecretArn" is missing; it must be like arn:aws:secretsmanager:'],
  [
    { databaseSecretArn: 'postgres://user:secret@host/db' },
    '"databaseSecretArn" must be like arn:aws:secretsmanager:',
  ],
  [
    { databaseSecretArn: 'arn:aws:secretsmanager:us-east-1:123456789012:secret:ledger' },
    'the whole ARN, with its last six characters',
  ],
  [{ databaseSecretArn: LEAST.databaseSecretArn }, '"readonlyDatabaseSecretArn" is missing'],
  [
    { ...LEAST, readonlyDatabaseSecretArn: LEAST.databaseSecretArn },
    '"readonlyDatabaseSecretArn" must be another secret than "databaseSecretArn"',
  ],
  [{ ...LEAST, stage: 'Prod' }, '"stage" must be like prod, in lower case, not "Prod"'],
  [{ ...LEAST, databaseAuth: 'password' }, '"databaseAuth" must be secret or iam'],
  [{ ...LEAST, databaseAuth: 'iam' }, '"databaseAuth" iam needs "databaseResourceId"'],
  [{ ...LEAST, runbookUrl: 'docs/runbook.md' }, '"runbookUrl" must be like https://'],
  [{ ...LEAST, autoExecuteNewUsers: '5' }, 'set "executeSchedule" too'],
  [
    { ...EVERYTHING, autoExecuteStopsOn: 'negative' },
    '"autoExecuteStopsOn" must be names out of auto_top_up_risk',
  ],
  [
    { ...LEAST, internalDomains: 'ai' },
    '"internalDomains" must be a list like kilocode.ai,kilo.ai, not "ai"',
  ],
  [{ ...LEAST, internalDomains: '' }, '"internalDomains" must be a list like kilocode.ai,kilo.ai'],
  [{ ...LEAST, limitUsers: '-1' }, '"limitUsers" must be a number, such as 2000, not "-1"'],
  [{ ...LEAST, limitUsers: '1.5' }, '"limitUsers" must be a whole number, such as 2000, not "1.5"'],
  [{ ...LEAST, logRetentionDays: '7' }, '"logRetentionDays" must be one of 30, 60, 90'],
  [{ ...LEAST, schedulesPaused: 'yes' }, '"schedulesPaused" must be true or false, not "yes"'],
  [
    { ...LEAST, scheduleTimeZone: 'Mars/Olympus' },
    '"scheduleTimeZone" must be a time zone like Europe/Amsterdam',
  ],
  [
    { ...LEAST, dryRunSchedule: 'weekly' },
    '"dryRunSchedule" must be like cron(0 6 ? * MON *), or none, not "weekly"',
  ],
  [
    { ...LEAST, correctionDescriptions: 'a text' },
    '"correctionDescriptions" must be a JSON list of texts like ["',
  ],
  [{ ...LEAST, noticesEmail: 'nobody' }, '"noticesEmail" must be like credits-team@example.com'],
  [{ ...LEAST, vpcId: 'vpc-0123456789abcdef0' }, '"vpcId" and "subnetIds" go together'],
  [{ ...LEAST, securityGroupIds: 'sg-0123456789abcdef0' }, '"vpcId" and "subnetIds" go together'],
  [
    { ...LEAST, vpcId: 'default', subnetIds: 'subnet-0123456789abcdef0' },
    '"vpcId" must be like vpc-0123456789abcdef0, not "default"',
  ],
  [{ ...LEAST, executeSchedule: 'rate(30 days)' }, '"executeSchedule" needs limits of its own'],
  [{ ...LEAST, executeLimitUsers: '1' }, 'set "executeSchedule" too'],
  [
    { ...SCHEDULED, executeLimitUsers: '2001' },
    '"executeLimitUsers" is 2001, above the function\'s "limitUsers", which is 2000 by default',
  ],
  [
    { ...SCHEDULED, executeLimitGrants: '50001' },
    'Lower "executeLimitGrants" to at most 50000, or raise "limitGrants" to at least 50001',
  ],
  [
    { ...SCHEDULED, executeLimitUsd: '300.5', limitUsd: '300' },
    '"executeLimitUsd" is 300.5, above the function\'s "limitUsd", which is 300: every scheduled execute',
  ],
  [
    { ...SCHEDULED, executeLimitCorrectionsUsd: '0.01', limitCorrectionsUsd: '0' },
    '"executeLimitCorrectionsUsd" is 0.01, above the function\'s "limitCorrectionsUsd", which is 0',
  ],
  [{ ...LEAST, databasePort: '0' }, '"databasePort" must be a port from 1 to 65535, like 5432, not "0"'],
  [{ ...LEAST, databasePort: '99999' }, '"databasePort" must be a port from 1 to 65535, like 5432'],
  [{ ...LEAST, limitUsrs: '1' }, '"limitUsrs" is not known: the values are stage'],
] as [Record<string, unknown>, string][])(
  '%j is refused, with a right value shown',
  ([values, complaint]) => {
    expect(complaintAbout(values)).toContain(complaint)
  },
)

test('everything that is wrong is reported at once', () => {
  const complaint = complaintAbout({ limitUsd: 'much', vpcID: 'vpc-0123456789abcdef0' })
  for (const name of ['databaseSecretArn', 'limitUsd', 'vpcID']) expect(complaint).toContain(`"${name}"`)
})

test("the toolkit's own context and feature flags are no settings", () => {
  expect(
    complaintAbout({
      ...LEAST,
      '@aws-cdk/core:checkSecretUsage': true,
      'aws:cdk:enable-path-metadata': true,
    }),
  ).toBe('no complaint')
})

test('what is configured arrives in the job function, under the names and in the form that it reads', () => {
  const environment = environmentWith(EVERYTHING)
  const known = new Set<string>([
    ...schema.keyof().options,
    ...Object.keys(NODE_ENVIRONMENT),
    'NODE_EXTRA_CA_CERTS',
  ])
  expect(Object.keys(environment).filter((name) => !known.has(name))).toEqual([])
  expect(readConfig(environment)).toMatchObject({
    bucket: 'a-bucket',
    database: { secretArn: EVERYTHING.databaseSecretArn },
    readonlyDatabase: { secretArn: EVERYTHING.readonlyDatabaseSecretArn },
    domains: ['kilo.ai', 'kilocode.ai'],
    limits: { users: 300, grants: 5000, usd: 20_000, correctionsUsd: 100.5 },
    maxFailedUsers: 0,
    maxFailedPercent: 1.5,
    minGrantAgeSeconds: 120,
    planMaxAgeHours: 12,
    correctionDescriptions: ['Set right by hand'],
  })
  expect(environment).toMatchObject({
    STAGE: 'staging',
    DATABASE_AUTH: 'iam',
    DATABASE_HOST: `${EVERYTHING.databaseHost}:${EVERYTHING.databasePort}`,
    DATABASE_NAME: 'app',
    REVIEW_CATEGORIES: 'manual_decrement,kilo-pass-store-refund:*',
    EXCLUDED_CATEGORIES: 'promo-*',
    EXCLUDED_USER_IDS: 'oauth/google:1182',
    LEDGER_FORMERLY: '7312345678901234567/16384/app,db.example.com:5432',
    ACCEPTED_REFERENCES: 'a_credit_fkey,b_credit_fkey',
    SIGNING_KEY_ARN: EVERYTHING.signingKeyArn,
    SIGNING_PUBLIC_KEYS: EVERYTHING.signingPublicKeys,
  })
})

test('what is not configured is left to the defaults of the function', () => {
  expect(Object.keys(environmentWith(LEAST)).toSorted()).toEqual([
    'DATABASE_SECRET_ARN',
    'LOG_BUCKET',
    'MALLOC_ARENA_MAX',
    'NODE_EXTRA_CA_CERTS',
    'NODE_OPTIONS',
    'READONLY_DATABASE_SECRET_ARN',
    'STAGE',
  ])
})

test('the app itself says what is wrong and nothing else', () => {
  const context = JSON.stringify({ databaseSecretArn: 'ledger' })
  const app = spawnSync(process.execPath, ['bin/app.ts'], {
    env: { ...process.env, CDK_CONTEXT_JSON: context },
    encoding: 'utf8',
  })
  expect(app.status).toBe(1)
  expect(app.stderr).toContain('"databaseSecretArn" must be like arn:aws:secretsmanager:')
  expect(app.stderr).not.toContain('    at ')
})

function environmentWith(values: Record<string, unknown>): Record<string, string> {
  const [, job] =
    resourcesOf(templateWith(values), 'AWS::Lambda::Function').find(([id]) =>
      id.startsWith('FunctionsJob'),
    ) ?? []
  const environment = job?.Properties['Environment'] as { Variables: Record<string, string> } | undefined
  return { ...environment?.Variables, LOG_BUCKET: 'a-bucket' }
}

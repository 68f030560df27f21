import { App, type Stack } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import manifest from '../../cdk.json' with { type: 'json' }
import { readSettings } from '../../infra/settings.ts'
import { CreditExpiryStack } from '../../infra/stack.ts'

const SECRET = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:ledger-AbCdEf'
const KEY = 'arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-4000-8000-0123456789ab'

const READONLY_SECRET = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:ledger-readonly-GhIjKl'

/** The least that must be configured. */
export const LEAST = { databaseSecretArn: SECRET, readonlyDatabaseSecretArn: READONLY_SECRET }

/** Every value that can be configured, as `-c name=value` gives it: as text. */
export const EVERYTHING = {
  stage: 'staging',
  owner: 'credits-team',
  databaseSecretArn: SECRET,
  readonlyDatabaseSecretArn: READONLY_SECRET,
  databaseAuth: 'iam',
  databaseHost: 'ledger.abc123.us-east-1.rds.amazonaws.com',
  databasePort: '6432',
  databaseName: 'app',
  databaseResourceId: 'db-ABCDEFGHIJKL0123456789',
  databaseUser: 'expiry_writer',
  readonlyDatabaseUser: 'expiry_reader',
  secretKeyArn: 'arn:aws:kms:us-east-1:123456789012:key/1b2c3d4e-0000-4000-8000-0123456789ab',
  logKeyArn: KEY,
  signingKeyArn: 'arn:aws:kms:us-east-1:123456789012:key/2c3d4e5f-0000-4000-8000-0123456789ab',
  signingPublicKeys:
    'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8p0JRo9KS/NoSBd8f5HEpfcV7Pon560F8lyol15MfL5v9GcyA1TO9CfqF0hCdu42WEHhyyT6ZeNXdESNIpS3Ag==',
  vpcId: 'vpc-0123456789abcdef0',
  subnetIds: 'subnet-0123456789abcdef0,subnet-0123456789abcdef1',
  securityGroupIds: 'sg-0123456789abcdef0',
  internalDomains: 'kilocode.ai,kilo.ai',
  limitUsers: '300',
  limitGrants: '5000',
  limitUsd: '20000',
  limitCorrectionsUsd: '100.5',
  maxFailedUsers: '0',
  maxFailedPercent: '1.5',
  minGrantAgeSeconds: '120',
  planMaxAgeHours: '12',
  correctionDescriptions: '["Set right by hand"]',
  reviewCategories: 'manual_decrement,kilo-pass-store-refund:*',
  excludedCategories: 'promo-*',
  excludedUserIds: 'oauth/google:1182',
  ledgerFormerly: '7312345678901234567/16384/app,db.example.com:5432',
  acceptedReferences: 'a_credit_fkey,b_credit_fkey',
  noticesEmail: 'credits-team@example.com',
  correctionsAlarmUsd: '50',
  runbookUrl: 'https://example.com/runbook.md',
  logRetentionDays: '90',
  logExpiryDays: '730',
  objectLockDays: '365',
  consoleTestEvents: 'true',
  schedulesPaused: 'false',
  scheduleTimeZone: 'Europe/Amsterdam',
  dryRunSchedule: 'cron(0 5 ? * TUE *)',
  verifySchedule: 'cron(0 9 ? * TUE *)',
  executeSchedule: 'cron(0 7 1 * ? *)',
  executeLimitUsers: '300',
  executeLimitGrants: '5000',
  executeLimitUsd: '20000',
  executeLimitCorrectionsUsd: '100',
  autoExecuteNewUsers: '5',
  autoExecuteNewUsd: '500.5',
  autoExecuteStopsOn: 'auto_top_up_risk,needs_review',
}

export type Resource = {
  readonly Type: string
  readonly Properties: Record<string, unknown>
  readonly DeletionPolicy?: string
  readonly UpdateReplacePolicy?: string
}

/**
 * Kept when the stack goes or an update replaces it; deleted when the deployment that created it is rolled
 * back.
 */
export const KEPT = { DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' }

/**
 * Where a synthesis goes to, and whether it makes the bundle. Without, it is for the template alone, and
 * quick.
 */
type Synthesis = { readonly outdir: string; readonly bundle?: boolean }

/** Takes more than a second in each process; findings.test.ts has it on. */
const OWN_RULES_OF_CDK = '@aws-cdk/core:validateAgainstDefaultRules'

/** A CDK app with the feature flags of cdk.json, and the stack in it. */
export function stackWith(
  values: Readonly<Record<string, unknown>> = LEAST,
  synthesis?: Synthesis,
): { app: App; stack: Stack } {
  const app = new App({
    ...(synthesis && { outdir: synthesis.outdir }),
    context: {
      ...manifest.context,
      ...(synthesis?.bundle !== true && { 'aws:cdk:bundling-stacks': [] }),
      ...(!synthesis && { [OWN_RULES_OF_CDK]: false }),
    },
  })
  return { app, stack: new CreditExpiryStack(app, 'CreditExpiry', readSettings(values)) }
}

/** The template that would be deployed. */
export function templateWith(values?: Readonly<Record<string, unknown>>): Template {
  return Template.fromStack(stackWith(values).stack)
}

/** All resources of a type, or of any, by their logical ids. */
export function resourcesOf(template: Template, type?: string): [string, Resource][] {
  const all = Object.entries(template.toJSON()['Resources'] as Record<string, Resource>)
  return type === undefined ? all : all.filter(([, resource]) => resource.Type === type)
}

/** The only resource of a type. */
export function onlyOf(template: Template, type: string): Resource {
  const [first, ...others] = resourcesOf(template, type)
  if (!first || others.length > 0)
    throw new Error(`There are ${others.length + (first ? 1 : 0)} resources of type ${type}, not one.`)
  return first[1]
}

/** The properties of the only resource of a type whose logical id begins so. */
export function propertiesOf(template: Template, type: string, idPrefix: string): Record<string, unknown> {
  const found = resourcesOf(template, type).filter(([id]) => id.startsWith(idPrefix))
  if (found.length !== 1) throw new Error(`${found.length} resources of type ${type} begin with ${idPrefix}.`)
  return found[0]?.[1].Properties ?? {}
}

export type Statement = {
  readonly Sid?: string
  readonly Effect: string
  readonly Action: string | string[]
  readonly Resource: unknown
  readonly Principal?: unknown
  readonly Condition?: unknown
}

/** The statements of all policies whose logical id begins so. */
export function statementsOf(template: Template, type: string, idPrefix: string): Statement[] {
  return resourcesOf(template, type)
    .filter(([id]) => id.startsWith(idPrefix))
    .flatMap(([, { Properties }]) => (Properties['PolicyDocument'] as { Statement: Statement[] }).Statement)
}

/** The actions of a statement, of which there may be one or many. */
export function actionsOf({ Action }: Statement): string[] {
  return typeof Action === 'string' ? [Action] : Action
}

import * as z from 'zod'
import type { Limits } from '../lambda/limits.ts'
import manifest from '../package.json' with { type: 'json' }
import { NO_STOPS, STOPS } from './workflow/auto-execute-stops.ts'
import { aboveFunctionLimits, type FunctionNumbers, functionNumbers } from './functions/function-numbers.ts'
import {
  days,
  keyArn,
  list,
  number,
  optionalSchedule,
  port,
  schedule,
  secretArn,
  text,
  texts,
  whole,
  yesOrNo,
} from './setting-types.ts'

/**
 * The deployment's configuration is wrong or incomplete. The message names each value and shows a valid one.
 */
export class InvalidSettings extends Error {
  override readonly name = 'InvalidSettings'
}

/** CloudWatch keeps logs for one of these numbers of days only. */
const RETENTION_DAYS = [
  30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
]

const CATEGORY = /^[\w:.-]+\*?$/
const HOST = /^[\w-]+(\.[\w-]+)*$/
/** As the function's message gives it: the identity of a database, or the address of its server. */
const FORMER_LEDGER = /^(\d{15,20}\/\d+\/[\w$-]+|[\w.-]+:\d{1,5})$/
const DATABASE_USER = /^[\w$-]{1,63}$/
/** A public key of the spec ECC_NIST_P256 as KMS gives it: its first bytes say which kind of key it is. */
const PUBLIC_KEY = /^MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{86}==$/
const PUBLIC_KEY_EXAMPLE = 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE…=='
const RUNBOOK = `${manifest.repository.url}/blob/main/docs/runbook.md`

const fields = z.object({
  stage: text(/^[a-z][a-z0-9-]{0,19}$/, 'prod, in lower case').default('prod'),
  owner: text(/^[\w .:/=+@-]{1,128}$/, 'credits-team').optional(),

  databaseSecretArn: secretArn,
  readonlyDatabaseSecretArn: secretArn,
  databaseAuth: z.enum(['secret', 'iam'], { error: 'must be secret or iam' }).default('secret'),
  databaseHost: text(HOST, 'ledger.abc123.eu-central-1.rds.amazonaws.com').optional(),
  databasePort: port(5432).default(5432),
  databaseName: text(/^[\w$-]{1,63}$/, 'app').optional(),
  databaseResourceId: text(
    /^(db|cluster|prx)-[A-Za-z0-9]+$/,
    'db-ABCDEFGHIJKL0123456789 (cluster-… for Aurora, prx-… for RDS Proxy)',
  ).optional(),
  databaseUser: text(DATABASE_USER, 'credit_expiry_execute').default('credit_expiry_execute'),
  readonlyDatabaseUser: text(DATABASE_USER, 'credit_expiry_dry_run').default('credit_expiry_dry_run'),
  secretKeyArn: keyArn.optional(),
  logKeyArn: keyArn.optional(),
  signingKeyArn: keyArn.optional(),
  signingPublicKeys: list(
    PUBLIC_KEY,
    `${PUBLIC_KEY_EXAMPLE}, as aws kms get-public-key prints it`,
  ).optional(),

  vpcId: text(/^vpc-[0-9a-f]{8,17}$/, 'vpc-0123456789abcdef0').optional(),
  subnetIds: list(/^subnet-[0-9a-f]{8,17}$/, 'subnet-0123456789abcdef0,subnet-0123456789abcdef1').optional(),
  securityGroupIds: list(/^sg-[0-9a-f]{8,17}$/, 'sg-0123456789abcdef0').optional(),

  internalDomains: list(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/i, 'kilocode.ai,kilo.ai').optional(),
  correctionDescriptions: texts('["Correction to $0 after expiring internal free credits"]').optional(),
  reviewCategories: list(CATEGORY, 'manual_decrement,kilo-pass-store-refund:*').optional(),
  excludedCategories: list(CATEGORY, 'kilo-pass-bonus,promo-*').optional(),
  excludedUserIds: list(/^[^\s,]+$/, 'oauth/google:118212345678901234567').optional(),
  ledgerFormerly: list(FORMER_LEDGER, '7312345678901234567/16384/app,db.example.com:5432').optional(),
  acceptedReferences: list(/^[\w$]+$/, 'usage_credit_transaction_id_fkey').optional(),

  noticesEmail: text(/^[^@\s]+@[^@\s]+\.[^@\s]+$/, 'credits-team@example.com').optional(),
  correctionsAlarmUsd: number(1000).default(1000),
  runbookUrl: text(/^https:\/\/\S+$/, RUNBOOK).default(RUNBOOK),
  logRetentionDays: whole(365)
    .refine((count) => RETENTION_DAYS.includes(count), `must be one of ${RETENTION_DAYS.join(', ')}`)
    .default(365),
  logExpiryDays: days(730).optional(),
  objectLockDays: days(365).optional(),
  consoleTestEvents: yesOrNo.default(false),

  schedulesPaused: yesOrNo.default(false),
  scheduleTimeZone: z
    .string()
    .refine(
      (zone) => Intl.supportedValuesOf('timeZone').includes(zone) || zone === 'UTC',
      'must be a time zone like Europe/Amsterdam',
    )
    .default('UTC'),
  dryRunSchedule: optionalSchedule('cron(0 6 ? * MON *)'),
  verifySchedule: optionalSchedule('cron(0 8 ? * MON *)'),
  executeSchedule: schedule.optional(),
  executeLimitUsers: whole(300).optional(),
  executeLimitGrants: whole(5000).optional(),
  executeLimitUsd: number(20_000).optional(),
  executeLimitCorrectionsUsd: number(100).optional(),
  autoExecuteNewUsers: whole(5).optional(),
  autoExecuteNewUsd: number(500).optional(),
  autoExecuteStopsOn: list(/^[a-z_]+$/, STOPS.join(','))
    .refine(
      (names) => names.every((name) => [...STOPS, NO_STOPS].includes(name)),
      `must be names out of ${STOPS.join(', ')}, or ${NO_STOPS}`,
    )
    .optional(),
})

type Fields = z.infer<typeof fields>

/** How the functions reach a database in a VPC; without security groups they get one of their own. */
export type Network = {
  readonly vpcId: string
  readonly subnetIds: readonly string[]
  readonly securityGroupIds: readonly string[]
}

/** When a scheduled run executes its plan without a person's approval. Default: only when nothing is new. */
export type AutoExecute = {
  readonly newUsers: number
  readonly newUsd: number
  readonly stopsOn: readonly string[]
}

export type ScheduledExecute = {
  readonly schedule: string
  /** The limits that every scheduled execute carries. */
  readonly limits: Limits
  readonly auto: AutoExecute
}

/** What is configured for a deployment. What is absent is left to the function's own default. */
export type Settings = Readonly<Fields> & {
  readonly numbers: FunctionNumbers
  readonly network: Network | null
  readonly scheduledExecute: ScheduledExecute | null
}

/**
 * Reads the deployment's configuration from the context of a CDK app: cdk.json, and `-c name=value`.
 * @throws InvalidSettings naming every value that is wrong, missing or unknown
 */
export function readSettings(context: Readonly<Record<string, unknown>>): Settings {
  const own = Object.fromEntries(Object.entries(context).filter(([key]) => !belongsToCdk(key)))
  const parsed = fields.safeParse(own)
  const numbers = functionNumbers.safeParse(own)
  const known = [...Object.keys(fields.shape), ...Object.keys(functionNumbers.shape)]
  const wrong = [
    ...[parsed, numbers]
      .flatMap(({ error }) => error?.issues ?? [])
      .map(({ path, message }) => sentence(String(path[0]), own, message)),
    ...Object.keys(own)
      .filter((key) => !known.includes(key))
      .map((key) => `"${key}" is not known: the values are ${known.join(', ')}`),
  ]
  if (!parsed.success || !numbers.success || wrong.length > 0) throw invalid(wrong)
  checkSecrets(parsed.data)
  const scheduledExecute = scheduledExecuteOf(parsed.data)
  const above = scheduledExecute ? aboveFunctionLimits(scheduledExecute.limits, numbers.data) : []
  if (above.length > 0) throw invalid(above)
  return {
    ...parsed.data,
    numbers: numbers.data,
    network: networkOf(parsed.data),
    scheduledExecute,
  }
}

/** The preview function may read its own secret only; that means nothing where both are the same. */
function checkSecrets(given: Fields): void {
  if (given.databaseSecretArn === given.readonlyDatabaseSecretArn) {
    throw invalid([
      '"readonlyDatabaseSecretArn" must be another secret than "databaseSecretArn": that of the user ' +
        'credit_expiry_dry_run (docs/roles.sql)',
    ])
  }
  if (given.databaseAuth === 'iam' && given.databaseResourceId === undefined) {
    throw invalid([
      '"databaseAuth" iam needs "databaseResourceId", such as db-ABCDEFGHIJKL0123456789 (aws rds ' +
        'describe-db-instances shows it as DbiResourceId)',
    ])
  }
}

function networkOf({ vpcId, subnetIds, securityGroupIds }: Fields): Network | null {
  if (vpcId !== undefined && subnetIds !== undefined)
    return { vpcId, subnetIds, securityGroupIds: securityGroupIds ?? [] }
  if (vpcId === undefined && subnetIds === undefined && securityGroupIds === undefined) return null
  throw invalid([
    '"vpcId" and "subnetIds" go together (and "securityGroupIds" only with them), such as ' +
      'vpc-0123456789abcdef0 and subnet-0123456789abcdef0',
  ])
}

function scheduledExecuteOf(given: Fields): ScheduledExecute | null {
  const { executeSchedule, executeLimitUsers: users, executeLimitGrants: grants } = given
  const { executeLimitUsd: usd, executeLimitCorrectionsUsd: correctionsUsd } = given
  const { autoExecuteNewUsers, autoExecuteNewUsd, autoExecuteStopsOn } = given
  const dependent = [users, grants, usd, correctionsUsd, autoExecuteNewUsers, autoExecuteNewUsd]
  if (executeSchedule === undefined) {
    if ([...dependent, autoExecuteStopsOn].every((value) => value === undefined)) return null
    throw invalid([
      '"executeLimit…" and "autoExecute…" values are for scheduled executes only: set ' +
        '"executeSchedule" too, such as cron(0 7 1 * ? *)',
    ])
  }
  if (users === undefined || grants === undefined || usd === undefined || correctionsUsd === undefined) {
    throw invalid([
      '"executeSchedule" needs limits of its own: "executeLimitUsers" (300, say), "executeLimitGrants" ' +
        '(5000), "executeLimitUsd" (20000) and "executeLimitCorrectionsUsd" (100)',
    ])
  }
  const stopsOn = autoExecuteStopsOn ?? ['auto_top_up_risk', 'needs_review']
  return {
    schedule: executeSchedule,
    limits: { users, grants, usd, correctionsUsd },
    auto: {
      newUsers: autoExecuteNewUsers ?? 0,
      newUsd: autoExecuteNewUsd ?? 0,
      stopsOn: stopsOn.filter((name) => name !== NO_STOPS),
    },
  }
}

function sentence(name: string, own: Readonly<Record<string, unknown>>, message: string): string {
  const value = own[name]
  if (value === undefined) return `"${name}" is missing; it ${message}`
  return `"${name}" ${message}, not ${JSON.stringify(value)}`
}

function invalid(sentences: readonly string[]): InvalidSettings {
  const lines = sentences.map((line) => `- ${line}`).join('\n')
  return new InvalidSettings(
    `The deployment's configuration is not valid:\n${lines}\nNothing was synthesized. Set these in the ` +
      'context of cdk.json, or with -c name=value.',
  )
}

/** Feature flags, look-ups and the toolkit's own values live in the same context. */
function belongsToCdk(key: string): boolean {
  return /[@:/]/.test(key) || key === 'tree'
}

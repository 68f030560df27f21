import * as z from 'zod'

/** The deployment's configuration is wrong or incomplete. The message names each value and shows a right one. */
export class InvalidSettings extends Error {
  override readonly name = 'InvalidSettings'
}

const CORRECTIONS = '["Correction to $0 after expiring internal free credits"]'

const text = (pattern: RegExp, example: string) =>
  z
    .string({ error: `must be like ${example}` })
    .trim()
    .regex(pattern, `must be like ${example}`)

const list = (item: RegExp, example: string) =>
  z
    .union([z.string(), z.array(z.string())], { error: `must be a list like ${example}` })
    .transform((given) => (typeof given === 'string' ? given.split(',') : given).map((part) => part.trim()))
    .refine((parts) => parts.every((part) => item.test(part)), `must be a list like ${example}`)

const number = (example: number) =>
  z
    .union(
      [
        z.number(),
        z
          .string()
          .trim()
          .regex(/^\d+(\.\d+)?$/)
          .transform(Number),
      ],
      { error: `must be a number like ${example}` },
    )
    .refine((value) => value >= 0, `must be a number like ${example}`)

const whole = (example: number) =>
  number(example).refine(Number.isSafeInteger, `must be a whole number like ${example}`)

const yesOrNo = z.union([z.boolean(), z.enum(['true', 'false']).transform((word) => word === 'true')], {
  error: 'must be true or false',
})

const schedule = text(/^(cron|rate|at)\(.+\)$/, 'cron(0 7 1 * ? *)')
const secret = text(
  /^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:.+-[A-Za-z0-9]{6}$/,
  'arn:aws:secretsmanager:eu-central-1:123456789012:secret:ledger-AbCdEf (the whole ARN, with its last six characters)',
)
const keyArn = text(
  /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/.+$/,
  'arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0000-4000-8000-0123456789ab',
)

/** CloudWatch keeps logs for one of these numbers of days only. */
const RETENTION_DAYS = [
  30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
]

const descriptions = z.union(
  [
    z.array(z.string().min(1)),
    z
      .string()
      .transform(fromJson)
      .pipe(z.array(z.string().min(1))),
  ],
  {
    error: `must be a JSON list of texts like ${CORRECTIONS}`,
  },
)

const fields = z.object({
  databaseSecretArn: secret,
  readonlyDatabaseSecretArn: secret.optional(),
  secretKeyArn: keyArn.optional(),
  logKeyArn: keyArn.optional(),

  vpcId: text(/^vpc-[0-9a-f]{8,17}$/, 'vpc-0123456789abcdef0').optional(),
  subnetIds: list(/^subnet-[0-9a-f]{8,17}$/, 'subnet-0123456789abcdef0,subnet-0123456789abcdef1').optional(),
  securityGroupIds: list(/^sg-[0-9a-f]{8,17}$/, 'sg-0123456789abcdef0').optional(),

  internalDomains: list(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/i, 'kilocode.ai,kilo.ai').optional(),
  limitUsers: whole(2000).optional(),
  limitGrants: whole(50_000).optional(),
  limitUsd: number(250_000).optional(),
  limitCorrectionsUsd: number(10_000).optional(),
  maxFailedUsers: whole(20).optional(),
  maxFailedPercent: number(5).optional(),
  minGrantAgeSeconds: whole(60).optional(),
  planMaxAgeHours: number(24).optional(),
  correctionDescriptions: descriptions.optional(),
  acceptedForeignKeys: list(/^[\w$]+$/, 'usage_credit_transaction_id_fkey').optional(),

  noticesEmail: text(/^[^@\s]+@[^@\s]+\.[^@\s]+$/, 'credits-team@example.com').optional(),
  correctionsAlarmUsd: number(1000).default(1000),
  runbookUrl: z.string().min(1, 'must be where docs/runbook.md can be read').default('docs/runbook.md'),
  logRetentionDays: whole(365)
    .refine((days) => RETENTION_DAYS.includes(days), `must be one of ${RETENTION_DAYS.join(', ')}`)
    .default(365),

  schedulesPaused: yesOrNo.default(false),
  scheduleTimeZone: z
    .string()
    .refine(
      (zone) => Intl.supportedValuesOf('timeZone').includes(zone) || zone === 'UTC',
      'must be a time zone like Europe/Amsterdam',
    )
    .default('UTC'),
  dryRunSchedule: text(/^(none|(cron|rate|at)\(.+\))$/, 'cron(0 6 ? * MON *), or none').default(
    'cron(0 6 ? * MON *)',
  ),
  executeSchedule: schedule.optional(),
  executeLimitUsers: whole(300).optional(),
  executeLimitGrants: whole(5000).optional(),
  executeLimitUsd: number(20_000).optional(),
  executeLimitCorrectionsUsd: number(100).optional(),
})

type Fields = z.infer<typeof fields>

/** How the function reaches a database in a VPC; without security groups it gets one of its own. */
export type Network = {
  readonly vpcId: string
  readonly subnetIds: readonly string[]
  readonly securityGroupIds: readonly string[]
}

/** The limits that every scheduled execute carries. */
export type ExecuteLimits = {
  readonly users: number
  readonly grants: number
  readonly usd: number
  readonly correctionsUsd: number
}

/** What is configured for a deployment. What is absent is left to the function's own default. */
export type Settings = Readonly<Fields> & {
  readonly network: Network | null
  readonly scheduledExecute: { readonly schedule: string; readonly limits: ExecuteLimits } | null
}

/**
 * Reads the deployment's configuration from the context of a CDK app: cdk.json, and `-c name=value`.
 * @throws InvalidSettings naming every value that is wrong, missing or unknown
 */
export function readSettings(context: Readonly<Record<string, unknown>>): Settings {
  const own = Object.fromEntries(Object.entries(context).filter(([key]) => !belongsToCdk(key)))
  const parsed = fields.safeParse(own)
  const wrong = [
    ...(parsed.error?.issues ?? []).map(({ path, message }) => sentence(String(path[0]), own, message)),
    ...Object.keys(own)
      .filter((key) => !(key in fields.shape))
      .map((key) => `"${key}" is not known: the values are ${Object.keys(fields.shape).join(', ')}`),
  ]
  if (!parsed.success || wrong.length > 0) throw invalid(wrong)
  return {
    ...parsed.data,
    network: networkOf(parsed.data),
    scheduledExecute: scheduledExecuteOf(parsed.data),
  }
}

function networkOf({ vpcId, subnetIds, securityGroupIds }: Fields): Network | null {
  if (vpcId !== undefined && subnetIds !== undefined)
    return { vpcId, subnetIds, securityGroupIds: securityGroupIds ?? [] }
  if (vpcId === undefined && subnetIds === undefined && securityGroupIds === undefined) return null
  throw invalid([
    '"vpcId" and "subnetIds" go together (and "securityGroupIds" only with them), such as vpc-0123456789abcdef0 and subnet-0123456789abcdef0',
  ])
}

function scheduledExecuteOf(given: Fields): Settings['scheduledExecute'] {
  const { executeSchedule, executeLimitUsers: users, executeLimitGrants: grants } = given
  const { executeLimitUsd: usd, executeLimitCorrectionsUsd: correctionsUsd } = given
  const limits = [users, grants, usd, correctionsUsd]
  if (executeSchedule === undefined) {
    if (limits.every((limit) => limit === undefined)) return null
    throw invalid([
      '"executeLimit…" values are for scheduled executes only: set "executeSchedule" too, such as cron(0 7 1 * ? *)',
    ])
  }
  if (users === undefined || grants === undefined || usd === undefined || correctionsUsd === undefined) {
    throw invalid([
      '"executeSchedule" needs limits of its own: "executeLimitUsers" (300, say), "executeLimitGrants" (5000), "executeLimitUsd" (20000) and "executeLimitCorrectionsUsd" (100)',
    ])
  }
  return { schedule: executeSchedule, limits: { users, grants, usd, correctionsUsd } }
}

function sentence(name: string, own: Readonly<Record<string, unknown>>, message: string): string {
  const value = own[name]
  if (value === undefined) return `"${name}" is missing; it ${message}`
  return `"${name}" ${message}, not ${JSON.stringify(value)}`
}

function invalid(sentences: readonly string[]): InvalidSettings {
  return new InvalidSettings(
    `The deployment's configuration is not right:\n${sentences.map((line) => `- ${line}`).join('\n')}\nSet these in the context of cdk.json, or with -c name=value.`,
  )
}

/** Feature flags, look-ups and the toolkit's own values live in the same context. */
function belongsToCdk(key: string): boolean {
  return /[@:/]/.test(key) || key === 'tree'
}

function fromJson(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

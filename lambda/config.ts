import * as z from 'zod'
import { isDomainName } from './rules/internal.ts'

/** The function's environment is wrong or incomplete. The message names the variable and shows a right value. */
export class InvalidConfiguration extends Error {
  override readonly name = 'InvalidConfiguration'
}

/** Where a database is: a URL, or the ARN of the secret that tells. */
export type DatabaseSource = { readonly url: string } | { readonly secretArn: string }

export type Limits = {
  readonly users: number
  readonly grants: number
  readonly usd: number
  readonly correctionsUsd: number
}

/** What is fixed for an invocation: 3-contract, "Environment of the function". */
export type Config = {
  readonly bucket: string
  readonly database: DatabaseSource
  readonly readonlyDatabase: DatabaseSource
  readonly domains: readonly string[]
  readonly limits: Limits
  readonly maxFailedUsers: number
  readonly maxFailedPercent: number
  readonly minGrantAgeSeconds: number
  readonly planMaxAgeHours: number
  readonly correctionDescriptions: readonly string[]
  /** Foreign keys onto credit_transactions through which a rollback's deletions may act. */
  readonly acceptedForeignKeys: readonly string[]
}

const number = (fallback: number) =>
  z
    .string()
    .regex(/^\d+(\.\d+)?$/, `must be a number, such as ${fallback}`)
    .transform(Number)
    .default(fallback)

const wholeNumber = (fallback: number) =>
  number(fallback).refine(Number.isSafeInteger, `must be a whole number, such as ${fallback}`)

const domains = z
  .string()
  .default('kilocode.ai,kilo.ai')
  .transform((text, context) => {
    const list = text.split(',').map((domain) => domain.trim().toLowerCase())
    const wrong = list.filter((domain) => !isDomainName(domain))
    if (wrong.length === 0) return [...new Set(list)].toSorted()
    const shown = wrong.map((domain) => `"${domain}"`).join(' and ')
    context.addIssue({
      code: 'custom',
      message: `must be a list of whole domain names, such as kilocode.ai,kilo.ai, and ${shown} is none`,
    })
    return z.NEVER
  })

const descriptions = z
  .string()
  .default('["Correction to $0 after expiring internal free credits"]')
  .transform((json, context) => {
    const parsed = z.array(z.string().min(1)).safeParse(tryJson(json))
    if (parsed.success) return parsed.data
    context.addIssue({
      code: 'custom',
      message: 'must be a JSON list of texts, such as ["Correction to $0"]',
    })
    return z.NEVER
  })

const names = z
  .string()
  .default('')
  .transform((list) =>
    list
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== ''),
  )

const databaseUrl = z
  .string()
  .refine(
    (url) => /^postgres(ql)?:\/\/./.test(url) && URL.canParse(url),
    'must be a postgres:// URL with user, password, host, port and database, special characters in them percent-encoded',
  )

const BUCKET_NEEDED = 'is required: the name of the S3 bucket for state and logs'

const environment = z.object({
  LOG_BUCKET: z.string({ error: BUCKET_NEEDED }).min(3, BUCKET_NEEDED),
  DATABASE_SECRET_ARN: z.string().startsWith('arn:').optional(),
  DATABASE_URL: databaseUrl.optional(),
  READONLY_DATABASE_SECRET_ARN: z.string().startsWith('arn:').optional(),
  READONLY_DATABASE_URL: databaseUrl.optional(),
  INTERNAL_DOMAINS: domains,
  LIMIT_USERS: wholeNumber(2_000),
  LIMIT_GRANTS: wholeNumber(50_000),
  LIMIT_USD: number(250_000),
  LIMIT_CORRECTIONS_USD: number(10_000),
  MAX_FAILED_USERS: wholeNumber(20),
  MAX_FAILED_PERCENT: number(5),
  MIN_GRANT_AGE_SECONDS: wholeNumber(60),
  PLAN_MAX_AGE_HOURS: number(24),
  CORRECTION_DESCRIPTIONS: descriptions,
  ACCEPTED_FOREIGN_KEYS: names,
})

/**
 * Reads the environment once.
 * @throws InvalidConfiguration naming each variable that is wrong, never its value where that may be a secret
 */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const parsed = environment.safeParse(env)
  if (!parsed.success) {
    const sentences = parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`)
    throw new InvalidConfiguration(`The configuration is not valid: ${sentences.join('; ')}.`)
  }
  const values = parsed.data
  const database = databaseSource(values.DATABASE_URL, values.DATABASE_SECRET_ARN)
  if (!database) {
    throw new InvalidConfiguration(
      'The configuration is not valid: set DATABASE_SECRET_ARN, or DATABASE_URL for local use.',
    )
  }
  return {
    bucket: values.LOG_BUCKET,
    database,
    readonlyDatabase:
      databaseSource(values.READONLY_DATABASE_URL, values.READONLY_DATABASE_SECRET_ARN) ?? database,
    domains: values.INTERNAL_DOMAINS,
    limits: {
      users: values.LIMIT_USERS,
      grants: values.LIMIT_GRANTS,
      usd: values.LIMIT_USD,
      correctionsUsd: values.LIMIT_CORRECTIONS_USD,
    },
    maxFailedUsers: values.MAX_FAILED_USERS,
    maxFailedPercent: values.MAX_FAILED_PERCENT,
    minGrantAgeSeconds: values.MIN_GRANT_AGE_SECONDS,
    planMaxAgeHours: values.PLAN_MAX_AGE_HOURS,
    correctionDescriptions: values.CORRECTION_DESCRIPTIONS,
    acceptedForeignKeys: values.ACCEPTED_FOREIGN_KEYS,
  }
}

function databaseSource(url: string | undefined, secretArn: string | undefined): DatabaseSource | undefined {
  if (url !== undefined) return { url }
  return secretArn === undefined ? undefined : { secretArn }
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

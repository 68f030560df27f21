import type { KeyObject } from 'node:crypto'
import * as z from 'zod'
import { STAGE } from './constants.ts'
import { type Limits, NUMBERS } from './limits.ts'
import { isCategoryPattern } from './rules/categories.ts'
import { foldAscii, isDomainName } from './rules/internal.ts'
import { DEFAULT_REVIEW_CATEGORIES } from './rules/review.ts'
import { PUBLIC_KEY_FORMS, readPublicKeys } from './signing/public-key.ts'

/**
 * The function's environment is wrong or incomplete. The message names the variable and shows a right value.
 */
export class InvalidConfiguration extends Error {
  override readonly name = 'InvalidConfiguration'
}

/** Where a database is: a URL, or the ARN of the secret that holds its address and password. */
export type DatabaseSource = { readonly url: string } | { readonly secretArn: string }

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
  readonly reviewCategories: readonly string[]
  readonly excludedCategories: readonly string[]
  /** Ids or e-mails of users that no run touches. */
  readonly excludedUserIds: readonly string[]
  /** Earlier identities of this ledger, from before a move, a restore or an upgrade. */
  readonly ledgerFormerly: readonly string[]
  /** Foreign keys onto credit_transactions through which a rollback's deletions may change other tables. */
  readonly acceptedReferences: readonly string[]
  /** False: every payload that writes is refused. */
  readonly allowWrites: boolean
  /** How the job logs in to the database: with the password, or with a token of IAM. */
  readonly databaseAuth: 'password' | 'iam'
  /** Address of the database where the secret holds none (secrets that RDS manages). */
  readonly databaseHost: string | null
  readonly databaseName: string | null
  /** The asymmetric KMS key that signs manifests. */
  readonly signingKeyArn: string | null
  /** Public keys of it and of its predecessors, for whoever verifies and may not ask KMS; else null. */
  readonly signingPublicKeys: readonly KeyObject[] | null
}

const domains = z
  .string()
  .default('kilocode.ai,kilo.ai')
  .transform((text, context) => {
    const list = itemsOf(foldAscii(text), { keepEmpty: true })
    const wrong = list.filter((domain) => !isDomainName(domain))
    if (wrong.length === 0) return [...new Set(list)].toSorted()
    return refuse(
      context,
      `must be a list of domain names, such as kilocode.ai,kilo.ai, not ${quoted(wrong)}`,
    )
  })

const categories = z.string().transform((text, context) => {
  const list = itemsOf(text)
  const wrong = list.filter((pattern) => !isCategoryPattern(pattern))
  if (wrong.length === 0) return list
  return refuse(
    context,
    `must be a list of credit categories, such as promo,kilo-pass-*, not ${quoted(wrong)}`,
  )
})

const NO_REVIEW = 'must name at least one category, such as manual_decrement: without one no user is reviewed'

const descriptions = z
  .string()
  .default('["Correction to $0 after expiring internal free credits"]')
  .transform((json, context) => {
    const parsed = z.array(z.string().min(1)).safeParse(tryJson(json))
    if (parsed.success) return parsed.data
    return refuse(context, 'must be a JSON list of texts, such as ["Correction to $0"]')
  })

const names = z
  .string()
  .default('')
  .transform((text) => itemsOf(text))

const references = names.refine(
  (list) => list.every((name) => /^[\w$]+$/.test(name)),
  'must be a list of foreign key names, such as usage_credit_transaction_id_fkey',
)

const databaseSecret = z
  .string()
  .startsWith('arn:', 'must be the ARN of a secret in Secrets Manager')
  .optional()

/** Any other parameter would go to the server, most of which make it refuse every connection. */
const URL_PARAMETERS: readonly string[] = [
  'sslmode',
  'application_name',
  'search_path',
  'options',
  'target_session_attrs',
]

const NO_URL =
  'must be a postgres:// URL with user, password, host, port and database, ' +
  'special characters in them percent-encoded'

/**
 * What is wrong with a database URL, as the end of a sentence that names where it comes from; null where
 * nothing is.
 */
export function problemOfDatabaseUrl(url: string): string | null {
  if (!/^postgres(ql)?:\/\/./.test(url) || !URL.canParse(url)) return NO_URL
  // A question mark in a password that is not encoded would begin the parameters: they must not be quoted
  // then.
  if (new URL(url).search.includes('@')) return NO_URL
  const parameters = [...new Set(new URL(url).searchParams.keys())]
  const unknown = parameters.filter((name) => !URL_PARAMETERS.includes(name))
  return unknown.length === 0
    ? null
    : `has the ${unknown.length === 1 ? 'parameter' : 'parameters'} ${quoted(unknown)}, which this job does not ` +
        `take: remove ${unknown.length === 1 ? 'it' : 'them'}`
}

const databaseUrl = z.string().transform((url, context) => {
  const problem = problemOfDatabaseUrl(url)
  return problem === null ? url : refuse(context, problem)
})

const KEY_ARN = /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/.+$/

const publicKeys = z
  .string()
  .transform((text, context) => readPublicKeys(text) ?? refuse(context, PUBLIC_KEY_FORMS))

const HOST = /^[\w.-]+(:\d+)?$/
const BUCKET_NEEDED = 'is required: the name of the S3 bucket for state and logs'

/** Every variable that the function reads; the deployment sets no other. */
export const environment = z.object({
  LOG_BUCKET: z.string({ error: BUCKET_NEEDED }).min(3, BUCKET_NEEDED),
  DATABASE_SECRET_ARN: databaseSecret,
  DATABASE_URL: databaseUrl.optional(),
  READONLY_DATABASE_SECRET_ARN: databaseSecret,
  READONLY_DATABASE_URL: databaseUrl.optional(),
  INTERNAL_DOMAINS: domains,
  ...NUMBERS,
  CORRECTION_DESCRIPTIONS: descriptions,
  REVIEW_CATEGORIES: categories
    .refine((list) => list.length > 0, NO_REVIEW)
    .default([...DEFAULT_REVIEW_CATEGORIES]),
  EXCLUDED_CATEGORIES: categories.default([]),
  EXCLUDED_USER_IDS: names,
  LEDGER_FORMERLY: names,
  ACCEPTED_REFERENCES: references,
  ALLOW_WRITES: z
    .enum(['true', 'false'], 'must be true or false')
    .default('true')
    .transform((word) => word === 'true'),
  DATABASE_AUTH: z.enum(['password', 'iam'], 'must be password or iam').default('password'),
  DATABASE_HOST: z
    .string()
    .regex(HOST, 'must be a host such as db.example.com or db.example.com:5433')
    .optional(),
  DATABASE_NAME: z.string().min(1, 'must be the name of the database, or absent').optional(),
  SIGNING_KEY_ARN: z
    .string()
    .regex(
      KEY_ARN,
      'must be the ARN of an asymmetric key in KMS, such as arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-…',
    )
    .optional(),
  SIGNING_PUBLIC_KEYS: publicKeys.optional(),
  [STAGE.variable]: z.string().min(1, 'must be the name of a stage, or absent').default(STAGE.fallback),
})
export type EnvironmentName = keyof z.input<typeof environment>

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
    reviewCategories: values.REVIEW_CATEGORIES,
    excludedCategories: values.EXCLUDED_CATEGORIES,
    excludedUserIds: values.EXCLUDED_USER_IDS,
    ledgerFormerly: values.LEDGER_FORMERLY,
    acceptedReferences: values.ACCEPTED_REFERENCES,
    allowWrites: values.ALLOW_WRITES,
    databaseAuth: values.DATABASE_AUTH,
    databaseHost: values.DATABASE_HOST ?? null,
    databaseName: values.DATABASE_NAME ?? null,
    signingKeyArn: values.SIGNING_KEY_ARN ?? null,
    signingPublicKeys: values.SIGNING_PUBLIC_KEYS ?? null,
  }
}

function databaseSource(url: string | undefined, secretArn: string | undefined): DatabaseSource | undefined {
  if (url !== undefined) return { url }
  return secretArn === undefined ? undefined : { secretArn }
}

/**
 * The items of a comma-separated list, without blanks around them; empty ones are dropped unless they are to
 * be judged.
 */
function itemsOf(text: string, { keepEmpty = false } = {}): string[] {
  const items = text.split(',').map((item) => item.trim())
  return keepEmpty ? items : items.filter((item) => item !== '')
}

function refuse(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message })
  return z.NEVER
}

function quoted(texts: readonly string[]): string {
  return texts.map((text) => `"${text}"`).join(' and ')
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

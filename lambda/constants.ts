/** Names that lambda/ and infra/ share: change one here, and both change. */

export const METRICS_NAMESPACE = 'CreditExpiry'
export const SERVICE_NAME = 'credit-expiry'

/** Every metric the job emits, with its unit; all carry the dimension `mode`. */
export const METRICS = {
  runsClosed: 'RunsClosed',
  runsStopped: 'RunsStopped',
  usersProcessed: 'UsersProcessed',
  usersLeftAlone: 'UsersLeftAlone',
  usersFailed: 'UsersFailed',
  grantsTargeted: 'GrantsTargeted',
  usdExpired: 'UsdExpired',
  usdCorrected: 'UsdCorrected',
  pageMilliseconds: 'PageMilliseconds',
} as const

/** The parts of the bucket. Lifecycle rules know prefixes only, hence one for each kind of life. */
export const PREFIXES = {
  control: 'control/',
  state: 'state/',
  segments: 'segments/',
  logs: 'logs/',
  runs: 'runs/',
} as const

/** Environment variables of the function: 3-contract, "Environment of the function". */
export const ENVIRONMENT = [
  'LOG_BUCKET',
  'DATABASE_SECRET_ARN',
  'DATABASE_URL',
  'READONLY_DATABASE_SECRET_ARN',
  'READONLY_DATABASE_URL',
  'INTERNAL_DOMAINS',
  'LIMIT_USERS',
  'LIMIT_GRANTS',
  'LIMIT_USD',
  'LIMIT_CORRECTIONS_USD',
  'MAX_FAILED_USERS',
  'MAX_FAILED_PERCENT',
  'MIN_GRANT_AGE_SECONDS',
  'PLAN_MAX_AGE_HOURS',
  'CORRECTION_DESCRIPTIONS',
] as const

/** Names that lambda/ and infra/ share: change one here, and both change. */

export const METRICS_NAMESPACE = 'CreditExpiry'
export const SERVICE_NAME = 'credit-expiry'

/** Every metric the job emits, with its unit; all carry the dimension `mode`, and no other. */
export const METRICS = {
  runsClosed: { name: 'RunsClosed', unit: 'Count' },
  runsStopped: { name: 'RunsStopped', unit: 'Count' },
  runsRefused: { name: 'RunsRefused', unit: 'Count' },
  invalidEvents: { name: 'InvalidEvents', unit: 'Count' },
  usersProcessed: { name: 'UsersProcessed', unit: 'Count' },
  usersSkipped: { name: 'UsersSkipped', unit: 'Count' },
  usersFailed: { name: 'UsersFailed', unit: 'Count' },
  grantsTargeted: { name: 'GrantsTargeted', unit: 'Count' },
  usdExpired: { name: 'UsdExpired', unit: 'None' },
  usdCorrected: { name: 'UsdCorrected', unit: 'None' },
  pageMilliseconds: { name: 'PageMilliseconds', unit: 'Milliseconds' },
  /** How long the open writing run has made no progress; 0 when none is open. Emitted by {"check": true} and {"status": …}. */
  openRunIdleSeconds: { name: 'OpenRunIdleSeconds', unit: 'Seconds' },
  /** 1 when {"check": true} found something that is not in place, else 0. */
  checkFailed: { name: 'CheckFailed', unit: 'Count' },
} as const

/** How Node runs the function. A young generation this small takes no more time (docs/decisions/7-fast.md), and much less memory. */
export const NODE_OPTIONS = '--enable-source-maps --max-semi-space-size=2'

/** What a run can be; the last two take a run back. Also the values of the dimension `mode`. */
export const MODES = ['dry-run', 'execute', 'rollback-dry-run', 'rollback'] as const

/** What the dimension `mode` says where there is no run: of {"status": …}, and of an event that could not be read. */
export const NO_RUN = { status: 'status', unknown: 'unknown' } as const

/** Errors that trying again cannot mend. */
export const FINAL_ERRORS = { invalidEvent: 'InvalidEvent', runRefused: 'RunRefused' } as const

/** The parts of the bucket. Lifecycle rules know prefixes only, hence one for each kind of life. */
export const PREFIXES = {
  control: 'control/',
  runs: 'runs/',
  intents: 'intents/',
  logs: 'logs/',
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
  'REVIEW_CATEGORIES',
  'EXCLUDED_CATEGORIES',
  'EXCLUDED_USER_IDS',
  'LEDGER_FORMERLY',
  'ACCEPTED_REFERENCES',
  'ALLOW_WRITES',
  'DATABASE_AUTH',
  'DATABASE_HOST',
  'DATABASE_NAME',
  'SIGNING_KEY_ARN',
] as const

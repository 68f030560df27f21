/** Names that lambda/ and infra/ share: change one here, and both change. */

export const METRICS_NAMESPACE = 'CreditExpiry'
export const SERVICE_NAME = 'credit-expiry'

/**
 * Every metric that the job emits, with its unit. All of them carry the dimensions `stage` and `mode`, and no
 * other.
 */
export const METRICS = {
  runsClosed: { name: 'RunsClosed', unit: 'Count' },
  runsStopped: { name: 'RunsStopped', unit: 'Count' },
  runsRefused: { name: 'RunsRefused', unit: 'Count' },
  invalidEvents: { name: 'InvalidEvents', unit: 'Count' },
  /** Invocations that ended with an error other than InvalidEvent and RunRefused. */
  failures: { name: 'Failures', unit: 'Count' },
  /**
   * Invocations that ended with any error of the job's own; what AWS counts beyond these are processes that
   * died.
   */
  errorsReported: { name: 'ErrorsReported', unit: 'Count' },
  usersProcessed: { name: 'UsersProcessed', unit: 'Count' },
  usersSkipped: { name: 'UsersSkipped', unit: 'Count' },
  usersFailed: { name: 'UsersFailed', unit: 'Count' },
  grantsTargeted: { name: 'GrantsTargeted', unit: 'Count' },
  usdExpired: { name: 'UsdExpired', unit: 'None' },
  usdCorrected: { name: 'UsdCorrected', unit: 'None' },
  pageMilliseconds: { name: 'PageMilliseconds', unit: 'Milliseconds' },
  /**
   * Seconds since the open writing run last made progress; 0 when none is open. Emitted by {"check": true}.
   */
  openRunIdleSeconds: { name: 'OpenRunIdleSeconds', unit: 'Seconds' },
  /** 1 when {"check": true} found something that is not in place, else 0. */
  checkFailed: { name: 'CheckFailed', unit: 'Count' },
  /** Differences that {"verify": …} found; 0 when the run is verified. */
  verifyDifferences: { name: 'VerifyDifferences', unit: 'Count' },
} as const

/**
 * How Node runs the function. The old generation may take most of the function's 1,769 MB; with a young
 * generation of 8 MB, collecting garbage takes a tenth less of the whole time than with 2 MB. Buffers that
 * threads free stay with their arena: two arenas instead of eight a core take a tenth less memory.
 */
export const NODE_ENVIRONMENT = {
  NODE_OPTIONS: '--max-old-space-size=1400 --max-semi-space-size=8',
  MALLOC_ARENA_MAX: '2',
} as const

/** The environment variable with the stage, and the stage where it is not set. */
export const STAGE = { variable: 'STAGE', fallback: 'local' } as const

/** The modes of a run; the last two roll a run back. Also values of the dimension `mode`. */
export const MODES = ['dry-run', 'execute', 'rollback-dry-run', 'rollback'] as const
export type Mode = (typeof MODES)[number]

/**
 * What the dimension `mode` says where there is no run: of a payload that only reads, of a check by the job
 * function and by the preview function (two, so that the silence of one is seen), and of an event that could
 * not be read.
 */
export const NO_RUN = {
  status: 'status',
  check: 'check',
  previewCheck: 'preview-check',
  unknown: 'unknown',
} as const

/** The alias of both functions that everything invokes. */
export const LIVE = 'live'

/** Errors that a retry cannot fix. */
export const FINAL_ERRORS = { invalidEvent: 'InvalidEvent', runRefused: 'RunRefused' } as const

/** The parts of the bucket: 3-contract, "The bucket". Lifecycle rules know prefixes and no wildcards. */
export const PREFIXES = {
  control: 'control/',
  runs: 'runs/',
  intents: 'intents/',
  logs: 'logs/',
} as const

import { Duration, RemovalPolicy } from 'aws-cdk-lib'
import { type IMetric, MathExpression } from 'aws-cdk-lib/aws-cloudwatch'
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import {
  ApplicationLogLevel,
  Architecture,
  LoggingFormat,
  Runtime,
  SystemLogLevel,
  Tracing,
} from 'aws-cdk-lib/aws-lambda'
import { SqsDestination } from 'aws-cdk-lib/aws-lambda-destinations'
import { NodejsFunction, OutputFormat, SourceMapMode } from 'aws-cdk-lib/aws-lambda-nodejs'
import { LogGroup } from 'aws-cdk-lib/aws-logs'
import { Construct } from 'constructs'
import { join } from 'node:path'
import { type ENVIRONMENT, METRICS, MODES, NO_RUN, NODE_OPTIONS } from '../lambda/constants.ts'
import { addAlarm, type AlarmPlace } from './alarm.ts'
import type { DatabaseAccess } from './database-access.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { LogBucket } from './log-bucket.ts'
import { jobMetric, sumOf } from './metrics.ts'
import type { Settings } from './settings.ts'

const ROOT = join(import.meta.dirname, '..')

/** One vCPU goes with this much memory. */
const ONE_CPU_MB = 1769
const LONGEST = Duration.minutes(15)

type JobParts = {
  readonly settings: Settings
  readonly logs: LogBucket
  readonly database: DatabaseAccess
  readonly deadLetters: DeadLetters
  readonly alarms: AlarmPlace
}

/** The job itself: one function, one bundle. */
export class JobFunction extends Construct {
  readonly function: NodejsFunction

  constructor(scope: Construct, id: string, { settings, logs, database, deadLetters, alarms }: JobParts) {
    super(scope, id)
    const logGroup = new LogGroup(this, 'Logs', {
      retention: settings.logRetentionDays,
      removalPolicy: RemovalPolicy.RETAIN,
    })
    const role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') })
    this.function = new NodejsFunction(this, 'Function', {
      description: 'Expires the free credit of internal team accounts; {} is a dry run',
      entry: join(ROOT, 'lambda', 'handler.ts'),
      depsLockFilePath: join(ROOT, 'package-lock.json'),
      projectRoot: ROOT,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: ONE_CPU_MB,
      timeout: LONGEST,
      role,
      logGroup,
      loggingFormat: LoggingFormat.JSON,
      applicationLogLevelV2: ApplicationLogLevel.INFO,
      systemLogLevelV2: SystemLogLevel.INFO,
      tracing: Tracing.ACTIVE,
      // A retry that nobody asked for would be a second run. Whoever starts a run sees it fail, and so does an alarm.
      retryAttempts: 0,
      maxEventAge: Duration.minutes(10),
      onFailure: new SqsDestination(deadLetters.invocations),
      environment: {
        ...brakes(settings),
        ...logs.environment,
        ...database.environment,
        NODE_OPTIONS,
      },
      ...database.placement,
      bundling: {
        format: OutputFormat.ESM,
        target: 'node24',
        mainFields: ['module', 'main'],
        externalModules: [],
        minify: true,
        sourceMap: true,
        sourceMapMode: SourceMapMode.DEFAULT,
        sourcesContent: false,
      },
    })
    logGroup.grantWrite(role)
    logs.grantJob(role)
    database.grantJob(role)
    this.alarmOnErrors(alarms)
  }

  /** An event that cannot be read is its sender's mistake, who has the message before them; everything else is ours. */
  private alarmOnErrors(alarms: AlarmPlace): void {
    const errors = this.function.metricErrors({ statistic: 'Sum', period: Duration.minutes(5) })
    const invalid = [...MODES, NO_RUN.unknown].map((mode) => jobMetric(METRICS.invalidEvents, mode, 'Sum'))
    addAlarm(
      this,
      'Errors',
      {
        heading: 'Alarm: function errors',
        sentence: 'The function failed, and not because of an event that it could not read.',
        metric: otherThan(errors, sumOf(invalid, 'invalid events')),
        above: 0,
      },
      alarms,
    )
  }
}

/** As a sum, which stands although one of the two, or both, may be missing. */
function otherThan(errors: IMetric, invalid: IMetric): MathExpression {
  return new MathExpression({
    expression: 'SUM([errors, -1 * invalid])',
    usingMetrics: { errors, invalid },
    label: 'errors other than InvalidEvent',
    period: Duration.minutes(5),
  })
}

/** Only what is configured: the defaults are the function's own. */
function brakes(settings: Settings): Record<string, string> {
  const values: Partial<Record<(typeof ENVIRONMENT)[number], string | undefined>> = {
    INTERNAL_DOMAINS: settings.internalDomains?.join(','),
    LIMIT_USERS: settings.limitUsers?.toString(),
    LIMIT_GRANTS: settings.limitGrants?.toString(),
    LIMIT_USD: settings.limitUsd?.toString(),
    LIMIT_CORRECTIONS_USD: settings.limitCorrectionsUsd?.toString(),
    MAX_FAILED_USERS: settings.maxFailedUsers?.toString(),
    MAX_FAILED_PERCENT: settings.maxFailedPercent?.toString(),
    MIN_GRANT_AGE_SECONDS: settings.minGrantAgeSeconds?.toString(),
    PLAN_MAX_AGE_HOURS: settings.planMaxAgeHours?.toString(),
    CORRECTION_DESCRIPTIONS:
      settings.correctionDescriptions && JSON.stringify(settings.correctionDescriptions),
    ACCEPTED_REFERENCES: settings.acceptedForeignKeys?.join(','),
  }
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

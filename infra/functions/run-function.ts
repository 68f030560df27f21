import { AssetHashType, Duration } from 'aws-cdk-lib'
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import {
  Alias,
  ApplicationLogLevel,
  Architecture,
  Code,
  Function,
  type FunctionProps,
  LoggingFormat,
  Runtime,
  SystemLogLevel,
  Tracing,
} from 'aws-cdk-lib/aws-lambda'
import { SqsDestination } from 'aws-cdk-lib/aws-lambda-destinations'
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs'
import type { IQueue } from 'aws-cdk-lib/aws-sqs'
import { Construct } from 'constructs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { LIVE, NODE_ENVIRONMENT } from '../../lambda/constants.ts'
import { KEPT } from '../kept.ts'

const ROOT = join(import.meta.dirname, '../..')

/** One vCPU comes with this much memory. */
const ONE_CPU_MB = 1769
const LONGEST = Duration.minutes(15)

/** The same for both functions, so that they share one asset. Made only where the stack is deployed from. */
function bundledCode(): Code {
  return Code.fromAsset(join(ROOT, 'lambda'), {
    assetHashType: AssetHashType.OUTPUT,
    bundling: {
      image: Runtime.NODEJS_24_X.bundlingImage,
      local: {
        tryBundle(outdir) {
          execFileSync(process.execPath, [join(import.meta.dirname, 'bundle.ts'), outdir], {
            stdio: 'inherit',
          })
          return true
        },
      },
    },
  })
}

type RunFunctionProps = {
  readonly description: string
  readonly environment: Readonly<Record<string, string>>
  readonly placement: Pick<FunctionProps, 'vpc' | 'vpcSubnets' | 'securityGroups'>
  readonly logRetentionDays: RetentionDays
  readonly failures: IQueue
}

/**
 * The handler as a function, with an alias on a published version: a deployment switches all callers at once,
 * and switching the alias back takes code back without one. Earlier versions are kept for that.
 */
export class RunFunction extends Construct {
  readonly function: Function
  readonly live: Alias
  readonly role: Role
  readonly logGroup: LogGroup

  constructor(scope: Construct, id: string, props: RunFunctionProps) {
    super(scope, id)
    this.logGroup = new LogGroup(this, 'Logs', {
      retention: props.logRetentionDays,
      removalPolicy: KEPT,
    })
    this.role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') })
    // An automatic retry would be a second run. Whoever starts a run sees it fail, and so does an alarm.
    const invocation = { retryAttempts: 0, maxEventAge: Duration.minutes(10) }
    this.function = new Function(this, 'Function', {
      description: props.description,
      code: bundledCode(),
      handler: 'index.handler',
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: ONE_CPU_MB,
      timeout: LONGEST,
      role: this.role,
      logGroup: this.logGroup,
      loggingFormat: LoggingFormat.JSON,
      applicationLogLevelV2: ApplicationLogLevel.INFO,
      systemLogLevelV2: SystemLogLevel.INFO,
      tracing: Tracing.ACTIVE,
      ...invocation,
      onFailure: new SqsDestination(props.failures),
      environment: { ...props.environment, ...NODE_ENVIRONMENT },
      currentVersionOptions: { removalPolicy: KEPT },
      ...props.placement,
    })
    this.live = new Alias(this, 'Live', {
      aliasName: LIVE,
      version: this.function.currentVersion,
      // Settings of asynchronous invocations belong to what is invoked: the function's do not count for its
      // alias.
      ...invocation,
      onFailure: new SqsDestination(props.failures),
    })
    this.logGroup.grantWrite(this.role)
  }
}

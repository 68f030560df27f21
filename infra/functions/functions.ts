import { Construct } from 'constructs'
import type { DatabaseAccess } from './database-access.ts'
import type { DeadLetters } from '../alarms/dead-letters.ts'
import type { LogBucket } from '../logs/log-bucket.ts'
import { ruleEnvironment } from './rule-environment.ts'
import { RunFunction } from './run-function.ts'
import type { Settings } from '../settings.ts'
import { signingOf } from './signing.ts'

type FunctionParts = {
  readonly settings: Settings
  readonly logs: LogBucket
  readonly database: DatabaseAccess
  readonly deadLetters: DeadLetters
}

/** One bundle, deployed twice: the function that may write, and the one that cannot, whatever it is sent. */
export class Functions extends Construct {
  readonly job: RunFunction
  readonly preview: RunFunction

  constructor(scope: Construct, id: string, { settings, logs, database, deadLetters }: FunctionParts) {
    super(scope, id)
    const shared = {
      placement: database.placement,
      logRetentionDays: settings.logRetentionDays,
      failures: deadLetters.invocations,
    }
    const environment = { ...ruleEnvironment(settings), ...logs.environment }
    const signing = signingOf(settings)
    this.job = new RunFunction(this, 'Job', {
      ...shared,
      description: 'Expires free credit of internal users. {} is a dry run; only "execute": true writes',
      environment: { ...environment, ...database.job.environment, ...signing.job },
    })
    this.preview = new RunFunction(this, 'Preview', {
      ...shared,
      description: 'Shows what the credit expiry job would do, and what it did. Cannot write to the ledger',
      environment: {
        ...environment,
        ...database.preview.environment,
        ...signing.preview,
        ALLOW_WRITES: 'false',
      },
    })
    logs.grantJob(this.job.role)
    logs.grantPreview(this.preview.role)
    database.grant(this.job.role, database.job)
    database.grant(this.preview.role, database.preview)
    signing.grantJob(this.job.role)
  }
}

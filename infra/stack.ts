/* oxlint-disable no-new -- a construct registers itself with its scope */
import { Stack } from 'aws-cdk-lib'
import type { Construct } from 'constructs'
import { RunDashboard } from './dashboard.ts'
import { DatabaseAccess } from './database-access.ts'
import { DeadLetters } from './dead-letters.ts'
import { JobFunction } from './job-function.ts'
import { LogBucket } from './log-bucket.ts'
import { Notices } from './notices.ts'
import { addOutputs } from './outputs.ts'
import { LogQuery } from './query.ts'
import { RunAlarms } from './run-alarms.ts'
import { Schedules } from './schedules.ts'
import type { Settings } from './settings.ts'
import { Workflow } from './workflow.ts'

/** Everything that is deployed: one stack, one function, one bundle of code. */
export class CreditExpiryStack extends Stack {
  constructor(scope: Construct, id: string, settings: Settings) {
    super(scope, id, { description: 'Expires the free credit grants of internal team accounts' })
    const notices = new Notices(this, 'Notices', settings.noticesEmail)
    const alarms = { topic: notices.topic, runbookUrl: settings.runbookUrl }
    const deadLetters = new DeadLetters(this, 'DeadLetters', alarms)
    const logs = new LogBucket(this, 'LogBucket', settings.logKeyArn)
    const database = new DatabaseAccess(this, 'Database', settings)
    const job = new JobFunction(this, 'Job', { settings, logs, database, deadLetters, alarms })
    notices.allow('Function', job.function)
    const { stateMachine } = new Workflow(this, 'Workflow', {
      job: job.function,
      notices,
      logRetentionDays: settings.logRetentionDays,
      alarms,
    })
    new Schedules(this, 'Schedules', { settings, stateMachine, job: job.function, deadLetters, alarms })
    new RunAlarms(this, 'RunAlarms', settings.correctionsAlarmUsd, alarms)
    const dashboard = new RunDashboard(this, 'RunDashboard', job.function)
    const query = new LogQuery(this, 'LogQuery', logs.bucket, settings.logKeyArn)
    addOutputs(this, {
      functionName: job.function.functionName,
      workflowArn: stateMachine.stateMachineArn,
      bucketName: logs.bucket.bucketName,
      topicArn: notices.topic.topicArn,
      dashboardName: dashboard.name,
      workGroup: query.workGroup,
      securityGroupId: database.ownSecurityGroup?.securityGroupId ?? null,
    })
  }
}

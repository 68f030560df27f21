/* oxlint-disable no-new -- a construct registers itself with its scope */
import { Stack, Tags } from 'aws-cdk-lib'
import type { IAlarm } from 'aws-cdk-lib/aws-cloudwatch'
import type { Construct } from 'constructs'
import { SERVICE_NAME } from '../lambda/constants.ts'
import { AccessPolicies } from './access-policies.ts'
import { consoleLink } from './console/console-links.ts'
import { RunDashboard } from './console/dashboard.ts'
import { DatabaseAccess } from './functions/database-access.ts'
import { DeadLetters } from './alarms/dead-letters.ts'
import { FunctionAlarms } from './alarms/function-alarms.ts'
import { Functions } from './functions/functions.ts'
import { LogBucket } from './logs/log-bucket.ts'
import { LogQueries } from './logs/log-queries.ts'
import { Notices } from './alarms/notices.ts'
import { addOutputs } from './console/outputs.ts'
import { LogQuery } from './logs/query.ts'
import { RunAlarms } from './alarms/run-alarms.ts'
import { Schedules } from './workflow/schedules.ts'
import type { Settings } from './settings.ts'
import { TestEvents } from './console/test-events.ts'
import { Workflow } from './workflow/workflow.ts'

/** Everything that is deployed for one stage: one stack, two functions, one bundle of code. */
export class CreditExpiryStack extends Stack {
  constructor(scope: Construct, id: string, settings: Settings) {
    super(scope, id, {
      stackName: `CreditExpiry-${settings.stage}`,
      description: 'Expires the free credit grants of internal users',
    })
    addTags(this, settings)
    const notices = new Notices(this, 'Notices', settings.stage, settings.noticesEmail)
    const published: IAlarm[] = []
    const { runbookUrl, stage } = settings
    const alarms = { topic: notices.topic, runbookUrl, stage, published }
    const deadLetters = new DeadLetters(this, 'DeadLetters', alarms)
    const logs = new LogBucket(this, 'LogBucket', settings)
    const database = new DatabaseAccess(this, 'Database', settings)
    const functions = new Functions(this, 'Functions', { settings, logs, database, deadLetters })
    const { job, preview } = functions
    const ofFunctions = new FunctionAlarms(this, 'FunctionAlarms', [job.function, preview.function], alarms)
    const ofRuns = new RunAlarms(this, 'RunAlarms', settings.correctionsAlarmUsd, alarms)
    const { stateMachine, logGroup } = new Workflow(this, 'Workflow', {
      functions,
      notices,
      logRetentionDays: settings.logRetentionDays,
      scheduledExecute: settings.scheduledExecute,
      alarms,
      explanations: [ofRuns.stoppedOrRefused, ofRuns.failedUsers, ofFunctions.errors],
    })
    new Schedules(this, 'Schedules', { settings, stateMachine, functions, deadLetters, alarms })
    const query = new LogQuery(this, 'LogQuery', logs.bucket, settings.logKeyArn)
    new LogQueries(this, 'LogQueries', {
      functions: [job.logGroup, preview.logGroup],
      workflow: [logGroup],
    })
    const dashboard = new RunDashboard(this, 'RunDashboard', {
      stage,
      functions,
      alarms: published,
      links: {
        'Runbook: what to do': runbookUrl,
        'Preview function, Test tab': consoleLink.testTab(preview.function.functionName),
        'Job function, Test tab': consoleLink.testTab(job.function.functionName),
        Workflow: consoleLink.workflow(stateMachine.stateMachineArn),
        'Logs in S3': consoleLink.logs(logs.bucket.bucketName),
        'Saved queries in Athena': consoleLink.queries(query.workGroup),
      },
    })
    const policies = new AccessPolicies(this, 'Access', { functions, logs, stateMachine })
    if (settings.consoleTestEvents) new TestEvents(this, 'TestEvents', functions)
    addOutputs(this, {
      previewFunctionName: preview.function.functionName,
      jobFunctionName: job.function.functionName,
      workflowArn: stateMachine.stateMachineArn,
      bucketName: logs.bucket.bucketName,
      topicArn: notices.topic.topicArn,
      dashboardName: dashboard.name,
      workGroup: query.workGroup,
      previewPolicyArn: policies.preview.managedPolicyArn,
      operatePolicyArn: policies.operate.managedPolicyArn,
      securityGroupId: database.ownSecurityGroup?.securityGroupId ?? null,
    })
  }
}

/** Dashboards took tags only lately: where CloudFormation does not know that yet, it would refuse the stack. */
const WITHOUT_TAGS = ['AWS::CloudWatch::Dashboard']

function addTags(stack: Stack, { stage, owner }: Settings): void {
  const tags = { service: SERVICE_NAME, stage, ...(owner !== undefined && { owner }) }
  for (const [name, value] of Object.entries(tags))
    Tags.of(stack).add(name, value, { excludeResourceTypes: WITHOUT_TAGS })
}

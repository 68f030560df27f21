/* oxlint-disable no-new -- a construct registers itself with its scope */
import { Aws, CfnOutput } from 'aws-cdk-lib'
import type { Construct } from 'constructs'
import { PREFIXES } from '../lambda/constants.ts'

type Named = {
  readonly functionName: string
  readonly workflowArn: string
  readonly bucketName: string
  readonly topicArn: string
  readonly dashboardName: string
  readonly workGroup: string
  readonly securityGroupId: string | null
}

/** What a person needs after a deployment: names, links, and payloads to paste. No bare execute to click by mistake. */
export function addOutputs(scope: Construct, named: Named): void {
  const region = `region=${Aws.REGION}`
  const console = `https://${Aws.REGION}.console.aws.amazon.com`
  const outputs: Record<string, string> = {
    FunctionName: named.functionName,
    WorkflowArn: named.workflowArn,
    LogBucketName: named.bucketName,
    NoticesTopicArn: named.topicArn,
    FunctionConsole: `${console}/lambda/home?${region}#/functions/${named.functionName}?tab=testing`,
    WorkflowConsole: `${console}/states/home?${region}#/statemachines/view/${named.workflowArn}`,
    LogsConsole: `${console}/s3/buckets/${named.bucketName}?${region}&prefix=${PREFIXES.runs}`,
    DashboardConsole: `${console}/cloudwatch/home?${region}#dashboards/dashboard/${named.dashboardName}`,
    QueryConsole: `${console}/athena/home?${region}#/query-editor/saved-queries?workgroup=${named.workGroup}`,
    PayloadDryRun: '{}',
    PayloadStatus: '{"status": "latest"}',
    PayloadExecutePlan: '{"execute": true, "plan": "<dry run id>"}',
    ...(named.securityGroupId !== null && { SecurityGroupId: named.securityGroupId }),
  }
  for (const [id, value] of Object.entries(outputs)) new CfnOutput(scope, id, { value })
}

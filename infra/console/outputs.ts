/* oxlint-disable no-new -- a construct registers itself with its scope */
import { CfnOutput } from 'aws-cdk-lib'
import type { Construct } from 'constructs'
import { consoleLink } from './console-links.ts'

type Named = {
  readonly previewFunctionName: string
  readonly jobFunctionName: string
  readonly workflowArn: string
  readonly bucketName: string
  readonly topicArn: string
  readonly dashboardName: string
  readonly workGroup: string
  readonly previewPolicyArn: string
  readonly operatePolicyArn: string
  readonly securityGroupId: string | null
}

/**
 * What a person needs after a deployment: names, links, and payloads to paste. No bare execute to click by
 * mistake.
 */
export function addOutputs(scope: Construct, named: Named): void {
  const outputs: Record<string, string> = {
    PreviewFunctionName: named.previewFunctionName,
    JobFunctionName: named.jobFunctionName,
    WorkflowArn: named.workflowArn,
    LogBucketName: named.bucketName,
    NoticesTopicArn: named.topicArn,
    PreviewPolicyArn: named.previewPolicyArn,
    OperatePolicyArn: named.operatePolicyArn,
    PreviewConsole: consoleLink.testTab(named.previewFunctionName),
    JobConsole: consoleLink.testTab(named.jobFunctionName),
    WorkflowConsole: consoleLink.workflow(named.workflowArn),
    LogsConsole: consoleLink.logs(named.bucketName),
    DashboardConsole: consoleLink.dashboard(named.dashboardName),
    QueryConsole: consoleLink.queries(named.workGroup),
    PayloadDryRun: '{}',
    PayloadStatus: '{"status": "latest"}',
    PayloadExecutePlan: '{"execute": true, "plan": "<dry run id>"}',
    ...(named.securityGroupId !== null && { SecurityGroupId: named.securityGroupId }),
  }
  for (const [id, value] of Object.entries(outputs)) new CfnOutput(scope, id, { value })
}

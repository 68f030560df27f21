import { Aws } from 'aws-cdk-lib'
import { LIVE, PREFIXES } from '../../lambda/constants.ts'

const CONSOLE = `https://${Aws.REGION}.console.aws.amazon.com`
const REGION = `region=${Aws.REGION}`

/** Pages of the AWS console, in its own form of addresses. */
export const consoleLink = {
  testTab: (functionName: string) =>
    `${CONSOLE}/lambda/home?${REGION}#/functions/${functionName}/aliases/${LIVE}?tab=testing`,
  workflow: (arn: string) => `${CONSOLE}/states/home?${REGION}#/statemachines/view/${arn}`,
  logs: (bucket: string) => `${CONSOLE}/s3/buckets/${bucket}?${REGION}&prefix=${PREFIXES.logs}`,
  dashboard: (name: string) => `${CONSOLE}/cloudwatch/home?${REGION}#dashboards/dashboard/${name}`,
  queries: (workGroup: string) =>
    `${CONSOLE}/athena/home?${REGION}#/query-editor/saved-queries?workgroup=${workGroup}`,
} as const

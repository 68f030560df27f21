/* oxlint-disable no-new -- a construct registers itself with its scope */
import { Stack } from 'aws-cdk-lib'
import { CfnQueryDefinition, type ILogGroup } from 'aws-cdk-lib/aws-logs'
import { Construct } from 'constructs'
import { SERVICE_NAME } from '../../lambda/constants.ts'

/** A saved query of CloudWatch Logs Insights; `heading` is the one in docs/runbook.md that it helps with. */
type LogQuery = {
  readonly heading: string
  readonly in: 'functions' | 'workflow'
  readonly lines: readonly string[]
}

/**
 * The job's own line of a failed invocation. Lambda adds one of its own without causes, for the same request.
 */
export const RECENT_ERRORS: string[] = [
  'fields @timestamp, error_name, message, causes.0, function_request_id',
  'filter ispresent(error_name)',
  'sort @timestamp desc',
  'limit 20',
]

const CARDS = 'fields @timestamp, card.runId, card.mode, card.status, card.why'
const cardsWhere = (filter: string, more = '') => [
  `${CARDS}${more}`,
  `filter ispresent(card.runId) and ${filter}`,
  'sort @timestamp desc',
]
const errorsNamed = (names: string) => [
  'fields @timestamp, error_name, message',
  `filter error_name ${names}`,
  'sort @timestamp desc',
]

const QUERIES: readonly LogQuery[] = [
  { heading: 'Alarm: function errors', in: 'functions', lines: RECENT_ERRORS },
  {
    heading: 'Alarm: process died',
    in: 'functions',
    lines: [
      'fields @timestamp, record.requestId, record.status, record.errorType, record.metrics.maxMemoryUsedMB',
      'filter type = "platform.report" and record.status != "success"',
      'sort @timestamp desc',
    ],
  },
  {
    heading: 'Alarm: workflow failures',
    in: 'workflow',
    lines: [
      'fields @timestamp, execution_arn, type, details.error, details.cause',
      'filter type like /Failed/',
      'sort @timestamp desc',
    ],
  },
  {
    heading: 'Alarm: workflow timed out or aborted',
    in: 'workflow',
    lines: [
      'fields @timestamp, execution_arn, type',
      'filter type in ["ExecutionTimedOut", "ExecutionAborted"]',
      'sort @timestamp desc',
    ],
  },
  {
    heading: 'Alarm: failed users',
    in: 'functions',
    lines: cardsWhere('card.totals.usersFailed > 0', ', card.totals.usersFailed, card.logs.errors'),
  },
  {
    heading: 'Alarm: run stopped or refused',
    in: 'functions',
    lines: [
      'fields @timestamp, coalesce(card.runId, function_request_id) as run, coalesce(card.why, ' +
        'message) as why',
      'filter card.status = "stopped" or error_name = "RunRefused"',
      'sort @timestamp desc',
    ],
  },
  {
    heading: 'Alarm: corrections',
    in: 'functions',
    lines: cardsWhere(
      'card.totals.correctedMicrodollars > 0',
      ', card.totals.usersCorrected, card.totals.corrected',
    ),
  },
  {
    heading: 'Alarm: verify found differences',
    in: 'functions',
    lines: ['fields @timestamp, @message', 'filter VerifyDifferences > 0', 'sort @timestamp desc'],
  },
  { heading: 'Alarm: dead letters', in: 'functions', lines: errorsNamed('like /./') },
  {
    heading: 'Alarm: dead man',
    in: 'functions',
    lines: [
      'fields @timestamp, mode, OpenRunIdleSeconds',
      'filter ispresent(OpenRunIdleSeconds)',
      'sort @timestamp desc',
    ],
  },
  {
    heading: 'Alarm: check failed',
    in: 'functions',
    lines: ['fields @timestamp, mode, @message', 'filter CheckFailed > 0', 'sort @timestamp desc'],
  },
]

/** Saved queries of Logs Insights, one for each alarm's heading in the runbook, in a folder of the stage. */
export class LogQueries extends Construct {
  constructor(scope: Construct, id: string, groups: Readonly<Record<LogQuery['in'], readonly ILogGroup[]>>) {
    super(scope, id)
    const { stackName } = Stack.of(this)
    for (const query of QUERIES) {
      const name = query.heading.replace('Alarm: ', '')
      new CfnQueryDefinition(this, name, {
        name: `${SERVICE_NAME}/${stackName}/${name}`,
        queryString: query.lines.join('\n| '),
        logGroupNames: groups[query.in].map(({ logGroupName }) => logGroupName),
      })
    }
  }
}

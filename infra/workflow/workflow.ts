import { Duration, Fn, Stack } from 'aws-cdk-lib'
import type { IAlarm } from 'aws-cdk-lib/aws-cloudwatch'
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs'
import { DefinitionBody, LogLevel, StateMachine } from 'aws-cdk-lib/aws-stepfunctions'
import { Construct } from 'constructs'
import { accept } from '../accepted.ts'
import { addAlarm, addAlarmUnlessExplained, type AlarmPlace, EVENT_PERIOD } from '../alarms/alarm.ts'
import type { Functions } from '../functions/functions.ts'
import { KEPT } from '../kept.ts'
import { sumOf } from '../alarms/metrics.ts'
import type { Notices } from '../alarms/notices.ts'
import type { ScheduledExecute } from '../settings.ts'
import { WorkflowDefinition } from './definition.ts'

/** A run of a million users takes minutes; an execution that waits for another invocation must end too. */
const LONGEST = Duration.days(3)

type WorkflowParts = {
  readonly functions: Functions
  readonly notices: Notices
  readonly logRetentionDays: RetentionDays
  readonly scheduledExecute: ScheduledExecute | null
  readonly alarms: AlarmPlace
  /** Alarms that say why a run did not end as asked. */
  readonly explanations: readonly [IAlarm, ...IAlarm[]]
}

/**
 * Invokes a function until its run is closed, and publishes how it ended. Takes the payloads that the
 * functions take, and works on the same runs: either can resume what the other opened.
 */
export class Workflow extends Construct {
  readonly stateMachine: StateMachine
  readonly logGroup: LogGroup

  constructor(scope: Construct, id: string, parts: WorkflowParts) {
    super(scope, id)
    const { functions, notices, scheduledExecute, logRetentionDays } = parts
    const { definition } = new WorkflowDefinition(this, 'Definition', {
      functions,
      topic: notices.topic,
      scheduledExecute,
    })
    this.logGroup = new LogGroup(this, 'Logs', {
      logGroupName: vendedLogsName(this),
      retention: logRetentionDays,
      removalPolicy: KEPT,
    })
    this.stateMachine = new StateMachine(this, 'StateMachine', {
      comment: 'Invokes the credit expiry job until its run is closed, and publishes how it ended',
      definitionBody: DefinitionBody.fromChainable(definition),
      timeout: LONGEST,
      tracingEnabled: true,
      logs: { destination: this.logGroup, level: LogLevel.ALL, includeExecutionData: false },
    })
    notices.allow('Workflow', this.stateMachine)
    accept(
      this.stateMachine,
      'IAM5[Resource::*]',
      'Log delivery and X-Ray, the only statements on every resource, have no resources of their own ' +
        'to name.',
    )
    this.addAlarms(parts)
  }

  private addAlarms({ alarms, explanations }: WorkflowParts): void {
    const options = { statistic: 'Sum', period: EVENT_PERIOD }
    const { stateMachine } = this
    addAlarm(
      this,
      'CutOff',
      {
        heading: 'Alarm: workflow timed out or aborted',
        sentence: 'An execution of the workflow timed out or was aborted, and published no notice.',
        metric: sumOf(
          [stateMachine.metricTimedOut(options), stateMachine.metricAborted(options)],
          'executions timed out or aborted',
        ),
        above: 0,
        kind: 'event',
      },
      alarms,
    )
    const heading = 'Alarm: workflow failures'
    const failed = addAlarm(
      this,
      'Failed',
      {
        heading,
        suffix: 'any',
        sentence: 'An execution of the workflow failed, for a reason that another alarm may report.',
        metric: stateMachine.metricFailed(options),
        above: 0,
        kind: 'event',
        silent: true,
      },
      alarms,
    )
    addAlarmUnlessExplained(
      this,
      'Failures',
      {
        heading,
        sentence: 'An execution of the workflow failed, and no other alarm says why.',
        when: failed,
        unlessExplainedBy: explanations,
      },
      alarms,
    )
  }
}

/**
 * Under this prefix, CloudWatch needs no resource policy per log group (an account may have ten). The suffix
 * comes from the stack's id, so that a stack deployed again does not collide with the log group of the
 * previous one.
 */
function vendedLogsName(scope: Construct): string {
  const { stackName, stackId } = Stack.of(scope)
  const suffix = Fn.select(4, Fn.split('-', Fn.select(2, Fn.split('/', stackId))))
  return `/aws/vendedlogs/states/${stackName}-${suffix}`
}

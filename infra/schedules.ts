/* oxlint-disable no-new -- a construct registers itself with its scope */
import { Aws, Duration, TimeZone } from 'aws-cdk-lib'
import { TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch'
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import type { IFunction } from 'aws-cdk-lib/aws-lambda'
import {
  ContextAttribute,
  type IScheduleTarget,
  Schedule,
  ScheduleExpression,
  ScheduleGroup,
  ScheduleTargetInput,
} from 'aws-cdk-lib/aws-scheduler'
import { LambdaInvoke, StepFunctionsStartExecution } from 'aws-cdk-lib/aws-scheduler-targets'
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions'
import { Construct } from 'constructs'
import { METRICS, NO_RUN } from '../lambda/constants.ts'
import { accept, arnInFinding } from './accepted.ts'
import { addAlarm, type AlarmPlace } from './alarm.ts'
import type { DeadLetters } from './dead-letters.ts'
import { jobMetric } from './metrics.ts'
import type { Settings } from './settings.ts'

/** A run that is open for so long without progress has nobody who goes on with it. */
const IDLE_SECONDS = 3_600

type ScheduleParts = {
  readonly settings: Settings
  readonly stateMachine: StateMachine
  readonly job: IFunction
  readonly deadLetters: DeadLetters
  readonly alarms: AlarmPlace
}

/** What starts by itself: a dry run, an execute only where the configuration spells it out, and the dead man's heartbeat. */
export class Schedules extends Construct {
  private readonly group: ScheduleGroup
  private readonly role: Role
  private readonly parts: ScheduleParts

  constructor(scope: Construct, id: string, parts: ScheduleParts) {
    super(scope, id)
    this.parts = parts
    this.group = new ScheduleGroup(this, 'Group')
    this.role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('scheduler.amazonaws.com', {
        conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
      }),
    })
    const { settings } = parts
    // Delivered twice, it is still one run: the key is the same.
    const requestKey = ContextAttribute.executionId
    if (settings.dryRunSchedule !== 'none') {
      this.start('DryRun', 'A dry run, for the numbers', settings.dryRunSchedule, {
        requestKey,
        reason: 'scheduled dry run',
      })
    }
    if (settings.scheduledExecute) {
      const { schedule, limits } = settings.scheduledExecute
      this.start('Execute', 'Expires credit, within limits of its own', schedule, {
        execute: true,
        limits,
        requestKey,
        reason: 'scheduled execute',
      })
    }
    this.heartbeat()
  }

  private start(id: string, description: string, expression: string, payload: object): void {
    const { stateMachine, settings } = this.parts
    const target = new StepFunctionsStartExecution(stateMachine, {
      input: ScheduleTargetInput.fromObject(payload),
      ...this.delivery(Duration.hours(1)),
    })
    const zone = TimeZone.of(settings.scheduleTimeZone)
    this.schedule(
      id,
      description,
      ScheduleExpression.expression(expression, zone),
      target,
      !settings.schedulesPaused,
    )
  }

  /** Goes on while the other schedules are paused: an open run must be noticed all the same. */
  private heartbeat(): void {
    const { job, alarms } = this.parts
    const target = new LambdaInvoke(job, {
      input: ScheduleTargetInput.fromObject({ status: 'latest' }),
      ...this.delivery(Duration.minutes(15)),
    })
    this.schedule(
      'Heartbeat',
      'Asks how long an open run has been idle',
      ScheduleExpression.rate(Duration.hours(1)),
      target,
      true,
    )
    accept(
      this.role,
      `IAM5[Resource::${arnInFinding(job)}:*]`,
      'CDK lets a schedule invoke every version of its one function; the function has no versions.',
    )
    addAlarm(
      this,
      'DeadMan',
      {
        heading: 'Alarm: dead man',
        sentence:
          'A run has been open for more than an hour without progress, or the hourly heartbeat itself is missing.',
        metric: jobMetric(METRICS.openRunIdleSeconds, NO_RUN.status, 'Maximum', Duration.hours(1)),
        above: IDLE_SECONDS,
        missing: TreatMissingData.BREACHING,
      },
      alarms,
    )
  }

  private delivery(maxEventAge: Duration) {
    return {
      role: this.role,
      deadLetterQueue: this.parts.deadLetters.schedules,
      retryAttempts: 3,
      maxEventAge,
    }
  }

  private schedule(
    id: string,
    description: string,
    schedule: ScheduleExpression,
    target: IScheduleTarget,
    enabled: boolean,
  ): void {
    new Schedule(this, id, { description, schedule, target, enabled, scheduleGroup: this.group })
  }
}

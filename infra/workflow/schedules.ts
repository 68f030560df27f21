import { Aws, Duration, RemovalPolicy, TimeZone } from 'aws-cdk-lib'
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
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
import { SERVICE_NAME } from '../../lambda/constants.ts'
import type { AlarmPlace } from '../alarms/alarm.ts'
import type { DeadLetters } from '../alarms/dead-letters.ts'
import type { Functions } from '../functions/functions.ts'
import { addHeartbeatAlarms } from '../alarms/heartbeat-alarms.ts'
import type { Settings } from '../settings.ts'

type ScheduleParts = {
  readonly settings: Settings
  readonly stateMachine: StateMachine
  readonly functions: Functions
  readonly deadLetters: DeadLetters
  readonly alarms: AlarmPlace
}

/** How a schedule reaches its target: as which role, how often it tries, and for how long. */
type Delivery = { readonly role: Role; readonly maxEventAge: Duration }

/**
 * What starts by itself: a dry run, a verification, an execute only where the configuration spells it out,
 * and the heartbeat. The heartbeat's role can invoke the two functions and nothing else; the others' can
 * start the workflow.
 */
export class Schedules extends Construct {
  private readonly group: ScheduleGroup
  private readonly parts: ScheduleParts

  constructor(scope: Construct, id: string, parts: ScheduleParts) {
    super(scope, id)
    this.parts = parts
    // By default a group is retained, and its name then makes the next first deployment fail.
    this.group = new ScheduleGroup(this, 'Group', { removalPolicy: RemovalPolicy.DESTROY })
    const runs: Delivery = { role: this.role('Role'), maxEventAge: Duration.hours(1) }
    const { dryRunSchedule, verifySchedule, scheduledExecute } = parts.settings
    if (dryRunSchedule !== 'none') {
      this.start('dry-run', 'A dry run, for the numbers', dryRunSchedule, runs, (requestKey) => ({
        requestKey,
        reason: 'scheduled dry run',
      }))
    }
    if (verifySchedule !== 'none') {
      this.start('verify', 'Verifies the latest executed run', verifySchedule, runs, () => ({
        verify: 'latest',
      }))
    }
    if (scheduledExecute) {
      this.start(
        'execute',
        'Executes a plan of its own, or asks',
        scheduledExecute.schedule,
        runs,
        (requestKey) => ({
          scheduledExecute: { requestKey },
        }),
      )
    }
    this.heartbeat()
  }

  /** A schedule's time is the same for each attempt to deliver it, its execution id is not: hence the key. */
  private start(
    name: string,
    description: string,
    expression: string,
    delivery: Delivery,
    payload: (requestKey: string) => object,
  ): void {
    const { stateMachine, settings } = this.parts
    const requestKey = `${this.nameOf(name)}-${ContextAttribute.scheduledTime}`
    const target = new StepFunctionsStartExecution(stateMachine, {
      input: ScheduleTargetInput.fromObject(payload(requestKey)),
      ...this.targetProps(delivery),
    })
    const zone = TimeZone.of(settings.scheduleTimeZone)
    const schedule = ScheduleExpression.expression(expression, zone)
    this.add(name, description, schedule, target, delivery.role, !settings.schedulesPaused)
  }

  /** Continues while the other schedules are paused: an open run must be noticed all the same. */
  private heartbeat(): void {
    const { functions, alarms } = this.parts
    const delivery = { role: this.role('HeartbeatRole'), maxEventAge: Duration.minutes(15) }
    for (const [name, { live }] of Object.entries({ job: functions.job, preview: functions.preview })) {
      const target = new LambdaInvoke(live, {
        input: ScheduleTargetInput.fromObject({ check: true }),
        ...this.targetProps(delivery),
      })
      const hourly = ScheduleExpression.rate(Duration.hours(1))
      this.add(`heartbeat-${name}`, `Checks the ${name} function`, hourly, target, delivery.role, true)
    }
    addHeartbeatAlarms(this, alarms)
  }

  private targetProps({ role, maxEventAge }: Delivery) {
    return { role, maxEventAge, retryAttempts: 3, deadLetterQueue: this.parts.deadLetters.schedules }
  }

  /** Only schedules of this group, in this account, may use the role. */
  private role(id: string): Role {
    return new Role(this, id, {
      assumedBy: new ServicePrincipal('scheduler.amazonaws.com', {
        conditions: {
          StringEquals: {
            'aws:SourceAccount': Aws.ACCOUNT_ID,
            'aws:SourceArn': this.group.scheduleGroupArn,
          },
        },
      }),
    })
  }

  private nameOf(name: string): string {
    return `${SERVICE_NAME}-${this.parts.settings.stage}-${name}`
  }

  private add(
    name: string,
    description: string,
    schedule: ScheduleExpression,
    target: IScheduleTarget,
    role: Role,
    enabled: boolean,
  ): void {
    const scheduleName = this.nameOf(name)
    const scheduleGroup = this.group
    const added = new Schedule(this, name, {
      scheduleName,
      description,
      schedule,
      target,
      enabled,
      scheduleGroup,
    })
    // A schedule whose role cannot act yet fails at its first time. The target refers to the role already.
    added.node.addDependency(role.node.findChild('DefaultPolicy'), this.group)
  }
}

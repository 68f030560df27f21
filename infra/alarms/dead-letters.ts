import { Duration } from 'aws-cdk-lib'
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs'
import { Construct } from 'constructs'
import { accept } from '../accepted.ts'
import { addAlarm, type AlarmPlace } from './alarm.ts'
import { sumOf } from './metrics.ts'

/**
 * What could not be delivered, or was delivered and failed without a caller: kept for a person to look at.
 */
export class DeadLetters extends Construct {
  readonly schedules: Queue
  readonly invocations: Queue

  constructor(scope: Construct, id: string, alarms: AlarmPlace) {
    super(scope, id)
    this.schedules = this.queue('Schedules')
    this.invocations = this.queue('Invocations')
    const waiting = [this.schedules, this.invocations].map((queue) =>
      queue.metricApproximateNumberOfMessagesVisible({ statistic: 'Maximum', period: Duration.minutes(5) }),
    )
    addAlarm(
      this,
      'Alarm',
      {
        heading: 'Alarm: dead letters',
        sentence: 'A schedule could not start its run, or an invocation without a caller failed.',
        metric: sumOf(waiting, 'dead letters'),
        above: 0,
        kind: 'state',
      },
      alarms,
    )
  }

  private queue(id: string): Queue {
    const queue = new Queue(this, id, {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    })
    accept(queue, 'SQS3', 'This is itself a dead letter queue: an alarm watches it, and a person empties it.')
    return queue
  }
}

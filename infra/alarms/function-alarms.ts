import type { IAlarm } from 'aws-cdk-lib/aws-cloudwatch'
import type { IFunction } from 'aws-cdk-lib/aws-lambda'
import { Construct } from 'constructs'
import { METRICS, MODES, NO_RUN } from '../../lambda/constants.ts'
import { addAlarm, addAlarmUnlessExplained, type AlarmPlace, EVENT_PERIOD } from './alarm.ts'
import { type JobMetric, jobMetric, sumOf } from './metrics.ts'

/**
 * The alarms on failing invocations, of two kinds. An error that the job raised and logged is counted by a
 * metric of its own, stamped when it happened; InvalidEvent and RunRefused are counted apart. A process that
 * died (time-out, out of memory, a bundle that does not load) counts nothing itself: AWS's `Errors` shows it.
 * That counts the job's own errors too, stamped with the start of the invocation, so the two cannot be
 * subtracted period by period; an alarm on the job's own errors tells which of them are explained.
 */
export class FunctionAlarms extends Construct {
  readonly errors: IAlarm

  constructor(scope: Construct, id: string, functions: readonly IFunction[], alarms: AlarmPlace) {
    super(scope, id)
    const everyMode = (metric: JobMetric) =>
      [...MODES, ...Object.values(NO_RUN)].map((mode) =>
        jobMetric(metric, { stage: alarms.stage, mode, statistic: 'Sum' }),
      )
    this.errors = addAlarm(
      this,
      'Errors',
      {
        heading: 'Alarm: function errors',
        sentence: 'An invocation failed with an error other than InvalidEvent and RunRefused.',
        metric: sumOf(everyMode(METRICS.failures), 'failed invocations'),
        above: 0,
        kind: 'event',
      },
      alarms,
    )
    const heading = 'Alarm: process died'
    const counted = addAlarm(
      this,
      'Counted',
      {
        heading,
        suffix: 'counted-by-aws',
        sentence: 'AWS counted a failed invocation; it may be one that the job reported.',
        metric: sumOf(
          functions.map((each) => each.metricErrors({ statistic: 'Sum', period: EVENT_PERIOD })),
          'errors counted by AWS',
        ),
        above: 0,
        kind: 'event',
        silent: true,
      },
      alarms,
    )
    const reported = addAlarm(
      this,
      'Reported',
      {
        heading,
        suffix: 'reported-by-the-job',
        sentence: 'The job reported an error of its own, InvalidEvent and RunRefused included.',
        metric: sumOf(everyMode(METRICS.errorsReported), 'errors reported by the job'),
        above: 0,
        kind: 'event',
        silent: true,
      },
      alarms,
    )
    addAlarmUnlessExplained(
      this,
      'ProcessDied',
      {
        heading,
        sentence:
          'An invocation failed and reported no error: a time-out, out of memory, or no start at all.',
        when: counted,
        unlessExplainedBy: [reported],
      },
      alarms,
    )
  }
}

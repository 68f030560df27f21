import type { IAlarm } from 'aws-cdk-lib/aws-cloudwatch'
import { Construct } from 'constructs'
import { METRICS, MODES, NO_RUN } from '../../lambda/constants.ts'
import { addAlarm, type AlarmPlace } from './alarm.ts'
import { type JobMetric, jobMetric, sumOf } from './metrics.ts'

/** The alarms on what runs report of themselves, however they were started. */
export class RunAlarms extends Construct {
  readonly failedUsers: IAlarm
  readonly stoppedOrRefused: IAlarm

  constructor(scope: Construct, id: string, correctionsAlarmUsd: number, alarms: AlarmPlace) {
    super(scope, id)
    const { stage } = alarms
    const ofRuns = (metric: JobMetric) =>
      MODES.map((mode) => jobMetric(metric, { stage, mode, statistic: 'Sum' }))
    this.failedUsers = addAlarm(
      this,
      'FailedUsers',
      {
        heading: 'Alarm: failed users',
        sentence: 'A run could not process some of its users.',
        metric: sumOf(ofRuns(METRICS.usersFailed), 'failed users'),
        above: 0,
        kind: 'event',
      },
      alarms,
    )
    this.stoppedOrRefused = addAlarm(
      this,
      'StoppedOrRefused',
      {
        heading: 'Alarm: run stopped or refused',
        sentence: 'A run was stopped by a limit or the error threshold, or was refused.',
        metric: sumOf(
          [...ofRuns(METRICS.runsStopped), ...ofRuns(METRICS.runsRefused)],
          'runs stopped or refused',
        ),
        above: 0,
        kind: 'event',
      },
      alarms,
    )
    addAlarm(
      this,
      'Corrections',
      {
        heading: 'Alarm: corrections',
        sentence: `An execute run corrected more than ${correctionsAlarmUsd} USD of negative balances to zero.`,
        metric: jobMetric(METRICS.usdCorrected, { stage, mode: 'execute', statistic: 'Maximum' }),
        above: correctionsAlarmUsd,
        kind: 'event',
      },
      alarms,
    )
    addAlarm(
      this,
      'VerifyDifferences',
      {
        heading: 'Alarm: verify found differences',
        sentence: 'A verified run differs from its logs or from the ledger.',
        metric: jobMetric(METRICS.verifyDifferences, { stage, mode: NO_RUN.status, statistic: 'Maximum' }),
        above: 0,
        kind: 'event',
      },
      alarms,
    )
  }
}

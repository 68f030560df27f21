import { Construct } from 'constructs'
import { METRICS, MODES } from '../lambda/constants.ts'
import { addAlarm, type AlarmPlace } from './alarm.ts'
import { type JobMetric, jobMetric, sumOf } from './metrics.ts'

/** The alarms on what runs say of themselves, however they were started. */
export class RunAlarms extends Construct {
  constructor(scope: Construct, id: string, correctionsAlarmUsd: number, alarms: AlarmPlace) {
    super(scope, id)
    addAlarm(
      this,
      'FailedUsers',
      {
        heading: 'Alarm: failed users',
        sentence: 'A run left users behind whom it could not work on.',
        metric: overModes([METRICS.usersFailed], 'failed users'),
        above: 0,
      },
      alarms,
    )
    addAlarm(
      this,
      'StoppedOrRefused',
      {
        heading: 'Alarm: run stopped or refused',
        sentence: 'A run was stopped by one of its brakes, or was refused.',
        metric: overModes([METRICS.runsStopped, METRICS.runsRefused], 'runs stopped or refused'),
        above: 0,
      },
      alarms,
    )
    addAlarm(
      this,
      'Corrections',
      {
        heading: 'Alarm: corrections',
        sentence: `An execute run corrected more than ${correctionsAlarmUsd} USD of negative balances to zero.`,
        metric: jobMetric(METRICS.usdCorrected, 'execute', 'Maximum'),
        above: correctionsAlarmUsd,
      },
      alarms,
    )
  }
}

function overModes(metrics: readonly JobMetric[], label: string) {
  return sumOf(
    metrics.flatMap((metric) => MODES.map((mode) => jobMetric(metric, mode, 'Sum'))),
    label,
  )
}

import { Duration } from 'aws-cdk-lib'
import { TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch'
import type { Construct } from 'constructs'
import { METRICS, NO_RUN } from '../../lambda/constants.ts'
import { addAlarm, type AlarmPlace } from './alarm.ts'
import { jobMetric, sumOf } from './metrics.ts'

/** A run that has been open for so long without progress is not being worked on. */
const IDLE_SECONDS = 3_600

/**
 * An alarm reads windows that end at every minute, and an hourly heartbeat is a few seconds early or minutes
 * late: a window of one hour would often be empty, one of two hours never is.
 */
const WINDOW = Duration.hours(2)

const CHECKS = { job: NO_RUN.check, preview: NO_RUN.previewCheck }

/** Alarms on what the hourly checks of both functions emit, and on their silence. */
export function addHeartbeatAlarms(scope: Construct, alarms: AlarmPlace): void {
  const { stage } = alarms
  const reading = (mode: string) => ({ stage, mode, statistic: 'Maximum', period: WINDOW })
  for (const [name, mode] of Object.entries(CHECKS)) {
    addAlarm(
      scope,
      `DeadMan-${name}`,
      {
        heading: 'Alarm: dead man',
        suffix: name,
        sentence:
          `A run has been open for over an hour without progress, or the ${name} function's hourly check ` +
          'is missing.',
        metric: jobMetric(METRICS.openRunIdleSeconds, reading(mode)),
        above: IDLE_SECONDS,
        kind: 'state',
        missing: TreatMissingData.BREACHING,
      },
      alarms,
    )
  }
  addAlarm(
    scope,
    'CheckFailed',
    {
      heading: 'Alarm: check failed',
      sentence:
        'An hourly check found something that is not in place: secret, database, rights, network or bucket.',
      metric: sumOf(
        Object.values(CHECKS).map((mode) => jobMetric(METRICS.checkFailed, reading(mode))),
        'failed checks',
        WINDOW,
      ),
      above: 0,
      kind: 'state',
    },
    alarms,
  )
}

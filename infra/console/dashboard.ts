import { Aws, Duration, Stack } from 'aws-cdk-lib'
import {
  AlarmStatusWidget,
  Dashboard,
  GraphWidget,
  type IAlarm,
  type IMetric,
  LogQueryWidget,
  TextWidget,
} from 'aws-cdk-lib/aws-cloudwatch'
import { Construct } from 'constructs'
import { METRICS, MODES, NO_RUN } from '../../lambda/constants.ts'
import type { Functions } from '../functions/functions.ts'
import { type JobMetric, jobMetric } from '../alarms/metrics.ts'
import { RECENT_ERRORS } from '../logs/log-queries.ts'

const HALF = 12
const WHOLE = 24
const DAY = Duration.days(1)

type DashboardParts = {
  readonly stage: string
  readonly functions: Functions
  /** Those that publish. */
  readonly alarms: readonly IAlarm[]
  /** What else to open, by name. */
  readonly links: Readonly<Record<string, string>>
}

/**
 * One page: which alarms are on, where to look, recent errors, what the runs did, how the functions fared.
 */
export class RunDashboard extends Construct {
  readonly name: string

  constructor(scope: Construct, id: string, { stage, functions, alarms, links }: DashboardParts) {
    super(scope, id)
    this.name = Stack.of(this).stackName
    const { job, preview } = functions
    const daily = (metric: JobMetric, mode: string, statistic = 'Sum') =>
      jobMetric(metric, { stage, mode, statistic, period: DAY })
    const byMode = (metric: JobMetric) => MODES.map((mode) => daily(metric, mode))
    const withoutRun = (metric: JobMetric) => Object.values(NO_RUN).map((mode) => daily(metric, mode))
    const hourly = (metric: JobMetric, mode: string) =>
      jobMetric(metric, { stage, mode, statistic: 'Maximum', period: Duration.hours(1) })
    const checks = [NO_RUN.check, NO_RUN.previewCheck]
    const dashboard = new Dashboard(this, 'Dashboard', {
      dashboardName: this.name,
      defaultInterval: Duration.days(30),
    })
    dashboard.addWidgets(
      new AlarmStatusWidget({ title: 'Alarms', alarms: [...alarms], width: HALF, height: 6 }),
      new TextWidget({ markdown: linkList(links), width: HALF, height: 6 }),
    )
    dashboard.addWidgets(
      new LogQueryWidget({
        title: 'Recent errors',
        logGroupNames: [job, preview].map(({ logGroup }) => logGroup.logGroupName),
        queryLines: RECENT_ERRORS,
        width: WHOLE,
        height: 6,
      }),
    )
    dashboard.addWidgets(
      graph('Runs closed', byMode(METRICS.runsClosed)),
      graph('Runs stopped or refused', [...byMode(METRICS.runsStopped), ...byMode(METRICS.runsRefused)]),
      graph('Users processed', byMode(METRICS.usersProcessed)),
      graph('Users skipped', byMode(METRICS.usersSkipped)),
      graph('Users failed', byMode(METRICS.usersFailed)),
      graph('Grants targeted', byMode(METRICS.grantsTargeted)),
      graph('USD expired', byMode(METRICS.usdExpired)),
      graph('USD corrected to zero', byMode(METRICS.usdCorrected)),
      graph('Milliseconds a page (p50, p99)', [
        daily(METRICS.pageMilliseconds, 'execute', 'p50'),
        daily(METRICS.pageMilliseconds, 'execute', 'p99'),
        daily(METRICS.pageMilliseconds, 'dry-run', 'p99'),
      ]),
      graph(
        'Duration of invocations',
        [job, preview].map((each) => each.function.metricDuration({ statistic: 'Maximum', period: DAY })),
      ),
      graph('Failed invocations', [...byMode(METRICS.failures), ...withoutRun(METRICS.failures)]),
      graph('Invalid events', [...byMode(METRICS.invalidEvents), ...withoutRun(METRICS.invalidEvents)]),
      graph(
        'Open run idle, seconds',
        checks.map((mode) => hourly(METRICS.openRunIdleSeconds, mode)),
      ),
      graph('Failed checks, differences found', [
        ...checks.map((mode) => hourly(METRICS.checkFailed, mode)),
        hourly(METRICS.verifyDifferences, NO_RUN.status),
      ]),
    )
  }
}

function graph(title: string, left: IMetric[]): GraphWidget {
  return new GraphWidget({ title, left, width: HALF, leftYAxis: { min: 0 } })
}

function linkList(links: Readonly<Record<string, string>>): string {
  const lines = Object.entries(links).map(([name, url]) => `- [${name}](${url})`)
  return [`## Credit expiry in ${Aws.REGION}`, ...lines].join('\n')
}

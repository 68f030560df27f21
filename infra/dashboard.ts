/* oxlint-disable no-new -- a construct registers itself with its scope */
import { Duration, Stack } from 'aws-cdk-lib'
import { Dashboard, GraphWidget, type IMetric } from 'aws-cdk-lib/aws-cloudwatch'
import type { IFunction } from 'aws-cdk-lib/aws-lambda'
import { Construct } from 'constructs'
import { METRICS, MODES, NO_RUN } from '../lambda/constants.ts'
import { type JobMetric, jobMetric } from './metrics.ts'

const HALF = 12
const DAY = Duration.days(1)

/** One page of graphs: what the runs did, and how the function fared. */
export class RunDashboard extends Construct {
  readonly name: string

  constructor(scope: Construct, id: string, job: IFunction) {
    super(scope, id)
    this.name = Stack.of(this).stackName
    new Dashboard(this, 'Dashboard', {
      dashboardName: this.name,
      defaultInterval: Duration.days(30),
      widgets: [
        [
          graph('Runs closed', byMode(METRICS.runsClosed)),
          graph('Runs stopped or refused', [...byMode(METRICS.runsStopped), ...byMode(METRICS.runsRefused)]),
        ],
        [
          graph('Users processed', byMode(METRICS.usersProcessed)),
          graph('Users left alone', byMode(METRICS.usersLeftAlone)),
        ],
        [
          graph('Users failed', byMode(METRICS.usersFailed)),
          graph('Grants targeted', byMode(METRICS.grantsTargeted)),
        ],
        [
          graph('USD expired', byMode(METRICS.usdExpired)),
          graph('USD corrected to zero', byMode(METRICS.usdCorrected)),
        ],
        [
          graph('Milliseconds a page (p50, p99)', [
            jobMetric(METRICS.pageMilliseconds, 'execute', 'p50', DAY),
            jobMetric(METRICS.pageMilliseconds, 'execute', 'p99', DAY),
            jobMetric(METRICS.pageMilliseconds, 'dry-run', 'p99', DAY),
          ]),
          graph('Open run idle, seconds', [
            jobMetric(METRICS.openRunIdleSeconds, NO_RUN.status, 'Maximum', Duration.hours(1)),
          ]),
        ],
        [
          graph('Duration of invocations', [job.metricDuration({ statistic: 'Maximum', period: DAY })]),
          graph('Invocations and errors', [
            job.metricInvocations({ period: DAY }),
            job.metricErrors({ period: DAY }),
          ]),
        ],
      ],
    })
  }
}

function byMode(metric: JobMetric): IMetric[] {
  return MODES.map((mode) => jobMetric(metric, mode, 'Sum', DAY))
}

function graph(title: string, left: IMetric[]): GraphWidget {
  return new GraphWidget({ title, left, width: HALF, leftYAxis: { min: 0 } })
}

import { Duration } from 'aws-cdk-lib'
import { type IMetric, MathExpression, Metric, Unit } from 'aws-cdk-lib/aws-cloudwatch'
import { type METRICS, METRICS_NAMESPACE } from '../lambda/constants.ts'

export type JobMetric = (typeof METRICS)[keyof typeof METRICS]

const UNITS = {
  Count: Unit.COUNT,
  None: Unit.NONE,
  Milliseconds: Unit.MILLISECONDS,
  Seconds: Unit.SECONDS,
} as const

/** One of the job's own metrics for one mode: by namespace, name, unit and dimension the very one that lambda/ emits. */
export function jobMetric(
  { name, unit }: JobMetric,
  mode: string,
  statistic: string,
  period = Duration.minutes(5),
): Metric {
  return new Metric({
    namespace: METRICS_NAMESPACE,
    metricName: name,
    dimensionsMap: { mode },
    unit: UNITS[unit],
    statistic,
    period,
  })
}

/**
 * The sum of metrics, of which some or all may be missing. Not `a + b`, since that is missing as soon as one of
 * them is. An alarm takes ten metrics at most.
 */
export function sumOf(metrics: readonly IMetric[], label: string): MathExpression {
  const named = Object.fromEntries(metrics.map((metric, index) => [`m${index}`, metric]))
  return new MathExpression({
    expression: `SUM([${Object.keys(named).join(', ')}])`,
    usingMetrics: named,
    label,
    period: Duration.minutes(5),
  })
}

import { Duration } from 'aws-cdk-lib'
import { type IMetric, MathExpression, Metric, Unit } from 'aws-cdk-lib/aws-cloudwatch'
import { type METRICS, METRICS_NAMESPACE } from '../../lambda/constants.ts'

export type JobMetric = (typeof METRICS)[keyof typeof METRICS]

const UNITS = {
  Count: Unit.COUNT,
  None: Unit.NONE,
  Milliseconds: Unit.MILLISECONDS,
  Seconds: Unit.SECONDS,
} as const

type Reading = {
  readonly stage: string
  readonly mode: string
  readonly statistic: string
  readonly period?: Duration
}

/** One of the job's own metrics: by namespace, name, unit and dimensions the one that lambda/ emits. */
export function jobMetric({ name, unit }: JobMetric, { stage, mode, statistic, period }: Reading): Metric {
  return new Metric({
    namespace: METRICS_NAMESPACE,
    metricName: name,
    dimensionsMap: { stage, mode },
    unit: UNITS[unit],
    statistic,
    period: period ?? Duration.minutes(5),
  })
}

/**
 * The sum of metrics, of which some or all may be missing. Not `a + b`, since that is missing as soon as one
 * of them is. An alarm takes ten metrics at most.
 */
export function sumOf(
  metrics: readonly IMetric[],
  label: string,
  period: Duration = Duration.minutes(5),
): MathExpression {
  const named = Object.fromEntries(metrics.map((metric, index) => [`m${index}`, metric]))
  return new MathExpression({
    expression: `SUM([${Object.keys(named).join(', ')}])`,
    usingMetrics: named,
    label,
    period,
  })
}

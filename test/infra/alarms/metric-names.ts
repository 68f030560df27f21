import type { Template } from 'aws-cdk-lib/assertions'
import { onlyOf, resourcesOf } from '../synthesized.ts'

/** A metric as CloudWatch tells metrics apart, and its unit. */
export type Emitted = {
  readonly namespace: string
  readonly name: string
  readonly unit: string | undefined
  readonly dimensions: Readonly<Record<string, string>>
}

type Emf = {
  readonly _aws: {
    readonly CloudWatchMetrics: readonly {
      Namespace: string
      Dimensions: string[][]
      Metrics: { Name: string; Unit: string }[]
    }[]
  }
} & Readonly<Record<string, unknown>>

/** The metrics in one line of the embedded metric format. */
export function emittedIn(emf: object): Emitted[] {
  const line = emf as Emf
  const { _aws: sent } = line
  return sent.CloudWatchMetrics.flatMap(({ Namespace, Dimensions, Metrics }) =>
    Metrics.flatMap(({ Name, Unit }) =>
      Dimensions.map((names) => ({
        namespace: Namespace,
        name: Name,
        unit: Unit,
        dimensions: Object.fromEntries(names.map((name) => [name, String(line[name])])),
      })),
    ),
  )
}

/** Every metric that the template's alarms and dashboard name. */
export function metricsNamedIn(template: Template): Emitted[] {
  return [
    ...resourcesOf(template, 'AWS::CloudWatch::Alarm').flatMap(([, { Properties }]) => ofAlarm(Properties)),
    ...ofDashboard(template),
  ]
}

type Stat = {
  readonly Metric: {
    readonly Namespace: string
    readonly MetricName: string
    readonly Dimensions?: readonly { Name: string; Value: string }[]
  }
  readonly Unit?: string
}

function ofAlarm(properties: Readonly<Record<string, unknown>>): Emitted[] {
  const { Metrics = [] } = properties as { Metrics?: { MetricStat?: Stat }[] }
  const single =
    'MetricName' in properties
      ? [{ MetricStat: { Metric: properties, Unit: properties['Unit'] } as unknown as Stat }]
      : []
  return [...Metrics, ...single].flatMap(({ MetricStat }) =>
    MetricStat
      ? [
          {
            namespace: MetricStat.Metric.Namespace,
            name: MetricStat.Metric.MetricName,
            unit: MetricStat.Unit,
            dimensions: Object.fromEntries(
              (MetricStat.Metric.Dimensions ?? []).map(({ Name, Value }) => [Name, Value]),
            ),
          },
        ]
      : [],
  )
}

/** A dashboard names no units. */
function ofDashboard(template: Template): Emitted[] {
  const { DashboardBody } = onlyOf(template, 'AWS::CloudWatch::Dashboard').Properties as {
    DashboardBody: { 'Fn::Join': [string, unknown[]] }
  }
  const text = DashboardBody['Fn::Join'][1].map((part) => (typeof part === 'string' ? part : 'x')).join('')
  const { widgets } = JSON.parse(text) as { widgets: { properties: { metrics?: unknown[][] } }[] }
  return widgets.flatMap(({ properties }) => (properties.metrics ?? []).map(ofWidget))
}

function ofWidget(metric: readonly unknown[]): Emitted {
  const [namespace, name, ...rest] = metric.filter((part) => typeof part === 'string')
  const pairs = Array.from({ length: rest.length / 2 }, (_, index) => [
    rest[2 * index] ?? '',
    rest[2 * index + 1] ?? '',
  ])
  return {
    namespace: namespace ?? '',
    name: name ?? '',
    unit: undefined,
    dimensions: Object.fromEntries(pairs) as Record<string, string>,
  }
}

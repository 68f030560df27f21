import type { Template } from 'aws-cdk-lib/assertions'
import { resourcesOf } from '../synthesized.ts'

/**
 * What CloudWatch does with the template's alarms, for a given time line of metrics: every minute, each alarm
 * reads its windows of time that end at that minute, of what has arrived by then. Composite alarms, and the
 * suppression of their actions, as CloudWatch documents them. Times are seconds.
 */

/** A value of a metric: the time that it is stamped with, and the time from which CloudWatch shows it. */
export type Datapoint = {
  readonly name: string
  readonly dimensions?: Readonly<Record<string, string>>
  readonly value: number
  readonly stamped: number
  readonly seen?: number
}

/** What is published: an alarm's name and its new state. */
export type Published = { readonly at: number; readonly alarm: string; readonly state: 'ALARM' | 'OK' }

type MetricStat = {
  readonly Metric: { readonly MetricName: string; readonly Dimensions?: { Name: string; Value: unknown }[] }
  readonly Period: number
  readonly Stat: string
}

type Properties = {
  readonly AlarmName: string
  readonly AlarmRule?: { readonly 'Fn::Join': [string, (string | { 'Fn::GetAtt': [string, string] })[]] }
  readonly ActionsSuppressor?: { readonly 'Fn::GetAtt': [string, string] }
  readonly ActionsSuppressorWaitPeriod?: number
  readonly ActionsSuppressorExtensionPeriod?: number
  readonly Metrics?: readonly {
    readonly Id: string
    readonly MetricStat?: MetricStat
    readonly Expression?: string
  }[]
  readonly MetricName?: string
  readonly Dimensions?: { Name: string; Value: unknown }[]
  readonly Statistic?: string
  readonly Period?: number
  readonly EvaluationPeriods: number
  readonly DatapointsToAlarm?: number
  readonly Threshold: number
  readonly TreatMissingData?: string
  readonly AlarmActions?: readonly unknown[]
  readonly OKActions?: readonly unknown[]
}

/** A metric that an alarm reads, with its datapoints. */
type Series = { readonly stat: MetricStat; readonly points: readonly Datapoint[] }

type State = {
  readonly id: string
  readonly properties: Properties
  /** Empty for a composite. */
  readonly series: readonly Series[]
  alarm: boolean
  /**
   * A composite in alarm whose actions wait: for the suppressor to go into alarm, or since it went out of it.
   */
  waiting: { until: number; suppressed: boolean } | null
}

const MINUTE = 60

/** Everything that the alarms publish from one time to another. All of them begin as OK. */
export function published(
  template: Template,
  datapoints: readonly Datapoint[],
  [from, to]: readonly [number, number],
): Published[] {
  const alarms = ['AWS::CloudWatch::Alarm', 'AWS::CloudWatch::CompositeAlarm']
    .flatMap((type) => resourcesOf(template, type))
    .map(([id, resource]): State => {
      const properties = resource.Properties as unknown as Properties
      return { id, properties, series: seriesOf(properties, datapoints), alarm: false, waiting: null }
    })
  const composites = alarms.filter(({ properties }) => properties.AlarmRule)
  const plain = alarms.filter(({ properties }) => !properties.AlarmRule)
  const byId = new Map(alarms.map((alarm) => [alarm.id, alarm]))
  const told: Published[] = []
  for (let at = from; at <= to; at += MINUTE) {
    const before = new Map(alarms.map((alarm) => [alarm.id, alarm.alarm]))
    for (const alarm of plain) alarm.alarm = isBreaching(alarm, at)
    // Twice, since a composite may be what another one depends on.
    for (const alarm of [...composites, ...composites])
      alarm.alarm = idsIn(alarm.properties).some((id) => byId.get(id)?.alarm === true)
    for (const alarm of alarms) told.push(...actionsOf(alarm, before.get(alarm.id) === true, byId, at))
  }
  return told
}

function isBreaching({ properties, series }: State, at: number): boolean {
  const { EvaluationPeriods, DatapointsToAlarm, Threshold, TreatMissingData } = properties
  const periods = Array.from({ length: EvaluationPeriods }, (_, index) => {
    const values = series.flatMap(({ stat, points }) => {
      const end = at - index * stat.Period
      const inside = points.filter(
        ({ stamped, seen = stamped }) => seen <= at && stamped >= end - stat.Period && stamped < end,
      )
      if (inside.length === 0) return []
      return statistic(
        stat.Stat,
        inside.map(({ value }) => value),
      )
    })
    if (values.length === 0) return TreatMissingData === 'breaching'
    return values.reduce((sum, value) => sum + value, 0) > Threshold
  })
  return periods.filter(Boolean).length >= (DatapointsToAlarm ?? EvaluationPeriods)
}

function seriesOf(properties: Properties, datapoints: readonly Datapoint[]): Series[] {
  if (properties.AlarmRule) return []
  return statsOf(properties).map((stat) => ({
    stat,
    points: datapoints.filter((point) => isOf(point, stat)),
  }))
}

/**
 * The metrics of an alarm: its only one, or those of the one expression in use, a sum that leaves out what is
 * missing.
 */
function statsOf({ Metrics, MetricName, Dimensions, Statistic, Period }: Properties): MetricStat[] {
  if (!Metrics) {
    if (MetricName === undefined || Statistic === undefined || Period === undefined)
      throw new Error('An alarm has neither metrics nor a metric.')
    return [{ Metric: { MetricName, ...(Dimensions && { Dimensions }) }, Stat: Statistic, Period }]
  }
  const expressions = Metrics.flatMap(({ Expression }) => Expression ?? [])
  if (!/^SUM\(\[[\w, ]+\]\)$/.test(expressions.join('; ')))
    throw new Error(`Unknown: ${expressions.join('; ')}`)
  return Metrics.flatMap(({ MetricStat }) => MetricStat ?? [])
}

function isOf({ name, dimensions = {} }: Datapoint, { Metric }: MetricStat): boolean {
  if (name !== Metric.MetricName) return false
  return Object.entries(dimensions).every(([key, value]) =>
    Metric.Dimensions?.some(({ Name, Value }) => Name === key && isValue(Value, value)),
  )
}

/** A reference to a resource has its logical id in it. */
function isValue(inTemplate: unknown, value: string): boolean {
  return typeof inTemplate === 'string' ? inTemplate === value : JSON.stringify(inTemplate).includes(value)
}

function statistic(name: string, values: readonly number[]): number {
  if (name === 'Sum') return values.reduce((sum, value) => sum + value, 0)
  if (name === 'Maximum') return Math.max(...values)
  throw new Error(`Unknown statistic: ${name}`)
}

/** The alarms that a rule names: `ALARM("…")`, or several of them with OR. */
function idsIn({ AlarmRule }: Properties): string[] {
  const parts = AlarmRule?.['Fn::Join'][1] ?? []
  const text = parts.map((part) => (typeof part === 'string' ? part : 'id')).join('')
  if (!/^\(?ALARM\("id"\)( OR ALARM\("id"\))*\)?$/.test(text)) throw new Error(`Unknown rule: ${text}`)
  return parts.flatMap((part) => (typeof part === 'string' ? [] : part['Fn::GetAtt'][0]))
}

function actionsOf(alarm: State, was: boolean, byId: ReadonlyMap<string, State>, at: number): Published[] {
  const { AlarmName, AlarmActions = [], OKActions = [], ActionsSuppressor } = alarm.properties
  const tell = (state: Published['state'], actions: readonly unknown[]) =>
    actions.map((): Published => ({ at, alarm: AlarmName, state }))
  if (!ActionsSuppressor) {
    if (alarm.alarm === was) return []
    return alarm.alarm ? tell('ALARM', AlarmActions) : tell('OK', OKActions)
  }
  const suppressor = byId.get(ActionsSuppressor['Fn::GetAtt'][0])
  return stepSuppressed(alarm, suppressor?.alarm === true, was, at) ? tell('ALARM', AlarmActions) : []
}

/** Whether a composite's actions are due now. */
function stepSuppressed(alarm: State, suppressor: boolean, was: boolean, at: number): boolean {
  const { ActionsSuppressorWaitPeriod: wait = 0, ActionsSuppressorExtensionPeriod: extension = 0 } =
    alarm.properties
  if (!alarm.alarm) alarm.waiting = null
  else if (!was) alarm.waiting = { until: at + wait, suppressed: false }
  if (!alarm.waiting) return false
  if (suppressor) alarm.waiting = { until: Infinity, suppressed: true }
  else if (alarm.waiting.suppressed) alarm.waiting = { until: at + extension, suppressed: false }
  if (at < alarm.waiting.until) return false
  alarm.waiting = null
  return true
}

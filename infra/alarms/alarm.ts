import {
  Alarm,
  AlarmRule,
  AlarmState,
  ComparisonOperator,
  CompositeAlarm,
  type IAlarm,
  type IMetric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch'
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions'
import type { ITopic } from 'aws-cdk-lib/aws-sns'
import { Duration } from 'aws-cdk-lib'
import type { Construct } from 'constructs'
import { SERVICE_NAME } from '../../lambda/constants.ts'

/**
 * Where alarms are published, where the runbook is, for which stage, and every alarm that publishes so far.
 */
export type AlarmPlace = {
  readonly topic: ITopic
  readonly runbookUrl: string
  readonly stage: string
  readonly published: IAlarm[]
}

/**
 * How an alarm reads its metric. `event`: something happened; one period in the last 25 minutes is enough,
 * since metrics arrive late and AWS stamps an invocation's error with its start; nothing is published when it
 * is over. `state`: something is so, and the end of it is published too.
 */
type Kind = 'event' | 'state'

/** `heading` is the alarm's heading in docs/runbook.md; `sentence` says what has happened. */
export type AlarmProps = {
  readonly heading: string
  readonly sentence: string
  readonly metric: IMetric
  readonly above: number
  readonly kind: Kind
  /** Where several alarms share a heading: what tells this one apart. */
  readonly suffix?: string
  /** Only a heartbeat's alarm goes off when its metric is missing. */
  readonly missing?: TreatMissingData
  /** Publishes nothing itself: it decides about another alarm. */
  readonly silent?: boolean
}

/** The period of metrics that an `event` alarm reads, and how many of them it looks back. */
export const EVENT_PERIOD = Duration.minutes(5)
const EVENT_PERIODS = 5

/**
 * How long a composite alarm waits for the alarm that explains it, and stays quiet after that one is over.
 */
const EXPLANATION_WAIT = Duration.minutes(5)
const EXPLANATION_EXTENSION = Duration.minutes(30)

/** An alarm above a number, published to the notices' topic. */
export function addAlarm(scope: Construct, id: string, props: AlarmProps, place: AlarmPlace): Alarm {
  const { heading, metric, above, kind, suffix, missing, silent } = props
  const alarm = new Alarm(scope, id, {
    alarmName: nameOf(heading, place.stage, suffix),
    alarmDescription: descriptionOf(props, place),
    metric,
    threshold: above,
    comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
    evaluationPeriods: kind === 'event' ? EVENT_PERIODS : 1,
    datapointsToAlarm: 1,
    treatMissingData: missing ?? TreatMissingData.NOT_BREACHING,
  })
  if (silent === true) return alarm
  place.published.push(alarm)
  const action = new SnsAction(place.topic)
  alarm.addAlarmAction(action)
  if (kind === 'state') alarm.addOkAction(action)
  return alarm
}

type CompositeProps = {
  readonly heading: string
  readonly sentence: string
  readonly when: IAlarm
  /** While one of these is in alarm, it reports the same event, and nothing more is published. */
  readonly unlessExplainedBy: readonly [IAlarm, ...IAlarm[]]
}

/**
 * Publishes that `when` went off, unless another alarm has gone off for the same event, or does within
 * minutes.
 */
export function addAlarmUnlessExplained(
  scope: Construct,
  id: string,
  props: CompositeProps,
  place: AlarmPlace,
): CompositeAlarm {
  const { heading, when, unlessExplainedBy } = props
  const alarm = new CompositeAlarm(scope, id, {
    compositeAlarmName: nameOf(heading, place.stage),
    alarmDescription: descriptionOf(props, place),
    alarmRule: AlarmRule.fromAlarm(when, AlarmState.ALARM),
    actionsSuppressor: anyOf(scope, `${id}Explained`, nameOf(heading, place.stage), unlessExplainedBy),
    actionsSuppressorWaitPeriod: EXPLANATION_WAIT,
    actionsSuppressorExtensionPeriod: EXPLANATION_EXTENSION,
  })
  alarm.addAlarmAction(new SnsAction(place.topic))
  place.published.push(alarm)
  return alarm
}

/** A suppressor is one alarm: of several, a composite that publishes nothing. */
function anyOf(
  scope: Construct,
  id: string,
  name: string,
  [first, ...others]: readonly [IAlarm, ...IAlarm[]],
): IAlarm {
  if (others.length === 0) return first
  return new CompositeAlarm(scope, id, {
    compositeAlarmName: `${name}-explained`,
    alarmDescription: `Another alarm reports the same event, so ${name} is not published.`,
    alarmRule: AlarmRule.anyOf(
      ...[first, ...others].map((alarm) => AlarmRule.fromAlarm(alarm, AlarmState.ALARM)),
    ),
  })
}

function nameOf(heading: string, stage: string, suffix?: string): string {
  const parts = [SERVICE_NAME, stage, anchorOf(heading).replace(/^alarm-/, ''), suffix]
  return parts.filter((part) => part !== undefined).join('-')
}

function descriptionOf({ heading, sentence }: { heading: string; sentence: string }, place: AlarmPlace) {
  return `${sentence} ${place.runbookUrl}#${anchorOf(heading)}`
}

/** The link to a heading, as Markdown viewers make it. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replace(/\s+/g, '-')
}

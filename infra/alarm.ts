import { Alarm, ComparisonOperator, type IMetric, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch'
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions'
import type { ITopic } from 'aws-cdk-lib/aws-sns'
import type { Construct } from 'constructs'

/** Where alarms go, and where it is written what to do about them. */
export type AlarmPlace = { readonly topic: ITopic; readonly runbookUrl: string }

/** `heading` is the alarm's heading in docs/runbook.md; `sentence` says what has happened. */
export type AlarmProps = {
  readonly heading: string
  readonly sentence: string
  readonly metric: IMetric
  readonly above: number
  /** Only a heartbeat is missed when it is missing. */
  readonly missing?: TreatMissingData
}

/** An alarm that goes off above a number, says so to the notices' topic, and again when it is over. */
export function addAlarm(
  scope: Construct,
  id: string,
  props: AlarmProps,
  { topic, runbookUrl }: AlarmPlace,
): Alarm {
  const action = new SnsAction(topic)
  const alarm = new Alarm(scope, id, {
    alarmDescription: `${props.sentence} ${runbookUrl}#${anchorOf(props.heading)}`,
    metric: props.metric,
    threshold: props.above,
    comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
    evaluationPeriods: 1,
    treatMissingData: props.missing ?? TreatMissingData.NOT_BREACHING,
  })
  alarm.addAlarmAction(action)
  alarm.addOkAction(action)
  return alarm
}

/** The link to a heading, as Markdown viewers make it. */
export function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replace(/\s+/g, '-')
}

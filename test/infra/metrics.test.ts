import { Metrics } from '@aws-lambda-powertools/metrics'
import { expect, test } from 'vitest'
import { FINAL_ERRORS, METRICS, METRICS_NAMESPACE, MODES } from '../../lambda/constants.ts'
import { InvalidEvent, type Payload } from '../../lambda/event.ts'
import { metricsByMode, recordClosed, recordIdle, recordPage } from '../../lambda/observability.ts'
import { RunRefused } from '../../lambda/run/errors.ts'
import { type Emitted, emittedIn, metricsNamedIn } from './metric-names.ts'
import { EVERYTHING, onlyOf, resourcesOf, templateWith } from './synthesized.ts'
import { cardWith } from './workflow-run.ts'

const template = templateWith(EVERYTHING)
const RUN_ID = '2026-11-22T06-12-30-123Z-rollback-k3j9'
const run = (mode: 'dry-run' | 'execute'): Payload => ({ kind: 'run', mode })

/** What an invocation emits for an event, as lambda/ sends it to CloudWatch. */
function emitted(payload: Payload | null, work: (metrics: Metrics) => void, error?: Error): Emitted[] {
  const metrics = new Metrics({ namespace: METRICS_NAMESPACE, serviceName: 'credit-expiry' })
  const event = payload
    ? { success: true as const, data: payload }
    : { success: false as const, error: new Error('unreadable') }
  const request = { event, error: error ?? null } as never
  const middleware = metricsByMode(metrics)
  void middleware.before?.(request)
  work(metrics)
  if (error) void middleware.onError?.(request)
  return emittedIn(metrics.serializeMetrics())
}

const closed = (metrics: Metrics) => {
  recordPage(metrics, 120)
  recordClosed(metrics, cardWith({ status: 'stopped' }))
}
const nothing = () => {}

/** Everything that lambda/ can emit. */
const ALL = [
  ...emitted(run('dry-run'), closed),
  ...emitted(run('execute'), closed),
  ...emitted({ kind: 'rollback', mode: 'rollback-dry-run', rollback: RUN_ID }, closed),
  ...emitted({ kind: 'resume', runId: RUN_ID }, closed),
  ...[run('dry-run'), run('execute')].flatMap((payload) => emitted(payload, nothing, new RunRefused('no'))),
  ...emitted({ kind: 'rollback', mode: 'rollback-dry-run', rollback: RUN_ID }, nothing, new RunRefused('no')),
  ...emitted({ kind: 'cancel', runId: RUN_ID }, nothing, new RunRefused('no')),
  ...[run('dry-run'), run('execute'), null].flatMap((payload) =>
    emitted(payload, nothing, new InvalidEvent('no')),
  ),
  ...emitted(
    { kind: 'rollback', mode: 'rollback-dry-run', rollback: RUN_ID },
    nothing,
    new InvalidEvent('no'),
  ),
  ...emitted({ kind: 'resume', runId: RUN_ID }, nothing, new InvalidEvent('no')),
  ...emitted({ kind: 'status', runId: 'latest' }, (metrics) => recordIdle(metrics, 42)),
]

test('every metric that an alarm or the dashboard names is emitted, with the same namespace, unit and dimensions', () => {
  const named = metricsNamedIn(template).filter(({ namespace }) => namespace === METRICS_NAMESPACE)
  expect(named.length).toBeGreaterThan(40)
  // The dashboard names no units: there any will do.
  const isEmitted = ({ name, unit, dimensions }: Emitted) =>
    ALL.some(
      (metric) =>
        metric.name === name &&
        (unit === undefined || metric.unit === unit) &&
        metric.dimensions['mode'] === dimensions['mode'],
    )
  expect(named.filter((metric) => !isEmitted(metric))).toEqual([])
  for (const metric of named) expect(Object.keys(metric.dimensions)).toEqual(['mode'])
  expect(named.filter(({ unit }) => unit !== undefined).length).toBeGreaterThan(15)
})

test('every metric that is emitted has a place in an alarm or on the dashboard', () => {
  const named = new Set(metricsNamedIn(template).map(({ name }) => name))
  expect(Object.values(METRICS).filter(({ name }) => !named.has(name))).toEqual([])
})

test('metrics carry the dimension mode and no other, also those that are sent off in the middle of a run', () => {
  for (const { dimensions } of ALL) expect(Object.keys(dimensions)).toEqual(['mode'])
  const modes = new Set(ALL.map(({ dimensions }) => dimensions['mode']))
  expect(modes).toEqual(new Set([...MODES, 'status', 'unknown']))
})

test('a mode that was left behind by an earlier invocation does not stick', () => {
  const metrics = new Metrics({ namespace: METRICS_NAMESPACE, serviceName: 'credit-expiry' })
  const middleware = metricsByMode(metrics)
  for (const mode of ['execute', 'dry-run'] as const)
    void middleware.before?.({ event: { success: true, data: run(mode) } } as never)
  recordPage(metrics, 1)
  expect(emittedIn(metrics.serializeMetrics())).toMatchObject([{ dimensions: { mode: 'dry-run' } }])
})

test("the names of the errors that are counted, and not tried again, are the errors' own", () => {
  expect(FINAL_ERRORS).toEqual({
    invalidEvent: new InvalidEvent('').name,
    runRefused: new RunRefused('').name,
  })
})

test('the dead man goes off above an hour, and when nothing is heard', () => {
  const [, alarm] =
    resourcesOf(template, 'AWS::CloudWatch::Alarm').find(([id]) => id.includes('DeadMan')) ?? []
  expect(alarm?.Properties).toMatchObject({
    MetricName: 'OpenRunIdleSeconds',
    Dimensions: [{ Name: 'mode', Value: 'status' }],
    Statistic: 'Maximum',
    ComparisonOperator: 'GreaterThanThreshold',
    Threshold: 3600,
    Period: 3600,
    EvaluationPeriods: 1,
    TreatMissingData: 'breaching',
  })
})

test("every alarm tells the notices' topic when it goes off and when it is over; only the dead man minds silence", () => {
  const alarms = resourcesOf(template, 'AWS::CloudWatch::Alarm')
  expect(alarms.map(([id]) => id.replace(/[0-9A-F]{8}$/, '')).toSorted()).toEqual([
    'DeadLettersAlarm',
    'JobErrors',
    'RunAlarmsCorrections',
    'RunAlarmsFailedUsers',
    'RunAlarmsStoppedOrRefused',
    'SchedulesDeadMan',
    'WorkflowFailures',
  ])
  const topic = [{ Ref: expect.stringContaining('NoticesTopic') as string }]
  for (const [id, { Properties }] of alarms) {
    expect(Properties).toMatchObject({ AlarmActions: topic, OKActions: topic })
    expect(Properties['TreatMissingData']).toBe(id.includes('DeadMan') ? 'breaching' : 'notBreaching')
  }
})

test("an alarm of metric math uses ten metrics at most, and the corrections' one the configured amount", () => {
  for (const [, { Properties }] of resourcesOf(template, 'AWS::CloudWatch::Alarm')) {
    expect(((Properties['Metrics'] ?? []) as object[]).length).toBeLessThanOrEqual(10)
  }
  const [, corrections] =
    resourcesOf(template, 'AWS::CloudWatch::Alarm').find(([id]) => id.includes('Corrections')) ?? []
  expect(corrections?.Properties['Threshold']).toBe(Number(EVERYTHING.correctionsAlarmUsd))
  expect(onlyOf(template, 'AWS::CloudWatch::Dashboard').Properties['DashboardBody']).toBeDefined()
})

import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics } from '@aws-lambda-powertools/metrics'
import { expect, test } from 'vitest'
import { FINAL_ERRORS, METRICS, METRICS_NAMESPACE, MODES, NO_RUN } from '../../../lambda/constants.ts'
import { InvalidEvent, type Payload } from '../../../lambda/event.ts'
import { type Host, lambdaHost } from '../../../lambda/host.ts'
import { metricsByMode, recordPage } from '../../../lambda/observability.ts'
import { RunRefused } from '../../../lambda/errors.ts'
import { type Emitted, emittedIn, metricsNamedIn } from './metric-names.ts'
import { EVERYTHING, resourcesOf, templateWith } from '../synthesized.ts'
import { cardWith } from '../workflow/workflow-run.ts'

const template = templateWith(EVERYTHING)
const RUN_ID = '2026-11-22T06-12-30-123Z-rollback-k3j9'
const run = (mode: 'dry-run' | 'execute'): Payload => ({ kind: 'run', mode })
const rollbackDryRun: Payload = { kind: 'rollback', mode: 'rollback-dry-run', rollback: RUN_ID }
const rollback: Payload = { kind: 'resume', runId: RUN_ID }
const status: Payload = { kind: 'status', runId: 'latest' }
const check = { kind: 'check' } as unknown as Payload

/** What the job tells of in Lambda. */
type Work = (host: Host) => void
const nothing: Work = () => {}

/** What an invocation emits for an event, as lambda/ sends it to CloudWatch. */
function emitted(payload: Payload | null, work: Work, error?: Error, writes = true): Emitted[] {
  const metrics = new Metrics({ namespace: METRICS_NAMESPACE, serviceName: 'credit-expiry' })
  const event = payload
    ? { success: true as const, data: payload }
    : { success: false as const, error: new Error('unreadable') }
  const request = { event, error: error ?? null } as never
  const middleware = metricsByMode(metrics, { stage: EVERYTHING.stage, writes })
  void middleware.before?.(request)
  work(lambdaHost(new Logger({ logLevel: 'SILENT' }), metrics))
  if (error) void middleware.onError?.(request)
  return emittedIn(metrics.serializeMetrics())
}

const closed: Work = ({ onPage, onClosed }) => {
  onPage(120)
  onClosed(cardWith({ status: 'stopped' }))
}
const checked: Work = ({ onIdle, onCheck }) => {
  onIdle(42)
  onCheck(true)
}

/** Everything that lambda/ can emit. */
const RUNS = [run('dry-run'), run('execute'), rollbackDryRun, rollback]
const ALL = [
  ...RUNS.flatMap((payload) => emitted(payload, closed)),
  ...emitted(check, checked),
  ...emitted(check, checked, undefined, false),
  ...emitted(status, ({ onVerified }) => onVerified(3)),
  ...[...RUNS, status, check, null].flatMap((payload) => emitted(payload, nothing, new RunRefused('no'))),
  ...emitted(check, nothing, new Error('no'), false),
]

test('every metric that an alarm or the dashboard names is emitted, by name, unit and dimensions', () => {
  const named = metricsNamedIn(template).filter(({ namespace }) => namespace === METRICS_NAMESPACE)
  expect(named.length).toBeGreaterThan(40)
  // The dashboard names no units: there any will do.
  const isEmitted = ({ name, unit, dimensions }: Emitted) =>
    ALL.some(
      (metric) =>
        metric.name === name &&
        (unit === undefined || metric.unit === unit) &&
        metric.dimensions['mode'] === dimensions['mode'] &&
        metric.dimensions['stage'] === dimensions['stage'],
    )
  expect(named.filter((metric) => !isEmitted(metric))).toEqual([])
  for (const metric of named) expect(Object.keys(metric.dimensions).toSorted()).toEqual(['mode', 'stage'])
  expect(named.filter(({ unit }) => unit !== undefined).length).toBeGreaterThan(15)
})

test('every metric that is emitted has a place in an alarm or on the dashboard', () => {
  const named = new Set(metricsNamedIn(template).map(({ name }) => name))
  expect(Object.values(METRICS).filter(({ name }) => !named.has(name))).toEqual([])
})

test('metrics carry the dimensions stage and mode and no other, also those sent in the middle of a run', () => {
  for (const { dimensions } of ALL) expect(Object.keys(dimensions).toSorted()).toEqual(['mode', 'stage'])
  const modes = new Set(ALL.map(({ dimensions }) => dimensions['mode']))
  expect(modes).toEqual(new Set([...MODES, ...Object.values(NO_RUN)]))
})

test('a mode left by an earlier invocation does not stay', () => {
  const metrics = new Metrics({ namespace: METRICS_NAMESPACE, serviceName: 'credit-expiry' })
  const middleware = metricsByMode(metrics, { stage: 'prod', writes: true })
  for (const mode of ['execute', 'dry-run'] as const)
    void middleware.before?.({ event: { success: true, data: run(mode) } } as never)
  recordPage(metrics, 1)
  expect(emittedIn(metrics.serializeMetrics())).toMatchObject([{ dimensions: { mode: 'dry-run' } }])
})

test.for([
  [new InvalidEvent('no'), { ErrorsReported: 1, InvalidEvents: 1, RunsRefused: 0, Failures: 0 }],
  [new RunRefused('no'), { ErrorsReported: 1, InvalidEvents: 0, RunsRefused: 1, Failures: 0 }],
  [new Error('no database'), { ErrorsReported: 1, InvalidEvents: 0, RunsRefused: 0, Failures: 1 }],
] as const)('%o is counted as reported, and by its kind', ([error, counts]) => {
  const metrics = new Metrics({ namespace: METRICS_NAMESPACE, serviceName: 'credit-expiry' })
  const middleware = metricsByMode(metrics, { stage: 'prod', writes: true })
  const request = { event: { success: true, data: run('execute') }, error } as never
  void middleware.before?.(request)
  void middleware.onError?.(request)
  expect(metrics.serializeMetrics()).toMatchObject(counts)
})

test("the names of the errors that are counted, and not tried again, are the errors' own", () => {
  expect(FINAL_ERRORS).toEqual({
    invalidEvent: new InvalidEvent('').name,
    runRefused: new RunRefused('').name,
  })
})

test('an alarm of metric math uses ten metrics at most', () => {
  const alarms = resourcesOf(template, 'AWS::CloudWatch::Alarm')
  expect(alarms.length).toBeGreaterThan(10)
  for (const [, { Properties }] of alarms)
    expect(((Properties['Metrics'] ?? []) as object[]).length).toBeLessThanOrEqual(10)
})

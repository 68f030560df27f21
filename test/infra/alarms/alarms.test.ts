import { describe, expect, test } from 'vitest'
import { type Datapoint, published } from './alarm-evaluator.ts'
import { EVERYTHING, resourcesOf, templateWith } from '../synthesized.ts'

/**
 * Time lines of metrics, as AWS and the job stamp them, against the template's alarms: which of them are
 * published.
 */

const template = templateWith(EVERYTHING)
const MINUTE = 60
const HOUR = 60 * MINUTE
const START = 100 * HOUR
const day: [number, number] = [START, START + 24 * HOUR]

/** Both functions' hourly checks, the whole day, a few seconds early or late, with nothing to report. */
function heartbeats(change: Partial<Record<string, number>> = {}, until = Infinity): Datapoint[] {
  return ['check', 'preview-check'].flatMap((mode) =>
    Array.from({ length: 27 }, (_, hour) => START - 2 * HOUR + hour * HOUR + (hour % 3) * 47 - 30)
      .filter((stamped) => stamped < until)
      .flatMap((stamped) =>
        ['OpenRunIdleSeconds', 'CheckFailed'].map((name): Datapoint => {
          const value = stamped > START + 3 * HOUR ? (change[`${mode} ${name}`] ?? 0) : 0
          return { name, dimensions: { mode }, value, stamped, seen: stamped + 90 }
        }),
      ),
  )
}

/** An error of an invocation: AWS stamps it with the invocation's start, the job with its own time. */
function failed(start: number, seconds: number, mode: string, ofTheJob: readonly string[]): Datapoint[] {
  const end = start + seconds
  const job = ['ErrorsReported', ...ofTheJob].map((name): Datapoint => ({
    name,
    dimensions: { mode },
    value: 1,
    stamped: end,
    seen: end + 70,
  }))
  return [
    { name: 'Errors', dimensions: { FunctionName: 'Job' }, value: 1, stamped: start, seen: end + 60 },
    ...(ofTheJob.length > 0 ? job : []),
  ]
}

const executionFailed = (stamped: number): Datapoint => ({
  name: 'ExecutionsFailed',
  value: 1,
  stamped,
  seen: stamped + 60,
})

/** The names of the alarms that are published, without the stage's prefix; those that are over are marked. */
function toldOf(datapoints: readonly Datapoint[], beats = heartbeats()): string[] {
  return published(template, [...beats, ...datapoints], day).map(({ alarm, state }) => {
    const name = alarm.replace('credit-expiry-staging-', '')
    return state === 'OK' ? `${name} is over` : name
  })
}

const T = START + 10 * HOUR
const REFUSED = ['RunsRefused']
const FAILURE = ['Failures']

test('a day with nothing but heartbeats, early and late: nothing is published', () => {
  expect(toldOf([])).toEqual([])
})

describe('failed invocations', () => {
  test('a time-out after 15 minutes, stamped with its start: process died, once', () => {
    expect(toldOf(failed(T, 900, 'execute', []))).toEqual(['process-died'])
  })

  const timedOutBeside = (minutes: number) => [
    ...failed(T, 900, 'execute', []),
    ...failed(T + minutes * MINUTE, 1, 'unknown', ['InvalidEvents']),
  ]

  test.for([-10, 0, 10, 15])(
    'the blind spot: an invalid event %i minutes after the start of a time-out silences process died',
    (minutes) => expect(toldOf(timedOutBeside(minutes))).toEqual([]),
  )

  test.for([-60, -15, 25, 60])(
    'an invalid event %i minutes after the start of a time-out: process died all the same',
    (minutes) => expect(toldOf(timedOutBeside(minutes))).toEqual(['process-died']),
  )

  test('a run that a silenced time-out left open: the dead man reports it', () => {
    const beats = heartbeats({ 'check OpenRunIdleSeconds': 3_601 })
    expect(toldOf(timedOutBeside(0), beats)).toContain('dead-man-job')
  })

  test('an alarm on one period of five minutes would not see it', () => {
    const narrow = templateWith(EVERYTHING)
    const [, counted] =
      resourcesOf(narrow, 'AWS::CloudWatch::Alarm').find(([id]) => id.includes('Counted')) ?? []
    Object.assign(counted?.Properties ?? {}, { EvaluationPeriods: 1, DatapointsToAlarm: 1 })
    const seen = published(narrow, [...heartbeats(), ...failed(T, 900, 'execute', [])], day)
    expect(seen).toEqual([])
  })

  test.for([-1, 0, 29, 59])(
    'an invalid event, sent directly at second %i of a minute, whose error and count fall into ' +
      'different minutes: nothing',
    (second) => {
      expect(toldOf(failed(T + second, 1, 'unknown', ['InvalidEvents']))).toEqual([])
    },
  )

  test('no database: function errors, once, although every try of the workflow fails', () => {
    const tries = [0, 20, 60, 130, 280, 560, 860].flatMap((after) => failed(T + after, 6, 'execute', FAILURE))
    expect(toldOf([...tries, executionFailed(T + 870)])).toEqual(['function-errors'])
  })

  test('metrics that arrive four minutes late are seen all the same', () => {
    const late = failed(T, 6, 'execute', FAILURE).map((point) => ({ ...point, seen: point.stamped + 240 }))
    expect(toldOf(late)).toEqual(['function-errors'])
  })

  test('again an hour later: published again', () => {
    const both = [T, T + HOUR].flatMap((at) => failed(at, 6, 'execute', FAILURE))
    expect(toldOf(both)).toEqual(['function-errors', 'function-errors'])
  })
})

describe('runs of the workflow', () => {
  test.for([0, 57, 59])('one refused scheduled run, at second %i of a minute: one alarm', (second) => {
    const at = T + second
    expect(toldOf([...failed(at, 2, 'execute', REFUSED), executionFailed(at + 3)])).toEqual([
      'run-stopped-or-refused',
    ])
  })

  test('failed users: one alarm', () => {
    const users: Datapoint = { name: 'UsersFailed', dimensions: { mode: 'execute' }, value: 3, stamped: T }
    expect(toldOf([users, executionFailed(T + 4)])).toEqual(['failed-users'])
  })

  test('an execution that failed for a reason that no other alarm reports: workflow failures', () => {
    expect(toldOf([...failed(T, 1, 'unknown', ['InvalidEvents']), executionFailed(T + 2)])).toEqual([
      'workflow-failures',
    ])
  })

  test.for(['ExecutionsTimedOut', 'ExecutionsAborted'])(
    '%s: an alarm, since no notice has gone out',
    (name) => {
      const ended: Datapoint = { name, value: 1, stamped: T, seen: T + 60 }
      expect(toldOf([ended])).toEqual(['workflow-timed-out-or-aborted'])
    },
  )

  test('corrections: above the configured amount, and not at it', () => {
    const corrected = (value: number): Datapoint => ({
      name: 'UsdCorrected',
      dimensions: { mode: 'execute' },
      value,
      stamped: T,
    })
    expect(toldOf([corrected(50)])).toEqual([])
    expect(toldOf([corrected(50.01)])).toEqual(['corrections'])
  })

  test('a verification that found differences', () => {
    const found: Datapoint = {
      name: 'VerifyDifferences',
      dimensions: { mode: 'status' },
      value: 2,
      stamped: T,
    }
    expect(toldOf([found])).toEqual(['verify-found-differences'])
  })
})

describe('the heartbeat', () => {
  test('silence: the dead man of each function within two hours of the last check, and when it is over', () => {
    const silent = published(template, heartbeats({}, START + 5 * HOUR), day)
    expect(silent.map(({ alarm }) => alarm)).toEqual([
      'credit-expiry-staging-dead-man-job',
      'credit-expiry-staging-dead-man-preview',
    ])
    for (const { at } of silent) expect(at).toBeLessThanOrEqual(START + 7 * HOUR + 2 * MINUTE)
  })

  test('one function silent while the other answers: detected', () => {
    const beats = heartbeats().filter(
      ({ dimensions, stamped }) => dimensions?.['mode'] === 'check' || stamped < T,
    )
    expect(toldOf([], beats)).toEqual(['dead-man-preview'])
  })

  test('an open run without progress for more than an hour; at an hour exactly, nothing', () => {
    expect(toldOf([], heartbeats({ 'check OpenRunIdleSeconds': 3_600 }))).toEqual([])
    expect(toldOf([], heartbeats({ 'check OpenRunIdleSeconds': 3_601 }))).toEqual(['dead-man-job'])
  })

  test('a failed check stays one alarm while it fails, hour after hour', () => {
    expect(toldOf([], heartbeats({ 'preview-check CheckFailed': 1 }))).toEqual(['check-failed'])
  })

  test('a check that failed once is over two hours later, and that is published', () => {
    const once: Datapoint = { name: 'CheckFailed', dimensions: { mode: 'check' }, value: 1, stamped: T + 5 }
    expect(toldOf([once])).toEqual(['check-failed', 'check-failed is over'])
  })
})

test('dead letters: until the queue is empty, and that is published', () => {
  const messages = Array.from({ length: 60 }, (_, minute): Datapoint => ({
    name: 'ApproximateNumberOfMessagesVisible',
    dimensions: { QueueName: 'Schedules' },
    value: minute < 30 ? 1 : 0,
    stamped: T + minute * MINUTE,
  }))
  expect(toldOf(messages)).toEqual(['dead-letters', 'dead-letters is over'])
})

describe('every alarm', () => {
  const alarms = ['AWS::CloudWatch::Alarm', 'AWS::CloudWatch::CompositeAlarm'].flatMap((type) =>
    resourcesOf(template, type).map(([, { Properties }]) => Properties),
  )
  const topic = [{ Ref: expect.stringContaining('NoticesTopic') as string }]

  test('that publishes goes to the topic; what only happened is not published when it is over', () => {
    const publishing = alarms.filter(({ AlarmActions }) => AlarmActions !== undefined)
    expect(publishing.length).toBe(12)
    for (const { AlarmActions } of publishing) expect(AlarmActions).toEqual(topic)
    const over = publishing.filter(({ OKActions }) => OKActions !== undefined)
    expect(
      over.map(({ AlarmName }) => String(AlarmName).replace('credit-expiry-staging-', '')).toSorted(),
    ).toEqual(['check-failed', 'dead-letters', 'dead-man-job', 'dead-man-preview'])
  })

  test('has a name that a person can read, and a link that works', () => {
    for (const { AlarmName } of alarms) expect(AlarmName).toMatch(/^credit-expiry-staging-[a-z-]+$/)
    for (const { AlarmDescription } of alarms.filter(({ AlarmActions }) => AlarmActions !== undefined))
      expect(AlarmDescription).toMatch(/^[A-Z].+\. https:\/\/example\.com\/runbook\.md#alarm-[a-z-]+$/)
  })

  test('takes missing data for an alarm only where a heartbeat is expected', () => {
    const minding = alarms.filter(({ TreatMissingData }) => TreatMissingData === 'breaching')
    expect(minding.map(({ AlarmName }) => AlarmName)).toEqual([
      'credit-expiry-staging-dead-man-job',
      'credit-expiry-staging-dead-man-preview',
    ])
  })
})

import type { Template } from 'aws-cdk-lib/assertions'
import { describe, expect, test } from 'vitest'
import { actionsOf, EVERYTHING, resourcesOf, statementsOf, templateWith } from '../synthesized.ts'

const template = templateWith()
const full = templateWith(EVERYTHING)

describe('schedules', () => {
  const targets = (given: Template) =>
    Object.fromEntries(
      resourcesOf(given, 'AWS::Scheduler::Schedule').map(([, { Properties }]) => {
        const { Name, ScheduleExpression, State, Target } = Properties as {
          Name: string
          ScheduleExpression: string
          State: string
          Target: { Arn: { Ref: string }; Input: string }
        }
        const input = JSON.parse(Target.Input) as unknown
        return [
          Name,
          { ScheduleExpression, State, input, target: Target.Arn.Ref.replace(/[0-9A-F]{8}$/, '') },
        ]
      }),
    )
  const key = (name: string) => `${name}-<aws.scheduler.scheduled-time>`

  test('by default: a weekly dry run and verification, the hourly heartbeats, and nothing that writes', () => {
    const workflow = { State: 'ENABLED', target: 'WorkflowStateMachine' }
    const heartbeat = { ScheduleExpression: 'rate(1 hour)', State: 'ENABLED', input: { check: true } }
    expect(targets(template)).toEqual({
      'credit-expiry-prod-dry-run': {
        ...workflow,
        ScheduleExpression: 'cron(0 6 ? * MON *)',
        input: { requestKey: key('credit-expiry-prod-dry-run'), reason: 'scheduled dry run' },
      },
      'credit-expiry-prod-verify': {
        ...workflow,
        ScheduleExpression: 'cron(0 8 ? * MON *)',
        input: { verify: 'latest' },
      },
      'credit-expiry-prod-heartbeat-job': { ...heartbeat, target: 'FunctionsJobLive' },
      'credit-expiry-prod-heartbeat-preview': { ...heartbeat, target: 'FunctionsPreviewLive' },
    })
  })

  test('an execute only where it is configured, and only by way of a plan', () => {
    expect(targets(full)['credit-expiry-staging-execute']).toEqual({
      ScheduleExpression: 'cron(0 7 1 * ? *)',
      State: 'ENABLED',
      target: 'WorkflowStateMachine',
      input: { scheduledExecute: { requestKey: key('credit-expiry-staging-execute') } },
    })
    expect(JSON.stringify(targets(full))).not.toContain('"execute":true')
  })

  test('can be paused, all but the heartbeats', () => {
    const paused = Object.entries(targets(templateWith({ ...EVERYTHING, schedulesPaused: true })))
    const enabled = paused.filter(([, { State }]) => State === 'ENABLED').map(([name]) => name)
    expect(enabled.toSorted()).toEqual([
      'credit-expiry-staging-heartbeat-job',
      'credit-expiry-staging-heartbeat-preview',
    ])
    expect(paused).toHaveLength(5)
  })

  test('are delivered again a few times, and then kept in a queue', () => {
    for (const [, { Properties }] of resourcesOf(full, 'AWS::Scheduler::Schedule')) {
      expect(Properties['Target']).toMatchObject({
        RetryPolicy: { MaximumRetryAttempts: 3 },
        DeadLetterConfig: { Arn: { 'Fn::GetAtt': [expect.stringContaining('DeadLettersSchedules'), 'Arn'] } },
      })
    }
  })

  test('wait for their group and for the policy of their role', () => {
    for (const [id, schedule] of resourcesOf(full, 'AWS::Scheduler::Schedule')) {
      const { DependsOn = [] } = schedule as { DependsOn?: string[] }
      const role = id.includes('heartbeat') ? 'SchedulesHeartbeatRole' : 'SchedulesRole'
      // Not for the role itself, to which the target refers: cfn-lint takes that for a mistake.
      expect(DependsOn.toSorted()).toEqual([
        expect.stringMatching(/^SchedulesGroup/),
        expect.stringMatching(new RegExp(`^${role}DefaultPolicy`)),
      ])
    }
  })

  test('their roles can be assumed by schedules of the group only', () => {
    const roles = resourcesOf(full, 'AWS::IAM::Role').filter(([id]) => id.startsWith('Schedules'))
    expect(roles).toHaveLength(2)
    for (const [, { Properties }] of roles) {
      expect(Properties['AssumeRolePolicyDocument']).toMatchObject({
        Statement: [
          {
            Principal: { Service: 'scheduler.amazonaws.com' },
            Condition: {
              StringEquals: {
                'aws:SourceAccount': { Ref: 'AWS::AccountId' },
                'aws:SourceArn': {
                  'Fn::GetAtt': [expect.stringContaining('SchedulesGroup') as string, 'Arn'],
                },
              },
            },
          },
        ],
      })
    }
  })

  test('the heartbeat’s role can invoke the aliases, and hand over what was not delivered; no more', () => {
    const statements = statementsOf(full, 'AWS::IAM::Policy', 'SchedulesHeartbeatRole')
    expect(new Set(statements.flatMap(actionsOf))).toEqual(
      new Set(['lambda:InvokeFunction', 'sqs:SendMessage']),
    )
    const starting = statementsOf(full, 'AWS::IAM::Policy', 'SchedulesRole')
    expect(new Set(starting.flatMap(actionsOf))).toEqual(
      new Set(['states:StartExecution', 'sqs:SendMessage']),
    )
  })
})

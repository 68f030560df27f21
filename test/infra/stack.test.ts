import { describe, expect, test } from 'vitest'
import { PREFIXES } from '../../lambda/constants.ts'
import {
  actionsOf,
  EVERYTHING,
  LEAST,
  onlyOf,
  resourcesOf,
  statementsOf,
  templateWith,
} from './synthesized.ts'

const template = templateWith()
const full = templateWith(EVERYTHING)

describe('the log bucket', () => {
  test("outlives the stack, keeps every version, is encrypted, and is nobody else's", () => {
    expect(onlyOf(template, 'AWS::S3::Bucket')).toMatchObject({
      DeletionPolicy: 'Retain',
      UpdateReplacePolicy: 'Retain',
      Properties: {
        VersioningConfiguration: { Status: 'Enabled' },
        BucketEncryption: {
          ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
        },
        PublicAccessBlockConfiguration: {
          BlockPublicAcls: true,
          BlockPublicPolicy: true,
          IgnorePublicAcls: true,
          RestrictPublicBuckets: true,
        },
        OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
      },
    })
    expect(statementsOf(template, 'AWS::S3::BucketPolicy', '')).toContainEqual(
      expect.objectContaining({
        Effect: 'Deny',
        Action: 's3:*',
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
      }),
    )
  })

  test('is encrypted with the key that is given', () => {
    expect(onlyOf(full, 'AWS::S3::Bucket').Properties).toMatchObject({
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [
          {
            BucketKeyEnabled: true,
            ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: EVERYTHING.logKeyArn },
          },
        ],
      },
    })
  })

  test('forgets segments, state and query results, and never control/, logs/ or runs/', () => {
    const { LifecycleConfiguration } = onlyOf(template, 'AWS::S3::Bucket').Properties as {
      LifecycleConfiguration: {
        Rules: {
          Prefix?: string
          ExpirationInDays?: number
          NoncurrentVersionExpiration?: { NoncurrentDays: number }
        }[]
      }
    }
    const expiring = LifecycleConfiguration.Rules.filter(
      (rule) => rule.ExpirationInDays !== undefined || rule.NoncurrentVersionExpiration,
    )
    expect(
      Object.fromEntries(
        expiring.map((rule) => [
          rule.Prefix,
          [rule.ExpirationInDays, rule.NoncurrentVersionExpiration?.NoncurrentDays],
        ]),
      ),
    ).toEqual({
      [PREFIXES.segments]: [90, 30],
      [PREFIXES.state]: [90, 30],
      'query-results/': [30, 1],
    })
    expect(LifecycleConfiguration.Rules).toContainEqual(
      expect.objectContaining({ AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 } }),
    )
  })
})

describe('permissions', () => {
  test.for([template, full])('nobody in the stack may delete anything', (any) => {
    const actions = [...statementsOf(any, 'AWS::IAM::Policy', '')].flatMap(actionsOf)
    const interfaces = ['ec2:DeleteNetworkInterface', 'logs:DeleteLogDelivery']
    expect(actions.filter((action) => /delete|\*/i.test(action) && !interfaces.includes(action))).toEqual([])
    for (const [, role] of resourcesOf(any, 'AWS::IAM::Role')) {
      expect(role.Properties['ManagedPolicyArns']).toBeUndefined()
      expect(role.Properties['Policies']).toBeUndefined()
    }
  })

  test('the function gets, puts and lists in its own folders, and reads its own secrets, and that is all it may do with data', () => {
    const statements = statementsOf(full, 'AWS::IAM::Policy', 'JobRole')
    const onData = statements.filter((statement) =>
      actionsOf(statement).some((action) => /^(s3|secretsmanager|kms):/.test(action)),
    )
    const bucket = { 'Fn::GetAtt': [expect.stringContaining('LogBucket'), 'Arn'] }
    expect(onData.map(({ Action, Resource }) => ({ Action, Resource }))).toEqual([
      {
        Action: ['s3:AbortMultipartUpload', 's3:GetObject', 's3:PutObject'],
        Resource: Object.values(PREFIXES)
          .toSorted()
          .map((prefix) => ({ 'Fn::Join': ['', [bucket, `/${prefix}*`]] })),
      },
      { Action: 's3:ListBucket', Resource: bucket },
      { Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: EVERYTHING.logKeyArn },
      {
        Action: 'secretsmanager:GetSecretValue',
        Resource: [EVERYTHING.databaseSecretArn, EVERYTHING.readonlyDatabaseSecretArn],
      },
      { Action: 'kms:Decrypt', Resource: EVERYTHING.secretKeyArn },
    ])
  })

  test("the notices' topic takes alarms, the workflow and the function of this account, over TLS only", () => {
    const statements = statementsOf(template, 'AWS::SNS::TopicPolicy', '')
    expect(
      statements
        .filter(({ Effect }) => Effect === 'Allow')
        .map(({ Principal, Condition }) => ({ Principal, Condition })),
    ).toEqual([
      {
        Principal: { Service: 'cloudwatch.amazonaws.com' },
        Condition: { StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } },
      },
      {
        Principal: { AWS: { 'Fn::GetAtt': [expect.stringContaining('JobRole'), 'Arn'] } },
        Condition: undefined,
      },
      {
        Principal: { AWS: { 'Fn::GetAtt': [expect.stringContaining('WorkflowStateMachineRole'), 'Arn'] } },
        Condition: undefined,
      },
    ])
    expect(statements).toContainEqual(
      expect.objectContaining({
        Effect: 'Deny',
        Principal: { AWS: '*' },
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
      }),
    )
    expect(onlyOf(template, 'AWS::SNS::Topic').Properties['KmsMasterKeyId']).toBeUndefined()
  })

  test('queues take nothing without TLS', () => {
    const denied = statementsOf(template, 'AWS::SQS::QueuePolicy', '').filter(
      ({ Effect }) => Effect === 'Deny',
    )
    expect(denied).toHaveLength(resourcesOf(template, 'AWS::SQS::Queue').length)
  })
})

describe('the function', () => {
  test('is Node 24 on arm64 with one vCPU, 15 minutes, JSON logs of its own that are kept, and traces', () => {
    const { Properties } = onlyOf(template, 'AWS::Lambda::Function')
    expect(Properties['ReservedConcurrentExecutions']).toBeUndefined()
    expect(Properties).toMatchObject({
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      MemorySize: 1769,
      Timeout: 900,
      Handler: 'index.handler',
      LoggingConfig: { LogFormat: 'JSON', LogGroup: { Ref: expect.stringContaining('JobLogs') as string } },
      TracingConfig: { Mode: 'Active' },
    })
    for (const [, group] of resourcesOf(template, 'AWS::Logs::LogGroup')) {
      expect(group).toMatchObject({ DeletionPolicy: 'Retain', Properties: { RetentionInDays: 365 } })
    }
  })

  test('is never retried by Lambda, and what fails without a caller goes to a queue', () => {
    expect(onlyOf(template, 'AWS::Lambda::EventInvokeConfig').Properties).toMatchObject({
      MaximumRetryAttempts: 0,
      MaximumEventAgeInSeconds: 600,
      DestinationConfig: {
        OnFailure: {
          Destination: { 'Fn::GetAtt': [expect.stringContaining('DeadLettersInvocations') as string, 'Arn'] },
        },
      },
    })
  })

  test('stands in the VPC that is given, with a security group of its own where none is', () => {
    expect(onlyOf(full, 'AWS::Lambda::Function').Properties['VpcConfig']).toMatchObject({
      SubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
      SecurityGroupIds: ['sg-0123456789abcdef0'],
    })
    full.resourceCountIs('AWS::EC2::SecurityGroup', 0)
    const own = templateWith({
      ...LEAST,
      vpcId: 'vpc-0123456789abcdef0',
      subnetIds: 'subnet-0123456789abcdef0',
    })
    own.resourceCountIs('AWS::EC2::SecurityGroup', 1)
    own.hasOutput('SecurityGroupId', {})
    expect(onlyOf(template, 'AWS::Lambda::Function').Properties['VpcConfig']).toBeUndefined()
  })
})

describe('schedules', () => {
  const scheduled = (given: typeof template) =>
    Object.fromEntries(
      resourcesOf(given, 'AWS::Scheduler::Schedule').map(([id, { Properties }]) => {
        const { ScheduleExpression, State, Target } = Properties as {
          ScheduleExpression: string
          State: string
          Target: { Input: string }
        }
        return [
          id.replace(/^Schedules|[0-9A-F]{8}$/g, ''),
          { ScheduleExpression, State, input: JSON.parse(Target.Input) as unknown },
        ]
      }),
    )
  const requestKey = '<aws.scheduler.execution-id>'

  test('by default: a weekly dry run, the hourly heartbeat, and nothing that writes', () => {
    expect(scheduled(template)).toEqual({
      DryRun: {
        ScheduleExpression: 'cron(0 6 ? * MON *)',
        State: 'ENABLED',
        input: { requestKey, reason: 'scheduled dry run' },
      },
      Heartbeat: { ScheduleExpression: 'rate(1 hour)', State: 'ENABLED', input: { status: 'latest' } },
    })
  })

  test('an execute only where it is spelled out, with limits of its own', () => {
    expect(scheduled(full)['Execute']).toEqual({
      ScheduleExpression: 'cron(0 7 1 * ? *)',
      State: 'ENABLED',
      input: {
        execute: true,
        limits: { users: 300, grants: 5000, usd: 20_000, correctionsUsd: 100 },
        requestKey,
        reason: 'scheduled execute',
      },
    })
  })

  test('can be paused, all but the heartbeat', () => {
    const paused = scheduled(templateWith({ ...EVERYTHING, schedulesPaused: true }))
    expect(Object.fromEntries(Object.entries(paused).map(([id, { State }]) => [id, State]))).toEqual({
      DryRun: 'DISABLED',
      Execute: 'DISABLED',
      Heartbeat: 'ENABLED',
    })
  })

  test('are delivered again a few times, and then kept in a queue', () => {
    for (const [, { Properties }] of resourcesOf(full, 'AWS::Scheduler::Schedule')) {
      expect(Properties['Target']).toMatchObject({
        RetryPolicy: { MaximumRetryAttempts: 3 },
        DeadLetterConfig: { Arn: { 'Fn::GetAtt': [expect.stringContaining('DeadLettersSchedules'), 'Arn'] } },
      })
    }
  })
})

test('the outputs hold no payload that writes at once', () => {
  const outputs = template.findOutputs('*') as Record<string, { Value: unknown }>
  const payloads = Object.entries(outputs)
    .filter(([id]) => id.startsWith('Payload'))
    .map(([, { Value }]) => Value)
  expect(payloads).toEqual(['{}', '{"status": "latest"}', '{"execute": true, "plan": "<dry run id>"}'])
  for (const name of ['FunctionName', 'WorkflowArn', 'LogBucketName', 'NoticesTopicArn'])
    expect(Object.keys(outputs)).toContain(name)
  expect(Object.keys(outputs).filter((id) => id.endsWith('Console'))).toHaveLength(5)
})

test('query results are encrypted and bounded, and stay in the bucket', () => {
  expect(onlyOf(full, 'AWS::Athena::WorkGroup').Properties).toMatchObject({
    WorkGroupConfiguration: {
      EnforceWorkGroupConfiguration: true,
      ResultConfiguration: {
        EncryptionConfiguration: { EncryptionOption: 'SSE_KMS', KmsKey: EVERYTHING.logKeyArn },
      },
    },
  })
  expect(onlyOf(template, 'AWS::Athena::WorkGroup').Properties).toMatchObject({
    WorkGroupConfiguration: {
      ResultConfiguration: { EncryptionConfiguration: { EncryptionOption: 'SSE_S3' } },
    },
  })
})

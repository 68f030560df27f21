import type { Template } from 'aws-cdk-lib/assertions'
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

/** The properties of the only resource of a type whose logical id begins so. */
function properties(of: Template, type: string, idPrefix: string): Record<string, unknown> {
  const found = resourcesOf(of, type).filter(([id]) => id.startsWith(idPrefix))
  if (found.length !== 1) throw new Error(`${found.length} resources of type ${type} begin with ${idPrefix}.`)
  return found[0]?.[1].Properties ?? {}
}

describe('the log bucket', () => {
  test('outlives the stack, keeps every version, is encrypted and private', () => {
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

  test('is encrypted with the key that is given, and locked where that is configured', () => {
    expect(onlyOf(full, 'AWS::S3::Bucket').Properties).toMatchObject({
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [
          {
            BucketKeyEnabled: true,
            ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: EVERYTHING.logKeyArn },
          },
        ],
      },
      ObjectLockConfiguration: { Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 365 } } },
    })
    expect(onlyOf(template, 'AWS::S3::Bucket').Properties['ObjectLockConfiguration']).toBeUndefined()
  })

  /** For each prefix: after how many days objects expire, and old versions. */
  function expiring(of: Template) {
    const { LifecycleConfiguration } = onlyOf(of, 'AWS::S3::Bucket').Properties as {
      LifecycleConfiguration: {
        Rules: {
          Prefix?: string
          ExpirationInDays?: number
          NoncurrentVersionExpiration?: { NoncurrentDays: number }
          AbortIncompleteMultipartUpload?: { DaysAfterInitiation: number }
        }[]
      }
    }
    const { Rules } = LifecycleConfiguration
    expect(
      Rules.filter((rule) => rule.AbortIncompleteMultipartUpload?.DaysAfterInitiation === 1),
    ).toHaveLength(1)
    return Object.fromEntries(
      Rules.filter((rule) => rule.ExpirationInDays !== undefined || rule.NoncurrentVersionExpiration).map(
        (rule) => [rule.Prefix, [rule.ExpirationInDays, rule.NoncurrentVersionExpiration?.NoncurrentDays]],
      ),
    )
  }

  test('expires intents, old versions of cursors and query results; never control/, logs/ or runs/', () => {
    expect(expiring(template)).toEqual({
      [PREFIXES.intents]: [90, 1],
      [PREFIXES.runs]: [undefined, 30],
      'query-results/': [30, 1],
    })
  })

  test('expires logs only where that is configured', () => {
    expect(expiring(full)[PREFIXES.logs]).toEqual([730, 1])
  })
})

describe('permissions', () => {
  test.for([template, full])('no role and no policy of the stack may delete data', (any) => {
    const actions = ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy']
      .flatMap((type) => statementsOf(any, type, ''))
      .flatMap(actionsOf)
    const interfaces = ['ec2:DeleteNetworkInterface', 'logs:DeleteLogDelivery']
    expect(actions.filter((action) => /delete|\*/i.test(action) && !interfaces.includes(action))).toEqual([])
    for (const [, role] of resourcesOf(any, 'AWS::IAM::Role')) {
      expect(role.Properties['ManagedPolicyArns']).toBeUndefined()
      expect(role.Properties['Policies']).toBeUndefined()
    }
  })

  const bucket = { 'Fn::GetAtt': [expect.stringContaining('LogBucket'), 'Arn'] }
  const objects = (...patterns: string[]) =>
    patterns.map((pattern) => ({ 'Fn::Join': ['', [bucket, `/${pattern}`]] }))
  const user = (name: string) => ({
    'Fn::Join': ['', expect.arrayContaining([`:dbuser:${EVERYTHING.databaseResourceId}/${name}`])],
  })
  const via = (service: string) => ({
    StringEquals: {
      'kms:ViaService': {
        'Fn::Join': ['', [`${service}.`, { Ref: 'AWS::Region' }, '.', { Ref: 'AWS::URLSuffix' }]],
      },
    },
  })
  const everything = objects('control/*', 'intents/*', 'logs/*', 'runs/*')
  const secrets = { writing: EVERYTHING.databaseSecretArn, reading: EVERYTHING.readonlyDatabaseSecretArn }
  const common = [
    { Action: 's3:ListBucket', Resource: bucket },
    { Action: ['kms:Decrypt', 'kms:GenerateDataKey'], Resource: EVERYTHING.logKeyArn, Condition: via('s3') },
  ]
  const secretKey = {
    Action: 'kms:Decrypt',
    Resource: EVERYTHING.secretKeyArn,
    Condition: via('secretsmanager'),
  }

  const ofRole = (idPrefix: string) =>
    statementsOf(full, 'AWS::IAM::Policy', idPrefix)
      .filter((statement) => !actionsOf(statement).some((action) => /^(logs|xray|ec2|sqs):/.test(action)))
      .map(({ Action, Resource, Condition }) => ({
        Action,
        Resource,
        ...(Condition !== undefined && { Condition }),
      }))

  test('the job function gets, puts and lists in its own folders, reads both secrets, connects and signs', () => {
    expect(ofRole('FunctionsJobRole')).toEqual([
      { Action: ['s3:AbortMultipartUpload', 's3:GetObject', 's3:PutObject'], Resource: everything },
      ...common,
      { Action: 'secretsmanager:GetSecretValue', Resource: [secrets.writing, secrets.reading] },
      secretKey,
      { Action: 'rds-db:connect', Resource: [user('expiry_reader'), user('expiry_writer')] },
      { Action: ['kms:GetPublicKey', 'kms:Sign'], Resource: EVERYTHING.signingKeyArn },
    ])
  })

  test('the preview function reads everything, writes what belongs to dry runs, and knows one secret', () => {
    expect(ofRole('FunctionsPreviewRole')).toEqual([
      { Action: 's3:GetObject', Resource: everything },
      {
        Action: ['s3:AbortMultipartUpload', 's3:PutObject'],
        Resource: objects(
          'control/requests/dry-run/*',
          'logs/*-dry-run-*',
          'logs/*-rollback-dry-run-*',
          'runs/*-dry-run-*',
          'runs/*-rollback-dry-run-*',
          'runs/*/report.html',
        ),
      },
      ...common,
      { Action: 'secretsmanager:GetSecretValue', Resource: secrets.reading },
      secretKey,
      { Action: 'rds-db:connect', Resource: user('expiry_reader') },
      { Action: 'kms:GetPublicKey', Resource: EVERYTHING.signingKeyArn },
    ])
  })

  test('no statement but the job function’s names the writing secret', () => {
    const naming = resourcesOf(full)
      .filter(([, resource]) => JSON.stringify(resource).includes(secrets.writing))
      .map(([id]) => id.replace(/[0-9A-F]{8}$/, ''))
    expect(naming).toEqual(['FunctionsJobRoleDefaultPolicy', 'FunctionsJobFunction'])
  })

  test('of the functions, neither may publish notices', () => {
    for (const role of ['FunctionsJobRole', 'FunctionsPreviewRole'])
      expect(JSON.stringify(statementsOf(full, 'AWS::IAM::Policy', role))).not.toContain('sns:')
  })

  const alias = (name: string) => ({ Ref: expect.stringContaining(`Functions${name}Live`) as string })

  test('preview is a policy for people: invoke the preview function, read the bucket', () => {
    const statements = statementsOf(template, 'AWS::IAM::ManagedPolicy', 'AccessPreview')
    expect(statements.map(({ Action, Resource }) => ({ Action, Resource }))).toEqual([
      { Action: 'lambda:InvokeFunction', Resource: alias('Preview') },
      { Action: 's3:GetObject', Resource: everything },
      { Action: 's3:ListBucket', Resource: bucket },
    ])
  })

  test('operate is a policy for people: start the workflow, invoke the job function', () => {
    const statements = statementsOf(template, 'AWS::IAM::ManagedPolicy', 'AccessOperate')
    expect(statements[0]).toMatchObject({ Action: 'lambda:InvokeFunction', Resource: alias('Job') })
    expect(statements.flatMap(actionsOf)).toContain('states:StartExecution')
    expect(JSON.stringify(statements)).not.toMatch(/s3:|secretsmanager:/)
  })

  test("the notices' topic takes alarms of this account and the workflow's notices, over TLS only", () => {
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

describe.for(['Job', 'Preview'])('the %s function', (name) => {
  test('is Node 24 on arm64 with one vCPU, 15 minutes, JSON logs of its own that are kept, and traces', () => {
    const given = properties(template, 'AWS::Lambda::Function', `Functions${name}`)
    expect(given['ReservedConcurrentExecutions']).toBeUndefined()
    expect(given).toMatchObject({
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      MemorySize: 1769,
      Timeout: 900,
      Handler: 'index.handler',
      LoggingConfig: {
        LogFormat: 'JSON',
        LogGroup: { Ref: expect.stringContaining(`Functions${name}Logs`) as string },
      },
      TracingConfig: { Mode: 'Active' },
      Environment: {
        Variables: { NODE_OPTIONS: '--enable-source-maps --max-old-space-size=1400 --max-semi-space-size=2' },
      },
    })
    for (const [, group] of resourcesOf(template, 'AWS::Logs::LogGroup'))
      expect(group).toMatchObject({ DeletionPolicy: 'Retain', Properties: { RetentionInDays: 365 } })
  })

  test('has the alias live on a published version that is kept, for a switch back', () => {
    const { FunctionVersion, Name } = properties(template, 'AWS::Lambda::Alias', `Functions${name}Live`)
    expect(Name).toBe('live')
    const [version = ''] = (FunctionVersion as { 'Fn::GetAtt': string[] })['Fn::GetAtt']
    expect(Object.fromEntries(resourcesOf(template, 'AWS::Lambda::Version'))[version]).toMatchObject({
      DeletionPolicy: 'Retain',
      Properties: { FunctionName: { Ref: expect.stringContaining(`Functions${name}Function`) as string } },
    })
  })

  test.for(['Function', 'Live'])(
    'is not retried by Lambda when %s is invoked, and failures go to a queue',
    (what) => {
      const config = properties(
        template,
        'AWS::Lambda::EventInvokeConfig',
        `Functions${name}${what}EventInvoke`,
      )
      expect(config).toMatchObject({
        MaximumRetryAttempts: 0,
        MaximumEventAgeInSeconds: 600,
        DestinationConfig: {
          OnFailure: {
            Destination: {
              'Fn::GetAtt': [expect.stringContaining('DeadLettersInvocations') as string, 'Arn'],
            },
          },
        },
      })
    },
  )
})

test('both functions run the same code; only the preview function has ALLOW_WRITES=false', () => {
  const functions = resourcesOf(full, 'AWS::Lambda::Function').map(([, { Properties }]) => Properties)
  expect(new Set(functions.map(({ Code }) => JSON.stringify(Code))).size).toBe(1)
  const variables = functions.map(
    ({ Environment }) => (Environment as { Variables: Record<string, unknown> }).Variables,
  )
  const [job, preview] = variables
  expect(job).not.toHaveProperty('ALLOW_WRITES')
  const { READONLY_DATABASE_SECRET_ARN: reading, DATABASE_SECRET_ARN: writing, ...shared } = job ?? {}
  expect(reading).not.toBe(writing)
  expect(preview).toEqual({ ...shared, DATABASE_SECRET_ARN: reading, ALLOW_WRITES: 'false' })
})

describe('the network', () => {
  test('is the VPC that is given, with the security groups that are given', () => {
    for (const [, { Properties }] of resourcesOf(full, 'AWS::Lambda::Function')) {
      expect(Properties['VpcConfig']).toMatchObject({
        SubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
        SecurityGroupIds: ['sg-0123456789abcdef0'],
      })
    }
    full.resourceCountIs('AWS::EC2::SecurityGroup', 0)
    for (const [, { Properties }] of resourcesOf(template, 'AWS::Lambda::Function'))
      expect(Properties['VpcConfig']).toBeUndefined()
  })

  test('a security group made here lets out HTTPS and the database’s port, and nothing else', () => {
    const network = {
      vpcId: 'vpc-0123456789abcdef0',
      subnetIds: 'subnet-0123456789abcdef0',
      databasePort: 6432,
    }
    const own = templateWith({ ...LEAST, ...network })
    const { SecurityGroupEgress, SecurityGroupIngress } = onlyOf(own, 'AWS::EC2::SecurityGroup').Properties
    expect(SecurityGroupIngress).toBeUndefined()
    expect(SecurityGroupEgress).toMatchObject([
      { CidrIp: '0.0.0.0/0', FromPort: 443, ToPort: 443, IpProtocol: 'tcp' },
      { CidrIp: '0.0.0.0/0', FromPort: 6432, ToPort: 6432, IpProtocol: 'tcp' },
    ])
    own.hasOutput('SecurityGroupId', {})
  })
})

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
      expect(DependsOn).toEqual(
        expect.arrayContaining([
          expect.stringMatching(/^SchedulesGroup/),
          expect.stringMatching(new RegExp(`^${role}DefaultPolicy`)),
        ]),
      )
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

describe('a second deployment', () => {
  test.for([template, full])(
    'meets no name that the first one left: what is retained has none of its own',
    (any) => {
      const retained = resourcesOf(any).filter(([, { DeletionPolicy }]) => DeletionPolicy === 'Retain')
      expect(new Set(retained.map(([, { Type }]) => Type))).toEqual(
        new Set(['AWS::S3::Bucket', 'AWS::Logs::LogGroup', 'AWS::Lambda::Version']),
      )
      for (const [, { Properties }] of retained) {
        for (const name of ['BucketName', 'LogGroupName', 'Name'])
          expect(typeof Properties[name]).not.toBe('string')
      }
      expect(onlyOf(any, 'AWS::Scheduler::ScheduleGroup').DeletionPolicy).toBe('Delete')
    },
  )

  test('the log group of the workflow is under /aws/vendedlogs/, with a suffix of the stack’s own', () => {
    const { LogGroupName } = properties(template, 'AWS::Logs::LogGroup', 'WorkflowLogs')
    expect(JSON.stringify(LogGroupName)).toContain('/aws/vendedlogs/states/CreditExpiry-prod-')
    expect(JSON.stringify(LogGroupName)).toContain('AWS::StackId')
  })
})

describe('two stages side by side', () => {
  /** What must differ: names of resources, and the stage of every metric. */
  function named(of: Template): string[] {
    const names = resourcesOf(of).flatMap(([, { Properties }]) =>
      ['Name', 'AlarmName', 'DashboardName'].flatMap((key) =>
        typeof Properties[key] === 'string' && Properties[key] !== 'live' ? [Properties[key]] : [],
      ),
    )
    const databases = resourcesOf(of, 'AWS::Glue::Database').map(
      ([, { Properties }]) => (Properties['DatabaseInput'] as { Name: string }).Name,
    )
    return [...names, ...databases]
  }
  const staging = templateWith({ ...LEAST, stage: 'staging' })

  test('share no name of a resource', () => {
    const names = named(template).filter((name) => named(staging).includes(name))
    expect(named(staging).length).toBeGreaterThan(30)
    // Saved queries of Athena belong to a work group, which has another name.
    expect(names.filter((name) => !isSavedQuery(name))).toEqual([])
  })

  const isSavedQuery = (name: string) =>
    resourcesOf(staging, 'AWS::Athena::NamedQuery').some(([, { Properties }]) => Properties['Name'] === name)

  test('share no metric: whatever is configured for one stage names that stage', () => {
    expect(JSON.stringify(staging.toJSON())).not.toMatch(/\bprod\b/)
    const [job] = resourcesOf(staging, 'AWS::Lambda::Function')
    expect(job?.[1].Properties['Environment']).toMatchObject({ Variables: { STAGE: 'staging' } })
  })
})

test('everything that can have tags has service, stage and owner', () => {
  const tagged = resourcesOf(full).filter(([, { Properties }]) => Array.isArray(Properties['Tags']))
  expect(tagged.length).toBeGreaterThan(30)
  for (const [, { Properties }] of tagged) {
    expect(Properties['Tags']).toEqual([
      { Key: 'owner', Value: 'credits-team' },
      { Key: 'service', Value: 'credit-expiry' },
      { Key: 'stage', Value: 'staging' },
    ])
  }
})

describe('the outputs', () => {
  const outputs = template.findOutputs('*') as Record<string, { Value: unknown }>

  test('hold no payload that writes at once', () => {
    const payloads = Object.entries(outputs)
      .filter(([id]) => id.startsWith('Payload'))
      .map(([, { Value }]) => Value)
    expect(payloads).toEqual(['{}', '{"status": "latest"}', '{"execute": true, "plan": "<dry run id>"}'])
  })

  test('name both functions, the workflow, bucket, topic and policies, and link to the live aliases', () => {
    const names = [
      'PreviewFunctionName',
      'JobFunctionName',
      'WorkflowArn',
      'LogBucketName',
      'NoticesTopicArn',
    ]
    expect(Object.keys(outputs)).toEqual(
      expect.arrayContaining([...names, 'PreviewPolicyArn', 'OperatePolicyArn']),
    )
    for (const name of ['PreviewConsole', 'JobConsole'])
      expect(JSON.stringify(outputs[name])).toContain('/aliases/live?tab=testing')
  })
})

test('test events for the console: only with the flag, and none that writes', () => {
  template.resourceCountIs('AWS::EventSchemas::Schema', 0)
  const events = resourcesOf(full, 'AWS::EventSchemas::Schema').map(([id, { Properties }]) => {
    const { components } = JSON.parse(String(Properties['Content'])) as {
      components: { examples: Record<string, { value: Record<string, unknown> }> }
    }
    expect(Properties).toMatchObject({
      RegistryName: 'lambda-testevent-schemas',
      Type: 'OpenApi3',
      SchemaName: {
        'Fn::Join': ['', ['_', { Ref: expect.stringContaining('Function') as string }, '-schema']],
      },
    })
    return [id.replace(/[0-9A-F]{8}$/, ''), Object.keys(components.examples), components.examples] as const
  })
  expect(events.map(([id, names]) => [id, names])).toEqual([
    ['TestEventsPreview', ['dry-run', 'check', 'status']],
    ['TestEventsJob', ['dry-run', 'check', 'status', 'execute-plan']],
  ])
  for (const [, , examples] of events)
    for (const { value } of Object.values(examples))
      expect(value['execute'] === undefined || value['plan'] === '<dry run id>').toBe(true)
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

describe('the dashboard', () => {
  const { DashboardBody } = onlyOf(full, 'AWS::CloudWatch::Dashboard').Properties as {
    DashboardBody: { 'Fn::Join': [string, (string | object)[]] }
  }
  const parts = DashboardBody['Fn::Join'][1]
  const text = parts.map((part) => (typeof part === 'string' ? part : 'x')).join('')
  const { widgets } = JSON.parse(text) as { widgets: { type: string; properties: Record<string, unknown> }[] }
  const ofType = (type: string) => widgets.filter((widget) => widget.type === type)

  test('shows every alarm that publishes, links, and recent errors', () => {
    const publishing = ['AWS::CloudWatch::Alarm', 'AWS::CloudWatch::CompositeAlarm']
      .flatMap((type) => resourcesOf(full, type))
      .filter(([, { Properties }]) => Properties['AlarmActions'] !== undefined)
    expect(ofType('alarm')[0]?.properties['alarms']).toHaveLength(publishing.length)
    for (const [id] of publishing) expect(JSON.stringify(parts)).toContain(id)
    const [links] = ofType('text')
    expect(links?.properties['markdown']).toContain('[Runbook: what to do](https://example.com/runbook.md)')
    expect(ofType('log')[0]?.properties['query']).toContain('filter ispresent(error_name)')
  })
})

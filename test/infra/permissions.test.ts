import { describe, expect, test } from 'vitest'
import {
  actionsOf,
  EVERYTHING,
  onlyOf,
  propertiesOf,
  resourcesOf,
  statementsOf,
  templateWith,
} from './synthesized.ts'

const template = templateWith()
const full = templateWith(EVERYTHING)

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

  test('the job function: get, put and list in its own folders, both secrets, connect, sign', () => {
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
    ])
  })

  test('no statement but the job function’s names the writing secret', () => {
    const naming = resourcesOf(full)
      .filter(([, resource]) => JSON.stringify(resource).includes(secrets.writing))
      .map(([id]) => id.replace(/[0-9A-F]{8}$/, ''))
    expect(naming).toEqual(['FunctionsJobRoleDefaultPolicy', 'FunctionsJobFunction'])
  })

  test('only the job function knows the signing key; the preview function checks with the public key', () => {
    const naming = resourcesOf(full)
      .filter(([, resource]) => JSON.stringify(resource).includes(EVERYTHING.signingKeyArn))
      .map(([id]) => id.replace(/[0-9A-F]{8}$/, ''))
    expect(naming).toEqual(['FunctionsJobRoleDefaultPolicy', 'FunctionsJobFunction'])
    expect(propertiesOf(full, 'AWS::Lambda::Function', 'FunctionsPreview')['Environment']).toMatchObject({
      Variables: { SIGNING_PUBLIC_KEYS: EVERYTHING.signingPublicKeys },
    })
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

import { describe, expect, test } from 'vitest'
import { EVERYTHING, KEPT, LEAST, onlyOf, propertiesOf, resourcesOf, templateWith } from '../synthesized.ts'

const template = templateWith()
const full = templateWith(EVERYTHING)

describe.for(['Job', 'Preview'])('the %s function', (name) => {
  test('is Node 24 on arm64 with one vCPU, 15 minutes, JSON logs of its own that are kept, and traces', () => {
    const given = propertiesOf(template, 'AWS::Lambda::Function', `Functions${name}`)
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
        Variables: {
          NODE_OPTIONS: '--max-old-space-size=1400 --max-semi-space-size=8',
          MALLOC_ARENA_MAX: '2',
        },
      },
    })
    for (const [, group] of resourcesOf(template, 'AWS::Logs::LogGroup'))
      expect(group).toMatchObject({ ...KEPT, Properties: { RetentionInDays: 365 } })
  })

  test('has the alias live on a published version that is kept for a switch back, unless its own deployment failed', () => {
    const { FunctionVersion, Name } = propertiesOf(template, 'AWS::Lambda::Alias', `Functions${name}Live`)
    expect(Name).toBe('live')
    const [version = ''] = (FunctionVersion as { 'Fn::GetAtt': string[] })['Fn::GetAtt']
    expect(Object.fromEntries(resourcesOf(template, 'AWS::Lambda::Version'))[version]).toMatchObject({
      ...KEPT,
      Properties: { FunctionName: { Ref: expect.stringContaining(`Functions${name}Function`) as string } },
    })
  })

  test.for(['Function', 'Live'])(
    'is not retried by Lambda when %s is invoked, and failures go to a queue',
    (what) => {
      const config = propertiesOf(
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
  const {
    READONLY_DATABASE_SECRET_ARN: reading,
    DATABASE_SECRET_ARN: writing,
    SIGNING_KEY_ARN: signing,
    ...shared
  } = job ?? {}
  expect(signing).toBe(EVERYTHING.signingKeyArn)
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

import type { Template } from 'aws-cdk-lib/assertions'
import { describe, expect, test } from 'vitest'
import { EVERYTHING, KEPT, LEAST, onlyOf, propertiesOf, resourcesOf, templateWith } from './synthesized.ts'

const template = templateWith()
const full = templateWith(EVERYTHING)

describe('a second deployment', () => {
  test.for([template, full])(
    'meets no name that the first one left, nor anything that a failed one created',
    (any) => {
      const retained = resourcesOf(any).filter(([, resource]) =>
        [resource.DeletionPolicy, resource.UpdateReplacePolicy].some((policy) =>
          policy?.startsWith('Retain'),
        ),
      )
      expect(new Set(retained.map(([, { Type }]) => Type))).toEqual(
        new Set(['AWS::S3::Bucket', 'AWS::Logs::LogGroup', 'AWS::Lambda::Version']),
      )
      for (const [, { Properties, DeletionPolicy, UpdateReplacePolicy }] of retained) {
        expect({ DeletionPolicy, UpdateReplacePolicy }).toEqual(KEPT)
        for (const name of ['BucketName', 'LogGroupName', 'Name'])
          expect(typeof Properties[name]).not.toBe('string')
      }
      expect(onlyOf(any, 'AWS::Scheduler::ScheduleGroup').DeletionPolicy).toBe('Delete')
    },
  )

  test('the log group of the workflow is under /aws/vendedlogs/, with a suffix of the stack’s own', () => {
    const { LogGroupName } = propertiesOf(template, 'AWS::Logs::LogGroup', 'WorkflowLogs')
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

test('everything that can have tags but the dashboard has service, stage and owner', () => {
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

test('shareable events for the console: only with the flag, and none that writes', () => {
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

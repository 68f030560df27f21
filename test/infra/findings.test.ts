import { Validations } from 'aws-cdk-lib'
import { Queue } from 'aws-cdk-lib/aws-sqs'
import { AwsSolutionsChecks } from 'cdk-nag'
import type { IConstruct } from 'constructs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { EVERYTHING, LEAST, stackWith } from './synthesized.ts'

const OWN_SECURITY_GROUP = { ...LEAST, vpcId: 'vpc-0123456789abcdef0', subnetIds: 'subnet-0123456789abcdef0' }
/** A synthesis with all rules takes seconds, on a busy machine minutes. */
vi.setConfig({ testTimeout: 300_000 })

const WAYS = [LEAST, EVERYTHING, OWN_SECURITY_GROUP]

const outdir = await mkdtemp(join(tmpdir(), 'credit-expiry-synth-'))
afterAll(() => rm(outdir, { recursive: true, force: true }))

test.for(WAYS)('cdk-nag lets the synthesis through', (values) => {
  const { app } = stackWith(values, { outdir })
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app))
  expect(() => app.synth()).not.toThrow()
})

test('and fails it at a finding that is not accepted', () => {
  const { app, stack } = stackWith(LEAST, { outdir })
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app))
  const { node } = new Queue(stack, 'Unwatched')
  expect(node.path).toBe('CreditExpiry/Unwatched')
  expect(() => app.synth()).toThrow(/validation/i)
})

test.for(WAYS)('what is accepted is what is found, one by one, each with a reason', (values) => {
  const { app } = stackWith(values)
  const accepted = app.node.findAll().flatMap(acceptedOn)
  const found = new Set(findingsOf(app))
  expect(accepted.filter(({ id }) => !found.has(id)).map(({ id }) => id)).toEqual([])
  expect([...found].filter((finding) => !accepted.some(({ id }) => id === finding))).toEqual([])
  for (const { reason } of accepted) expect(reason.length).toBeGreaterThan(40)
})

/** All findings, the accepted ones too. */
function findingsOf(app: IConstruct): string[] {
  const checks = new AwsSolutionsChecks(app)
  Object.defineProperty(checks, 'isAcknowledged', { value: () => false })
  return checks.validateScope(app).violations.map(({ ruleName }) => ruleName)
}

function acceptedOn(construct: IConstruct): { id: string; reason: string }[] {
  return construct.node.metadata
    .filter(({ type }) => type === Validations.ACKNOWLEDGED_RULES_METADATA_KEY)
    .flatMap(({ data }) => Object.entries(data as Record<string, string>))
    .map(([id, reason]) => ({ id: id.replace(/^.*::(?=AwsSolutions-)/, ''), reason }))
    .filter(({ id }) => id.startsWith('AwsSolutions-'))
}

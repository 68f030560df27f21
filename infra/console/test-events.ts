/* oxlint-disable no-new -- a construct registers itself with its scope */
import { CfnSchema } from 'aws-cdk-lib/aws-eventschemas'
import type { IFunction } from 'aws-cdk-lib/aws-lambda'
import { Construct } from 'constructs'
import type { Functions } from '../functions/functions.ts'

/**
 * The registry in which the Lambda console keeps shareable test events. It belongs to the account: the
 * console makes it with the first event that is saved as shareable, and the runbook says how to make it
 * beforehand.
 */
const REGISTRY = 'lambda-testevent-schemas'

const READING = {
  'dry-run': {},
  check: { check: true },
  status: { status: 'latest' },
}

/** None writes when it is sent by mistake: the plan is a placeholder, which is refused. */
const WRITING = { ...READING, 'execute-plan': { execute: true, plan: '<dry run id>' } }

/** Payloads to choose from on the Test tab of both functions. */
export class TestEvents extends Construct {
  constructor(scope: Construct, id: string, { job, preview }: Functions) {
    super(scope, id)
    this.events('Preview', preview.function, READING)
    this.events('Job', job.function, WRITING)
  }

  private events(id: string, { functionName }: IFunction, events: Readonly<Record<string, object>>): void {
    const examples = Object.fromEntries(Object.entries(events).map(([name, value]) => [name, { value }]))
    new CfnSchema(this, id, {
      registryName: REGISTRY,
      schemaName: `_${functionName}-schema`,
      type: 'OpenApi3',
      content: JSON.stringify({
        openapi: '3.0.0',
        info: { version: '1.0.0', title: 'Event' },
        paths: {},
        components: { schemas: { Event: { type: 'object' } }, examples },
      }),
    })
  }
}

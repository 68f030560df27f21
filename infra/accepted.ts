import { CfnElement, Stack, Validations } from 'aws-cdk-lib'
import type { IConstruct } from 'constructs'

/** Accepts one finding of cdk-nag on one construct, with the reason for which a reviewer would accept it. */
export function accept(construct: IConstruct, finding: string, reason: string): void {
  Validations.of(construct).acknowledge({ id: `AwsSolutions-${finding}`, reason })
}

/** An attribute of a resource, by default its ARN, as cdk-nag writes it in a finding. */
export function inFinding(construct: IConstruct, attribute = 'Arn'): string {
  const { defaultChild } = construct.node
  if (!CfnElement.isCfnElement(defaultChild)) throw new Error(`${construct.node.path} is no single resource.`)
  return `<${Stack.of(construct).getLogicalId(defaultChild)}.${attribute}>`
}

import { Aws } from 'aws-cdk-lib'
import { AnyPrincipal, Effect, type IGrantable, PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam'
import { Topic, TopicPolicy } from 'aws-cdk-lib/aws-sns'
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions'
import { Construct } from 'constructs'

/** Where every end of a workflow and every alarm is published. */
export class Notices extends Construct {
  readonly topic: Topic
  private readonly policy: TopicPolicy

  /** The owner of `email` confirms the subscription once; without it, people subscribe later. */
  constructor(scope: Construct, id: string, stage: string, email: string | undefined) {
    super(scope, id)
    // Not encrypted with a KMS key: CloudWatch cannot publish to a topic under alias/aws/sns, and its alarms
    // would reach no one. Notices hold totals and ids of runs; of users, at most ids that a payload or a warning
    // names.
    this.topic = new Topic(this, 'Topic', { displayName: `Credit expiry (${stage})` })
    // The policy is written in full: `enforceSSL` alone replaces the default policy with a lone Deny.
    this.policy = new TopicPolicy(this, 'Policy', { topics: [this.topic] })
    this.policy.document.addStatements(
      new PolicyStatement({
        sid: 'AlarmsOfThisAccount',
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [this.topic.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
      }),
      new PolicyStatement({
        sid: 'TlsOnly',
        effect: Effect.DENY,
        principals: [new AnyPrincipal()],
        actions: ['sns:Publish'],
        resources: [this.topic.topicArn],
        conditions: { Bool: { 'aws:SecureTransport': 'false' } },
      }),
    )
    if (email !== undefined) this.topic.addSubscription(new EmailSubscription(email))
  }

  /** Lets the workflow's role publish. */
  allow(sid: string, { grantPrincipal }: IGrantable): void {
    this.policy.document.addStatements(
      new PolicyStatement({
        sid,
        principals: [grantPrincipal],
        actions: ['sns:Publish'],
        resources: [this.topic.topicArn],
      }),
    )
  }
}

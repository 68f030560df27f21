import { ArnFormat, Stack } from 'aws-cdk-lib'
import { ManagedPolicy, PolicyStatement } from 'aws-cdk-lib/aws-iam'
import type { StateMachine } from 'aws-cdk-lib/aws-stepfunctions'
import { Construct } from 'constructs'
import { accept, inFinding } from './accepted.ts'
import type { Functions } from './functions/functions.ts'
import type { LogBucket } from './logs/log-bucket.ts'

type AccessParts = {
  readonly functions: Functions
  readonly logs: LogBucket
  readonly stateMachine: StateMachine
}

/** Two policies for people: one that can only look, and one that can start what writes. */
export class AccessPolicies extends Construct {
  readonly preview: ManagedPolicy
  readonly operate: ManagedPolicy

  constructor(scope: Construct, id: string, { functions, logs, stateMachine }: AccessParts) {
    super(scope, id)
    this.preview = new ManagedPolicy(this, 'Preview', {
      description:
        'Credit expiry: invoke the preview function, read runs and logs. Cannot write to the ledger.',
      statements: [invoke(functions.preview.live.functionArn), ...logs.readStatements()],
    })
    logs.acceptPatterns(this.preview)

    const { stateMachineArn, stateMachineName } = stateMachine
    const executions = Stack.of(this).formatArn({
      service: 'states',
      resource: 'execution',
      resourceName: `${stateMachineName}:*`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    })
    this.operate = new ManagedPolicy(this, 'Operate', {
      description:
        'Credit expiry: start and stop the workflow, invoke the job function. Can write to the ledger.',
      statements: [
        invoke(functions.job.live.functionArn),
        new PolicyStatement({
          actions: ['states:StartExecution', 'states:ListExecutions', 'states:DescribeStateMachine'],
          resources: [stateMachineArn],
        }),
        new PolicyStatement({
          actions: ['states:DescribeExecution', 'states:GetExecutionHistory', 'states:StopExecution'],
          resources: [executions],
        }),
      ],
    })
    const ofThisAccount = 'arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>'
    const pattern = `${ofThisAccount}:execution:${inFinding(stateMachine, 'Name')}:*`
    accept(
      this.operate,
      `IAM5[Resource::${pattern}]`,
      'Executions of this one workflow, whose names are made when they start.',
    )
  }
}

function invoke(functionArn: string): PolicyStatement {
  return new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [functionArn] })
}

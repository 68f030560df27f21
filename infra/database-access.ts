import { Fn, Validations } from 'aws-cdk-lib'
import { type ISecurityGroup, SecurityGroup, SubnetType, Vpc } from 'aws-cdk-lib/aws-ec2'
import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam'
import type { FunctionProps } from 'aws-cdk-lib/aws-lambda'
import { Construct } from 'constructs'
import { accept } from './accepted.ts'
import type { Network, Settings } from './settings.ts'

/** How the function reaches the ledger: its secrets, and, where the database is in a VPC, a place in it. */
export class DatabaseAccess extends Construct {
  readonly environment: Readonly<Record<string, string>>
  readonly placement: Pick<FunctionProps, 'vpc' | 'vpcSubnets' | 'securityGroups'>
  /** The security group made here, for the database's own to let in; null where one was given or none is needed. */
  readonly ownSecurityGroup: ISecurityGroup | null
  private readonly settings: Settings

  constructor(scope: Construct, id: string, settings: Settings) {
    super(scope, id)
    this.settings = settings
    const { databaseSecretArn, readonlyDatabaseSecretArn, network } = settings
    this.environment = {
      DATABASE_SECRET_ARN: databaseSecretArn,
      ...(readonlyDatabaseSecretArn !== undefined && {
        READONLY_DATABASE_SECRET_ARN: readonlyDatabaseSecretArn,
      }),
      // Amazon's own certificate authorities, which sign the certificates of RDS; Node 24 on Lambda leaves them out.
      NODE_EXTRA_CA_CERTS: '/var/runtime/ca-cert.pem',
    }
    this.ownSecurityGroup = null
    this.placement = {}
    if (network) {
      const vpc = vpcOf(this, network)
      const given = network.securityGroupIds.map((groupId) =>
        SecurityGroup.fromSecurityGroupId(this, groupId, groupId, { mutable: false }),
      )
      if (given.length === 0) {
        this.ownSecurityGroup = new SecurityGroup(this, 'SecurityGroup', {
          vpc,
          description: 'The credit expiry job, to its database, S3 and Secrets Manager',
        })
      }
      const securityGroups = this.ownSecurityGroup ? [this.ownSecurityGroup] : given
      this.placement = { vpc, vpcSubnets: { subnetType: SubnetType.PRIVATE_WITH_EGRESS }, securityGroups }
    }
  }

  /** Its secrets only; and, in a VPC, what Lambda asks for to have network interfaces there. */
  grantJob(role: IRole): void {
    const { databaseSecretArn, readonlyDatabaseSecretArn, secretKeyArn, network } = this.settings
    const secrets = [
      databaseSecretArn,
      ...(readonlyDatabaseSecretArn === undefined ? [] : [readonlyDatabaseSecretArn]),
    ]
    role.addToPrincipalPolicy(
      new PolicyStatement({ actions: ['secretsmanager:GetSecretValue'], resources: [...new Set(secrets)] }),
    )
    if (secretKeyArn !== undefined)
      role.addToPrincipalPolicy(new PolicyStatement({ actions: ['kms:Decrypt'], resources: [secretKeyArn] }))
    if (network) role.addToPrincipalPolicy(new PolicyStatement({ actions: INTERFACES, resources: ['*'] }))
    accept(
      role,
      'IAM5[Resource::*]',
      'X-Ray takes segments for no resource in particular; in a VPC, Lambda needs its network interface rights on every resource, as AWS documents. Neither reaches data.',
    )
  }
}

const INTERFACES = [
  'ec2:CreateNetworkInterface',
  'ec2:DescribeNetworkInterfaces',
  'ec2:DescribeSubnets',
  'ec2:DeleteNetworkInterface',
  'ec2:AssignPrivateIpAddresses',
  'ec2:UnassignPrivateIpAddresses',
]

/** By ids alone, so that a synthesis needs no look-up in an account. The zones are not used. */
function vpcOf(scope: Construct, { vpcId, subnetIds }: Network) {
  const availabilityZones = subnetIds.map((_, index) => Fn.select(index, Fn.getAzs()))
  const vpc = Vpc.fromVpcAttributes(scope, 'Vpc', {
    vpcId,
    availabilityZones,
    privateSubnetIds: [...subnetIds],
  })
  Validations.of(vpc).acknowledge({
    id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
    reason: "Nothing here needs a route table: routes are the network owner's.",
  })
  return vpc
}

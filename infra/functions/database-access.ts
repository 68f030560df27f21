import { Aws, Fn, Stack, Validations } from 'aws-cdk-lib'
import { type ISecurityGroup, Peer, Port, SecurityGroup, SubnetType, Vpc } from 'aws-cdk-lib/aws-ec2'
import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam'
import type { FunctionProps } from 'aws-cdk-lib/aws-lambda'
import { Construct } from 'constructs'
import { accept } from '../accepted.ts'
import { viaService } from '../encryption.ts'
import type { Network, Settings } from '../settings.ts'

/** How one function reaches the ledger: what its environment says, and what its role may read. */
export type DatabaseLogin = {
  readonly environment: Readonly<Record<string, string>>
  readonly secrets: readonly string[]
  /** Users of the database that the role may connect as, where IAM authenticates. */
  readonly users: readonly string[]
}

/** How the functions reach the ledger: their secrets, and, where the database is in a VPC, a place in it. */
export class DatabaseAccess extends Construct {
  /** The job function's: the user who may write, and the one for dry runs. */
  readonly job: DatabaseLogin
  /** The preview function's: the user who can only read. */
  readonly preview: DatabaseLogin
  readonly placement: Pick<FunctionProps, 'vpc' | 'vpcSubnets' | 'securityGroups'>
  /**
   * The security group made here, for the database's own to let in; null where one was given or none is
   * needed.
   */
  readonly ownSecurityGroup: ISecurityGroup | null
  private readonly settings: Settings

  constructor(scope: Construct, id: string, settings: Settings) {
    super(scope, id)
    this.settings = settings
    const { databaseSecretArn, readonlyDatabaseSecretArn, network } = settings
    this.job = {
      environment: {
        ...common(settings),
        DATABASE_SECRET_ARN: databaseSecretArn,
        READONLY_DATABASE_SECRET_ARN: readonlyDatabaseSecretArn,
      },
      secrets: [databaseSecretArn, readonlyDatabaseSecretArn],
      users: [settings.databaseUser, settings.readonlyDatabaseUser],
    }
    this.preview = {
      environment: { ...common(settings), DATABASE_SECRET_ARN: readonlyDatabaseSecretArn },
      secrets: [readonlyDatabaseSecretArn],
      users: [settings.readonlyDatabaseUser],
    }
    const vpc = network && vpcOf(this, network)
    this.ownSecurityGroup = vpc && network?.securityGroupIds.length === 0 ? this.securityGroup(vpc) : null
    const given = (network?.securityGroupIds ?? []).map((groupId) =>
      SecurityGroup.fromSecurityGroupId(this, groupId, groupId, { mutable: false }),
    )
    this.placement = vpc
      ? {
          vpc,
          vpcSubnets: { subnetType: SubnetType.PRIVATE_WITH_EGRESS },
          securityGroups: this.ownSecurityGroup ? [this.ownSecurityGroup] : given,
        }
      : {}
  }

  /**
   * Lets a function's role read its own secrets, log in with IAM where configured, and be placed in the VPC.
   */
  grant(role: IRole, { secrets, users }: DatabaseLogin): void {
    const { secretKeyArn, network, databaseAuth, databaseResourceId } = this.settings
    const allow = (actions: string[], resources: string[], conditions?: object) =>
      role.addToPrincipalPolicy(
        new PolicyStatement({ actions, resources, ...(conditions && { conditions }) }),
      )
    allow(['secretsmanager:GetSecretValue'], [...secrets])
    if (secretKeyArn !== undefined) allow(['kms:Decrypt'], [secretKeyArn], viaService('secretsmanager'))
    if (databaseAuth === 'iam') {
      const { partition, region, account } = Stack.of(this)
      const user = (name: string) =>
        `arn:${partition}:rds-db:${region}:${account}:dbuser:${databaseResourceId}/${name}`
      allow(['rds-db:connect'], users.map(user))
    }
    if (network) allow(INTERFACES, ['*'])
    accept(
      role,
      'IAM5[Resource::*]',
      'X-Ray takes segments for no particular resource; in a VPC, Lambda needs its network interface ' +
        'rights on every resource, as AWS documents. Neither reaches data.',
    )
  }

  /** Out to S3, Secrets Manager and other AWS APIs, and to the database; nothing else, and nothing in. */
  private securityGroup(vpc: ReturnType<typeof vpcOf>): SecurityGroup {
    const group = new SecurityGroup(this, 'SecurityGroup', {
      vpc,
      description: 'The credit expiry functions, to the database, S3 and Secrets Manager',
      allowAllOutbound: false,
    })
    group.addEgressRule(Peer.anyIpv4(), Port.tcp(443), 'AWS APIs')
    group.addEgressRule(Peer.anyIpv4(), Port.tcp(this.settings.databasePort), 'The database')
    return group
  }
}

/** The same for both functions. A file with Amazon's certificate authorities is part of Lambda's runtime. */
function common({
  databaseAuth,
  databaseHost,
  databasePort,
  databaseName,
}: Settings): Record<string, string> {
  return {
    ...(databaseAuth === 'iam' && { DATABASE_AUTH: 'iam' }),
    ...(databaseHost !== undefined && { DATABASE_HOST: `${databaseHost}:${databasePort}` }),
    ...(databaseName !== undefined && { DATABASE_NAME: databaseName }),
    // These authorities sign the certificates of RDS; Node 24 on Lambda does not trust them by itself.
    NODE_EXTRA_CA_CERTS: '/var/runtime/ca-cert.pem',
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
  const availabilityZones = subnetIds.map((_, index) => Fn.select(index, Fn.getAzs(Aws.REGION)))
  const vpc = Vpc.fromVpcAttributes(scope, 'Vpc', {
    vpcId,
    availabilityZones,
    privateSubnetIds: [...subnetIds],
  })
  Validations.of(vpc).acknowledge({
    id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
    reason: "Nothing here needs a route table: routes belong to the network's owner.",
  })
  return vpc
}

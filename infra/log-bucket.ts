import { Duration, RemovalPolicy } from 'aws-cdk-lib'
import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam'
import { Key } from 'aws-cdk-lib/aws-kms'
import { BlockPublicAccess, Bucket, BucketEncryption, ObjectOwnership } from 'aws-cdk-lib/aws-s3'
import { Construct } from 'constructs'
import { PREFIXES } from '../lambda/constants.ts'
import { accept, arnInFinding } from './accepted.ts'

const TEMPORARY = Duration.days(90)
const OLD_VERSIONS = Duration.days(30)

/** State and logs of all runs. Outlives the stack; nothing in the stack may delete from it. */
export class LogBucket extends Construct {
  readonly bucket: Bucket
  /** What the function's environment needs of it. */
  readonly environment: Readonly<Record<string, string>>
  private readonly keyArn: string | undefined

  constructor(scope: Construct, id: string, keyArn: string | undefined) {
    super(scope, id)
    this.keyArn = keyArn
    this.bucket = new Bucket(this, 'Bucket', {
      versioned: true,
      ...(keyArn === undefined
        ? { encryption: BucketEncryption.S3_MANAGED }
        : {
            encryption: BucketEncryption.KMS,
            encryptionKey: Key.fromKeyArn(this, 'Key', keyArn),
            bucketKeyEnabled: true,
          }),
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      removalPolicy: RemovalPolicy.RETAIN,
    })
    this.bucket.addLifecycleRule({
      id: 'unfinished-uploads',
      abortIncompleteMultipartUploadAfter: Duration.days(1),
    })
    this.forget('segments', PREFIXES.segments)
    this.forget('state', PREFIXES.state)
    this.environment = { LOG_BUCKET: this.bucket.bucketName }
    accept(
      this.bucket,
      'S1',
      'The bucket is itself the log of record, versioned, kept, and without a principal that may delete. Who read it is a question for CloudTrail data events, which an account turns on once for all its buckets.',
    )
  }

  /** What the job does with the bucket: get, put, list. No delete, of objects or versions. */
  grantJob(role: IRole): void {
    const inFolders = Object.values(PREFIXES).map((prefix) => this.bucket.arnForObjects(`${prefix}*`))
    role.addToPrincipalPolicy(
      new PolicyStatement({
        actions: ['s3:GetObject', 's3:PutObject', 's3:AbortMultipartUpload'],
        resources: inFolders,
      }),
    )
    // Without list, S3 answers 403 for an object that is not there, and the job takes 403 for a missing right.
    role.addToPrincipalPolicy(
      new PolicyStatement({ actions: ['s3:ListBucket'], resources: [this.bucket.bucketArn] }),
    )
    if (this.keyArn !== undefined) {
      role.addToPrincipalPolicy(
        new PolicyStatement({ actions: ['kms:Decrypt', 'kms:GenerateDataKey'], resources: [this.keyArn] }),
      )
    }
    for (const prefix of Object.values(PREFIXES)) {
      accept(
        role,
        `IAM5[Resource::${arnInFinding(this.bucket)}/${prefix}*]`,
        `Every run has keys of its own under ${prefix}; the folder is as narrow as it gets.`,
      )
    }
  }

  /** In a versioned bucket an expired object leaves its versions and then a marker behind; these go too. */
  private forget(id: string, prefix: string): void {
    this.bucket.addLifecycleRule({
      id,
      prefix,
      expiration: TEMPORARY,
      noncurrentVersionExpiration: OLD_VERSIONS,
    })
    this.bucket.addLifecycleRule({ id: `${id}-markers`, prefix, expiredObjectDeleteMarker: true })
  }
}

import { Duration } from 'aws-cdk-lib'
import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam'
import { Key } from 'aws-cdk-lib/aws-kms'
import {
  BlockPublicAccess,
  Bucket,
  BucketEncryption,
  ObjectLockRetention,
  ObjectOwnership,
} from 'aws-cdk-lib/aws-s3'
import { Construct } from 'constructs'
import { PREFIXES } from '../../lambda/constants.ts'
import { accept, inFinding } from '../accepted.ts'
import { viaService } from '../encryption.ts'
import { KEPT } from '../kept.ts'
import type { Settings } from '../settings.ts'

/** How long a run's intents are kept: 2-run-protocol, "Crashes and stalls". */
const INTENTS = Duration.days(90)
/** How long earlier versions of cursors are kept. */
const OLD_CURSORS = Duration.days(30)

/** What the preview function may write: objects of dry runs, their request keys, and any run's report. */
const PREVIEW_WRITES = [
  `${PREFIXES.runs}*-dry-run-*`,
  `${PREFIXES.runs}*-rollback-dry-run-*`,
  `${PREFIXES.runs}*/report.html`,
  `${PREFIXES.logs}*-dry-run-*`,
  `${PREFIXES.logs}*-rollback-dry-run-*`,
  `${PREFIXES.control}requests/dry-run/*`,
]

const EVERYTHING = Object.values(PREFIXES).map((prefix) => `${prefix}*`)

type Given = Pick<Settings, 'logKeyArn' | 'logExpiryDays' | 'objectLockDays'>

/** State and logs of all runs. Outlives the stack; nothing in the stack may delete from it. */
export class LogBucket extends Construct {
  readonly bucket: Bucket
  /** What a function's environment needs of it. */
  readonly environment: Readonly<Record<string, string>>
  private readonly keyArn: string | undefined

  constructor(scope: Construct, id: string, { logKeyArn, logExpiryDays, objectLockDays }: Given) {
    super(scope, id)
    this.keyArn = logKeyArn
    this.bucket = new Bucket(this, 'Bucket', {
      versioned: true,
      ...(logKeyArn === undefined
        ? { encryption: BucketEncryption.S3_MANAGED }
        : {
            encryption: BucketEncryption.KMS,
            encryptionKey: Key.fromKeyArn(this, 'Key', logKeyArn),
            bucketKeyEnabled: true,
          }),
      ...(objectLockDays !== undefined && {
        objectLockEnabled: true,
        objectLockDefaultRetention: ObjectLockRetention.governance(Duration.days(objectLockDays)),
      }),
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      removalPolicy: KEPT,
    })
    this.bucket.addLifecycleRule({
      id: 'unfinished-uploads',
      abortIncompleteMultipartUploadAfter: Duration.days(1),
    })
    this.expire('intents', PREFIXES.intents, INTENTS)
    this.bucket.addLifecycleRule({
      id: 'old-cursors',
      prefix: PREFIXES.runs,
      noncurrentVersionExpiration: OLD_CURSORS,
    })
    if (logExpiryDays !== undefined) this.expire('logs', PREFIXES.logs, Duration.days(logExpiryDays))
    this.environment = { LOG_BUCKET: this.bucket.bucketName }
    accept(
      this.bucket,
      'S1',
      'The bucket is itself the log of record: versioned, kept, and without a principal that may ' +
        'delete. CloudTrail data events, which an account turns on once for all its buckets, show who ' +
        'read it.',
    )
  }

  /** The job function: get, put and list. No delete, of objects or versions. */
  grantJob(role: IRole): void {
    this.allow(role, ['s3:GetObject', 's3:PutObject', 's3:AbortMultipartUpload'], EVERYTHING)
    this.grantCommon(role, ['kms:Decrypt', 'kms:GenerateDataKey'])
    this.acceptPatterns(role, EVERYTHING)
  }

  /** The preview function: get and list; put what belongs to a dry run, and reports. */
  grantPreview(role: IRole): void {
    this.allow(role, ['s3:GetObject'], EVERYTHING)
    this.allow(role, ['s3:PutObject', 's3:AbortMultipartUpload'], PREVIEW_WRITES)
    this.grantCommon(role, ['kms:Decrypt', 'kms:GenerateDataKey'])
    this.acceptPatterns(role, [...EVERYTHING, ...PREVIEW_WRITES])
  }

  /** What a person who looks at runs needs. */
  readStatements(): PolicyStatement[] {
    return [
      this.statement(['s3:GetObject'], EVERYTHING),
      new PolicyStatement({ actions: ['s3:ListBucket'], resources: [this.bucket.bucketArn] }),
      ...this.keyStatements(['kms:Decrypt']),
    ]
  }

  /** A policy's wildcards in this bucket, as cdk-nag names them. */
  acceptPatterns(construct: Construct, patterns: readonly string[] = EVERYTHING): void {
    for (const pattern of new Set(patterns)) {
      accept(
        construct,
        `IAM5[Resource::${inFinding(this.bucket)}/${pattern}]`,
        `Every run has keys of its own: ${pattern} is as narrow as a policy that outlives a run can be.`,
      )
    }
  }

  /**
   * Without list, S3 answers 403 for an object that is not there, and the job takes 403 for a missing right.
   */
  private grantCommon(role: IRole, keyActions: string[]): void {
    const list = new PolicyStatement({ actions: ['s3:ListBucket'], resources: [this.bucket.bucketArn] })
    for (const statement of [list, ...this.keyStatements(keyActions)]) role.addToPrincipalPolicy(statement)
  }

  private keyStatements(actions: string[]): PolicyStatement[] {
    if (this.keyArn === undefined) return []
    return [new PolicyStatement({ actions, resources: [this.keyArn], conditions: viaService('s3') })]
  }

  private allow(role: IRole, actions: string[], patterns: readonly string[]): void {
    role.addToPrincipalPolicy(this.statement(actions, patterns))
  }

  private statement(actions: string[], patterns: readonly string[]): PolicyStatement {
    const resources = patterns.map((pattern) => this.bucket.arnForObjects(pattern))
    return new PolicyStatement({ actions, resources })
  }

  /** In a versioned bucket an expired object leaves its versions, and then a marker; these go too. */
  private expire(id: string, prefix: string, after: Duration): void {
    this.bucket.addLifecycleRule({
      id,
      prefix,
      expiration: after,
      noncurrentVersionExpiration: Duration.days(1),
    })
    this.bucket.addLifecycleRule({ id: `${id}-markers`, prefix, expiredObjectDeleteMarker: true })
  }
}

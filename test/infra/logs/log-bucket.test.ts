import type { Template } from 'aws-cdk-lib/assertions'
import { describe, expect, test } from 'vitest'
import { PREFIXES } from '../../../lambda/constants.ts'
import { EVERYTHING, KEPT, onlyOf, statementsOf, templateWith } from '../synthesized.ts'

const template = templateWith()
const full = templateWith(EVERYTHING)

describe('the log bucket', () => {
  test('outlives the stack, keeps every version, is encrypted and private', () => {
    expect(onlyOf(template, 'AWS::S3::Bucket')).toMatchObject({
      ...KEPT,
      Properties: {
        VersioningConfiguration: { Status: 'Enabled' },
        BucketEncryption: {
          ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
        },
        PublicAccessBlockConfiguration: {
          BlockPublicAcls: true,
          BlockPublicPolicy: true,
          IgnorePublicAcls: true,
          RestrictPublicBuckets: true,
        },
        OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
      },
    })
    expect(statementsOf(template, 'AWS::S3::BucketPolicy', '')).toContainEqual(
      expect.objectContaining({
        Effect: 'Deny',
        Action: 's3:*',
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
      }),
    )
  })

  test('is encrypted with the key that is given, and locked where that is configured', () => {
    expect(onlyOf(full, 'AWS::S3::Bucket').Properties).toMatchObject({
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [
          {
            BucketKeyEnabled: true,
            ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: EVERYTHING.logKeyArn },
          },
        ],
      },
      ObjectLockConfiguration: { Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 365 } } },
    })
    expect(onlyOf(template, 'AWS::S3::Bucket').Properties['ObjectLockConfiguration']).toBeUndefined()
  })

  /** For each prefix: after how many days objects expire, and old versions. */
  function expiring(of: Template) {
    const { LifecycleConfiguration } = onlyOf(of, 'AWS::S3::Bucket').Properties as {
      LifecycleConfiguration: {
        Rules: {
          Prefix?: string
          ExpirationInDays?: number
          NoncurrentVersionExpiration?: { NoncurrentDays: number }
          AbortIncompleteMultipartUpload?: { DaysAfterInitiation: number }
        }[]
      }
    }
    const { Rules } = LifecycleConfiguration
    expect(
      Rules.filter((rule) => rule.AbortIncompleteMultipartUpload?.DaysAfterInitiation === 1),
    ).toHaveLength(1)
    return Object.fromEntries(
      Rules.filter((rule) => rule.ExpirationInDays !== undefined || rule.NoncurrentVersionExpiration).map(
        (rule) => [rule.Prefix, [rule.ExpirationInDays, rule.NoncurrentVersionExpiration?.NoncurrentDays]],
      ),
    )
  }

  test('expires intents, old versions of cursors and query results; never control/, logs/ or runs/', () => {
    expect(expiring(template)).toEqual({
      [PREFIXES.intents]: [90, 1],
      [PREFIXES.runs]: [undefined, 30],
      'query-results/': [30, 1],
    })
  })

  test('expires logs only where that is configured', () => {
    expect(expiring(full)[PREFIXES.logs]).toEqual([730, 1])
  })
})

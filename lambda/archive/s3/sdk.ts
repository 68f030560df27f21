/**
 * What the archive uses of the AWS SDK, loaded at its first request: the ledger gets its first query before.
 * Named one by one, since the bundle would hold the whole SDK otherwise.
 */
export { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'

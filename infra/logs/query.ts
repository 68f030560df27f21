import { Aws, Duration, Stack } from 'aws-cdk-lib'
import { CfnNamedQuery, CfnWorkGroup } from 'aws-cdk-lib/aws-athena'
import { CfnDatabase, CfnTable } from 'aws-cdk-lib/aws-glue'
import type { Bucket } from 'aws-cdk-lib/aws-s3'
import { Construct } from 'constructs'
import { PREFIXES } from '../../lambda/constants.ts'
import { LOG_TABLES, type LogTable } from './log-tables.ts'
import { SAVED_QUERIES } from './saved-queries.ts'

const RESULTS = 'query-results/'
/** A query that reads more than this is a mistake: all the logs of years are less. */
const MOST_BYTES = 10 * 1024 ** 3

/** Athena over the logs: tables, a work group, and saved queries. */
export class LogQuery extends Construct {
  readonly database: string
  readonly workGroup: string

  constructor(scope: Construct, id: string, bucket: Bucket, keyArn: string | undefined) {
    super(scope, id)
    const { stackName } = Stack.of(this)
    this.database = stackName.toLowerCase().replaceAll('-', '_')
    this.workGroup = stackName
    bucket.addLifecycleRule({
      id: 'query-results',
      prefix: RESULTS,
      expiration: Duration.days(30),
      noncurrentVersionExpiration: Duration.days(1),
    })

    const database = new CfnDatabase(this, 'Database', {
      catalogId: Aws.ACCOUNT_ID,
      databaseInput: { name: this.database, description: 'Logs of the credit expiry job' },
    })
    for (const table of LOG_TABLES) this.table(table, bucket).addResourceDependency(database)
    this.savedQueries(this.group(bucket, keyArn), database)
  }

  private table({ folder, comment, columns }: LogTable, bucket: Bucket): CfnTable {
    return new CfnTable(this, folder, {
      catalogId: Aws.ACCOUNT_ID,
      databaseName: this.database,
      tableInput: {
        name: folder,
        description: comment,
        tableType: 'EXTERNAL_TABLE',
        parameters: { classification: 'json' },
        storageDescriptor: {
          location: bucket.s3UrlForObject(`${PREFIXES.logs}${folder}/`),
          columns: Object.entries(columns).map(([name, type]) => ({ name, type })),
          inputFormat: 'org.apache.hadoop.mapred.TextInputFormat',
          outputFormat: 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat',
          // This one gives a nested object as a text where the column is a string; Hive's own fails there.
          serdeInfo: {
            serializationLibrary: 'org.openx.data.jsonserde.JsonSerDe',
            parameters: { 'ignore.malformed.json': 'false' },
          },
        },
      },
    })
  }

  private group(bucket: Bucket, keyArn: string | undefined): CfnWorkGroup {
    return new CfnWorkGroup(this, 'WorkGroup', {
      name: this.workGroup,
      description: 'Queries on the logs of the credit expiry job',
      recursiveDeleteOption: true,
      workGroupConfiguration: {
        enforceWorkGroupConfiguration: true,
        publishCloudWatchMetricsEnabled: false,
        bytesScannedCutoffPerQuery: MOST_BYTES,
        engineVersion: { selectedEngineVersion: 'Athena engine version 3' },
        resultConfiguration: {
          outputLocation: bucket.s3UrlForObject(RESULTS),
          expectedBucketOwner: Aws.ACCOUNT_ID,
          encryptionConfiguration:
            keyArn === undefined
              ? { encryptionOption: 'SSE_S3' }
              : { encryptionOption: 'SSE_KMS', kmsKey: keyArn },
        },
      },
    })
  }

  private savedQueries(workGroup: CfnWorkGroup, database: CfnDatabase): void {
    for (const { name, description, sql } of SAVED_QUERIES) {
      const query = new CfnNamedQuery(this, name, {
        name,
        description,
        database: this.database,
        workGroup: this.workGroup,
        queryString: sql.trim(),
      })
      query.addResourceDependency(workGroup)
      query.addResourceDependency(database)
    }
  }
}

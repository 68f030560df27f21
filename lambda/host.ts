import type { Logger } from '@aws-lambda-powertools/logger'
import type { Metrics } from '@aws-lambda-powertools/metrics'
import { S3Client } from '@aws-sdk/client-s3'
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import { setTimeout as pause } from 'node:timers/promises'
import * as z from 'zod'
import type { DatabaseSource } from './config.ts'
import { InvalidConfiguration, readConfig } from './config.ts'
import { type Address, connect } from './ledger/connect.ts'
import { recordClosed, recordIdle, recordPage } from './observability.ts'
import type { Tools } from './run/tools.ts'

/** What differs between Lambda, a person's machine and a test. */
export type Host = {
  readonly env: NodeJS.ProcessEnv
  readonly source: string
  /** This machine's clock. */
  readonly now: Tools['now']
  readonly log: Tools['log']
  readonly onProgress: Tools['onProgress']
  readonly onClosed: Tools['onClosed']
  readonly onPage: Tools['onPage']
  readonly onIdle: Tools['onIdle']
}

/** The host in Lambda: what the job tells of goes to the log and into metrics. */
export function lambdaHost(logger: Logger, metrics: Metrics): Host {
  return {
    env: process.env,
    source: 'lambda',
    now: () => new Date(),
    log: (message, details) => logger.info(message, details),
    onProgress: () => {},
    onClosed: (card) => recordClosed(metrics, card),
    onPage: (milliseconds) => recordPage(metrics, milliseconds),
    onIdle: (seconds) => recordIdle(metrics, seconds),
  }
}

/** The connections of a pool: as many as the most pages in flight. Opened as they are needed. */
const CONNECTIONS = 16

/** S3 requests are small, and tried again: better a new try than a long wait. AWS_MAX_ATTEMPTS, as everywhere, sets how often. */
const REQUEST_TIMEOUT_MS = 20_000
const CONNECTION_TIMEOUT_MS = 5_000
const TRIES = '5'

/**
 * Opens everything that one invocation works with, lends it to `work`, and closes it again: nothing is kept for the
 * next warm start.
 * @throws InvalidConfiguration, and whatever `work` throws
 */
export async function withTools<T>(
  host: Host,
  invocation: { readonly id: string; readonly timeLeft: () => number },
  work: (tools: Tools) => Promise<T>,
): Promise<T> {
  const invocationMs = invocation.timeLeft()
  const config = readConfig(host.env)
  const client = new S3Client({
    forcePathStyle: host.env.AWS_ENDPOINT_URL_S3 !== undefined,
    maxAttempts: Number(host.env.AWS_MAX_ATTEMPTS ?? TRIES),
    requestHandler: { requestTimeout: REQUEST_TIMEOUT_MS, connectionTimeout: CONNECTION_TIMEOUT_MS },
  })
  const writer = connect(await addressOf(config.database), CONNECTIONS)
  const reader =
    config.readonlyDatabase === config.database
      ? writer
      : connect(await addressOf(config.readonlyDatabase), CONNECTIONS)
  try {
    return await work({
      config,
      store: { client, bucket: config.bucket },
      ledger: { writer, reader },
      invocationMs,
      timeLeft: invocation.timeLeft,
      now: host.now,
      pause: async (milliseconds) => pause(milliseconds),
      invocation: { id: invocation.id, source: host.source },
      log: host.log,
      onProgress: host.onProgress,
      onClosed: host.onClosed,
      onPage: host.onPage,
      onIdle: host.onIdle,
    })
  } finally {
    client.destroy()
    await Promise.all([writer.end({ timeout: 0.1 }), reader.end({ timeout: 0.1 })])
  }
}

const secretSchema = z.object({
  host: z.string(),
  port: z.coerce.number(),
  username: z.string(),
  password: z.string(),
  dbname: z.string(),
})

/** The RDS form's password is asked for again at each new connection, so that a rotation in the middle of a run does no harm. */
async function addressOf(source: DatabaseSource): Promise<Address> {
  if ('url' in source) return source
  const text = await readSecret(source.secretArn)
  if (/^postgres(ql)?:\/\//.test(text)) return { url: text }
  const { host, port, username, dbname } = parseSecret(source.secretArn, text)
  const password = async () => parseSecret(source.secretArn, await readSecret(source.secretArn)).password
  return { host, port, username, database: dbname, password }
}

function parseSecret(arn: string, text: string): z.infer<typeof secretSchema> {
  try {
    return secretSchema.parse(JSON.parse(text))
  } catch {
    // No cause: a JSON error quotes the text, and the text is the secret.
    throw new InvalidConfiguration(
      `The secret ${arn} is neither a postgres:// URL nor JSON with host, port, username, password and dbname.`,
    )
  }
}

async function readSecret(arn: string): Promise<string> {
  const client = new SecretsManagerClient({ requestHandler: { connectionTimeout: CONNECTION_TIMEOUT_MS } })
  try {
    return (await client.send(new GetSecretValueCommand({ SecretId: arn }))).SecretString ?? ''
  } catch (error) {
    throw new InvalidConfiguration(
      `The secret ${arn} could not be read. Check that it exists, that this role may read it, and, in a VPC, that there is an endpoint for Secrets Manager or a NAT.`,
      { cause: error },
    )
  } finally {
    client.destroy()
  }
}

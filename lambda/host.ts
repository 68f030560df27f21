import type { Logger } from '@aws-lambda-powertools/logger'
import type { Metrics } from '@aws-lambda-powertools/metrics'
import type { Context } from 'aws-lambda'
import { setTimeout as pause } from 'node:timers/promises'
import * as z from 'zod'
import { reserveOf, type ArchiveWaits, ARCHIVE_WAITS } from './archive/s3/attempts.ts'
import { connectS3 } from './archive/s3/client.ts'
import { type Config, type DatabaseSource, readConfig } from './config.ts'
import { databaseAddress, type Login } from './host/login.ts'
import { connect, type Sql, unreachable } from './ledger/connection/connect.ts'
import type { Waits as LedgerWaits } from './ledger/connection/line.ts'
import { recordCheck, recordClosed, recordIdle, recordPage, recordVerified } from './observability.ts'
import type { Tools } from './run/tools.ts'

/** What differs between Lambda, a person's machine and a test. */
export type Host = {
  readonly env: NodeJS.ProcessEnv
  /** Who called, given the context of the invocation. */
  readonly callerOf: (context: Context) => Tools['caller']
  /** This machine's clock. */
  readonly now: Tools['now']
  readonly log: Tools['log']
  readonly onProgress: Tools['onProgress']
  readonly onClosed: Tools['onClosed']
  readonly onPage: Tools['onPage']
  readonly onIdle: Tools['onIdle']
  readonly onCheck: Tools['onCheck']
  readonly onVerified: Tools['onVerified']
  /** How long to wait for PostgreSQL, and for AWS's services, where it is not as long as usual. */
  readonly waits?: { readonly ledger?: Partial<LedgerWaits>; readonly aws?: Partial<ArchiveWaits> }
}

/** The host in Lambda: what the job reports goes to the log and into metrics. */
export function lambdaHost(logger: Logger, metrics: Metrics): Host {
  return {
    env: process.env,
    callerOf: lambdaCaller,
    now: () => new Date(),
    log: (message, details) => logger.info(message, details),
    onProgress: () => {},
    onClosed: (card) => recordClosed(metrics, card),
    onPage: (milliseconds) => recordPage(metrics, milliseconds),
    onIdle: (seconds) => recordIdle(metrics, seconds),
    onCheck: (passed) => recordCheck(metrics, passed),
    onVerified: (differences) => recordVerified(metrics, differences),
  }
}

/**
 * What an invocation may say about its caller: the workflow names its execution, a person's tool may name the
 * person.
 */
const customSchema = z.object({
  by: z.string().trim().min(1).max(200).optional().catch(undefined),
  workflowExecution: z
    .string()
    .regex(/^arn:[\w-]+:states:.*:execution:.+/)
    .max(512)
    .optional()
    .catch(undefined),
})

/**
 * In Lambda, the client context of the invocation says who called, if anything does. A caller can write
 * anything there: it is a label for the records, and the request id is the link to CloudTrail.
 */
function lambdaCaller({ awsRequestId, invokedFunctionArn, clientContext }: Context): Tools['caller'] {
  const custom: unknown = clientContext?.custom
  const { by, workflowExecution } = customSchema.catch({}).parse(custom ?? {})
  const evidence = { functionArn: invokedFunctionArn, clientContext: JSON.stringify(custom ?? null) }
  if (workflowExecution === undefined)
    return { by: by ?? 'unknown (direct invocation)', via: 'lambda', evidence, requestId: awsRequestId }
  return {
    by: by ?? 'unknown (workflow)',
    via: `workflow ${workflowExecution.slice(workflowExecution.lastIndexOf(':') + 1)}`,
    evidence: { ...evidence, workflowExecution },
    requestId: awsRequestId,
  }
}

/** The connections of a pool: as many as the most pages in flight. Opened as they are needed. */
const CONNECTIONS = 16

const CONNECTION_TIMEOUT_MS = 5_000

/**
 * Opens everything that one invocation works with, lends it to `work`, and closes it again: nothing is kept
 * for the next warm start.
 * @throws InvalidConfiguration, and whatever `work` throws
 */
export async function withTools<T>(
  host: Host,
  context: Context,
  work: (tools: Tools) => Promise<T>,
): Promise<T> {
  const timeLeft = () => context.getRemainingTimeInMillis()
  const invocationMs = timeLeft()
  const config = readConfig(host.env)
  const tries = Number(host.env.AWS_MAX_ATTEMPTS ?? ARCHIVE_WAITS.tries)
  const reserveMs = reserveOf(invocationMs)
  const aws: Aws = { waits: { ...ARCHIVE_WAITS, tries, reserveMs, ...host.waits?.aws }, timeLeft }
  const { s3, end } = connectS3({
    forcePathStyle: host.env.AWS_ENDPOINT_URL_S3 !== undefined,
    ...clientOptions(aws.waits),
  })
  const signing = await signingWith(config, aws, host.waits?.aws)
  const region = host.env.AWS_REGION ?? 'us-east-1'
  const login = { ...config, region, readSecret: async (arn: string) => readSecretOf(arn, aws) }
  const writer = await poolOf(config.database, login, host.waits?.ledger)
  const reader =
    config.readonlyDatabase === config.database
      ? writer
      : await poolOf(config.readonlyDatabase, login, host.waits?.ledger)
  try {
    return await work({
      config,
      store: { s3, bucket: config.bucket, ...aws },
      ledger: { writer, reader },
      signer: signing?.signer ?? null,
      invocationMs,
      timeLeft,
      now: host.now,
      pause: async (milliseconds) => pause(milliseconds),
      region,
      caller: host.callerOf(context),
      log: host.log,
      onProgress: host.onProgress,
      onClosed: host.onClosed,
      onPage: host.onPage,
      onIdle: host.onIdle,
      onCheck: host.onCheck,
      onVerified: host.onVerified,
    })
  } finally {
    signing?.client.destroy()
    await Promise.all([end(), writer.end(), reader.end()])
  }
}

/**
 * Without an address it fails at its first use: what needs no database works, and a check can say what is
 * wrong.
 */
async function poolOf(source: DatabaseSource, login: Login, waits?: Partial<LedgerWaits>): Promise<Sql> {
  try {
    return connect(await databaseAddress(source, login), CONNECTIONS, waits)
  } catch (error) {
    return unreachable(error)
  }
}

/** What the requests to AWS share. */
type Aws = { readonly waits: ArchiveWaits; readonly timeLeft: () => number }

/**
 * Requests are tried again by `attempt`, not by the client as well. The socket's timeout ends a stalled
 * upload.
 */
function clientOptions({ silenceMs }: ArchiveWaits) {
  return {
    maxAttempts: 1,
    requestHandler: { connectionTimeout: CONNECTION_TIMEOUT_MS, socketTimeout: silenceMs },
  }
}

/**
 * Only a function that may write closes writing runs, and only their manifests are signed. Without a key, the
 * client of KMS is not loaded.
 */
async function signingWith(
  { signingKeyArn, allowWrites }: Config,
  { waits: usual, timeLeft }: Aws,
  otherwise: Partial<ArchiveWaits> | undefined,
) {
  if (signingKeyArn === null || !allowWrites) return null
  const { kmsClient, kmsSigner, SIGNING_WAITS } = await import('./signing/signer.ts')
  const waits = { ...usual, ...SIGNING_WAITS, ...otherwise }
  const client = kmsClient(signingKeyArn, clientOptions(waits))
  return { client, signer: kmsSigner(signingKeyArn, client, { waits, timeLeft }) }
}

/** The client of Secrets Manager is loaded where there is a secret to read. */
async function readSecretOf(arn: string, aws: Aws): Promise<string> {
  const { readSecret } = await import('./host/secret.ts')
  return readSecret(arn, clientOptions(aws.waits), aws)
}

import { randomUUID } from 'node:crypto'
import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics } from '@aws-lambda-powertools/metrics'
import type { Context } from 'aws-lambda'
import { createHandler } from '../../lambda/handler.ts'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { type Host, lambdaHost } from '../../lambda/host.ts'
import type { TestBucket } from './bucket.ts'
import { hostNow } from './clock.ts'

/** What an invocation of the job in a test works on. */
export type JobPlace = {
  readonly databaseUrl: string
  readonly bucket: Pick<TestBucket, 'endpoint' | 'bucket'>
  readonly env?: Record<string, string>
}

export const TEST_CALLER = { by: 'a test', via: 'test', evidence: {} }

/** How Lambda would call it; `timeLeft` is asked as often as the job asks. */
export type InvocationOptions = {
  readonly timeLeft?: () => number
  readonly host?: Partial<Host>
  readonly requestId?: string
}

/** Calls the handler as Lambda does: with an event, and a context that gives the remaining time. */
export async function invokeJob(
  place: JobPlace,
  event: unknown,
  options: InvocationOptions = {},
): Promise<ExitCard> {
  const { host, logger, metrics } = hostIn(place, options)
  return createHandler(host, logger, metrics)(event as never, lambdaContext(options))
}

/**
 * The host of an invocation in this process, silent. The S3 client reads its endpoint from the process, as in
 * Lambda.
 */
export function hostIn(place: JobPlace, { host: given }: InvocationOptions = {}) {
  Object.assign(process.env, {
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_ENDPOINT_URL_S3: place.bucket.endpoint,
    POWERTOOLS_METRICS_DISABLED: 'true',
  })
  const logger = new Logger({ logLevel: 'SILENT' })
  const metrics = new Metrics({ namespace: 'Test', serviceName: 'test', logger })
  const env = {
    DATABASE_URL: place.databaseUrl,
    LOG_BUCKET: place.bucket.bucket,
    AWS_ENDPOINT_URL_S3: place.bucket.endpoint,
    ...place.env,
  }
  const callerOf: Host['callerOf'] = ({ awsRequestId }) => ({ ...TEST_CALLER, requestId: awsRequestId })
  const host: Host = { ...lambdaHost(logger, metrics), env, callerOf, now: hostNow, ...given }
  return { host, logger, metrics }
}

/** The error that an invocation ends with; fails the test when it ends with an answer. */
export async function failureOf(invocation: Promise<unknown>): Promise<Error> {
  const answer = await invocation.catch((error: unknown) => error)
  if (answer instanceof Error) return answer
  throw new Error(`The invocation did not fail: ${JSON.stringify(answer)}`)
}

/** The context that Lambda would give. */
export function lambdaContext({
  timeLeft = () => 900_000,
  requestId = randomUUID(),
}: InvocationOptions): Context {
  return {
    awsRequestId: requestId,
    functionName: 'credit-expiry',
    functionVersion: '1',
    invokedFunctionArn: 'arn:aws:lambda:us-east-1:123456789012:function:credit-expiry',
    memoryLimitInMB: '1769',
    logGroupName: 'log',
    logStreamName: 'stream',
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: timeLeft,
    done: () => {},
    fail: () => {},
    succeed: () => {},
  }
}

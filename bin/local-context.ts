import { randomUUID } from 'node:crypto'
import type { Context } from 'aws-lambda'
import { SERVICE_NAME } from '../lambda/constants.ts'

/** What Lambda would say of an invocation, for one on this machine; `timeLeft` in milliseconds. */
export function localContext(timeLeft: () => number): Context {
  return {
    awsRequestId: randomUUID(),
    functionName: SERVICE_NAME,
    functionVersion: '$LATEST',
    invokedFunctionArn: 'arn:aws:lambda:local:000000000000:function:credit-expiry',
    memoryLimitInMB: '1769',
    logGroupName: 'none',
    logStreamName: 'none',
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: timeLeft,
    done: () => {},
    fail: () => {},
    succeed: () => {},
  }
}

import type { Context } from 'aws-lambda'

/** Who asks for the runs of a benchmark. */
export const CALLER = { by: 'bench', via: 'bench', evidence: {}, requestId: 'bench' }

/** The context of an invocation, as Lambda gives it; `timeLeft` in milliseconds. */
export function contextWith(timeLeft: () => number): Context {
  return {
    awsRequestId: 'bench',
    functionName: 'credit-expiry',
    functionVersion: '1',
    invokedFunctionArn: 'arn:aws:lambda:us-east-1:123456789012:function:credit-expiry',
    memoryLimitInMB: '1769',
    logGroupName: 'bench',
    logStreamName: 'bench',
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: timeLeft,
    done: () => {},
    fail: () => {},
    succeed: () => {},
  }
}

import { existsSync } from 'node:fs'

/**
 * What Lambda's runtime does with the function's code, in a process of its own that is started beside a copy
 * of the asset: loads index.mjs, and calls its handler for every message. Uses nothing but Node.
 */

type Handler = (event: unknown, context: object) => Promise<unknown>

const path = new URL('index.mjs', import.meta.url)
if (!existsSync(path)) throw new Error(`There is no bundle at ${path.pathname}.`)
const { handler } = (await import(path.href)) as { handler: Handler }

function context(requestId: string) {
  const deadline = Date.now() + 60_000
  return {
    awsRequestId: requestId,
    functionName: 'credit-expiry',
    functionVersion: '$LATEST',
    invokedFunctionArn: 'arn:aws:lambda:us-east-1:123456789012:function:credit-expiry',
    memoryLimitInMB: '1769',
    logGroupName: 'logs',
    logStreamName: 'stream',
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  }
}

let calls = 0
process.on('message', (event) => {
  const call = ++calls
  const answer = (message: object) => {
    // The caller that waits for the answer then knows that everything before it has been read.
    for (const stream of [process.stdout, process.stderr]) stream.write(`{"answered":${call}}\n`)
    process.send?.({ call, ...message })
  }
  handler(event, context(`request-${call}`)).then(
    (card) => answer({ card }),
    (error: Error) => answer({ error: { name: error.name, message: error.message } }),
  )
})

process.send?.({
  loaded: true,
  strangers: ['zod', 'postgres', '@aws-sdk/client-s3', '@middy/core'].filter(isReachable),
})

function isReachable(name: string): boolean {
  try {
    return import.meta.resolve(name) !== ''
  } catch {
    return false
  }
}

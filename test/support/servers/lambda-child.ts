import { once } from 'node:events'
import { handler } from '../../../lambda/handler.ts'

/** The deployed handler in a process of its own, one event after the other, as a warm Lambda gets them. */
process.on('message', (events: unknown[]) => void answerAll(events))
process.send?.('ready')
await once(process, 'disconnect')

async function answerAll(events: unknown[]): Promise<void> {
  const answers = []
  for (const [index, event] of events.entries()) answers.push(await answer(event, `request-${index}`))
  process.send?.(answers)
}

async function answer(event: unknown, awsRequestId: string): Promise<unknown> {
  const context = {
    awsRequestId,
    functionName: 'credit-expiry',
    invokedFunctionArn: 'arn:aws:lambda:us-east-1:123456789012:function:credit-expiry',
    memoryLimitInMB: '1769',
    getRemainingTimeInMillis: () => 900_000,
  }
  try {
    return { card: await handler(event as never, context as never) }
  } catch (error) {
    // What Lambda itself reports of an error: its name, its message, its stack and its other fields.
    return error instanceof Error
      ? {
          error: {
            ...Object.fromEntries(Object.entries(error)),
            name: error.name,
            message: error.message,
            stack: error.stack,
          },
        }
      : { error }
  }
}

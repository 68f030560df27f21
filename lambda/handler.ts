import { Logger } from '@aws-lambda-powertools/logger'
import { injectLambdaContext } from '@aws-lambda-powertools/logger/middleware'
import { Metrics } from '@aws-lambda-powertools/metrics'
import { logMetrics } from '@aws-lambda-powertools/metrics/middleware'
import { parser } from '@aws-lambda-powertools/parser/middleware'
import type { ParsedResult } from '@aws-lambda-powertools/parser/types'
import middy from '@middy/core'
import type { Context } from 'aws-lambda'
import { METRICS_NAMESPACE, SERVICE_NAME, STAGE } from './constants.ts'
import { eventSchema, invalidEvent, type Payload } from './event.ts'
import { type Answer, answer, isCard } from './answer.ts'
import { type Host, lambdaHost, withTools } from './host.ts'
import { errorLogging, logCard, metricsByMode } from './observability.ts'

/**
 * The door: from an event to the exit card. The host says what differs between Lambda, a person's machine and
 * a test.
 */
export function createHandler(given: Partial<Host>, logger: Logger, metrics: Metrics) {
  const host = { ...lambdaHost(logger, metrics), ...given }
  const stage = host.env[STAGE.variable] ?? STAGE.fallback
  // middy's own early timeout would answer while the job goes on: a commit could follow a reported failure.
  return middy({ timeoutEarlyInMillis: 0 })
    .use(injectLambdaContext(logger, { resetKeys: true }))
    .use(logMetrics(metrics))
    .use(errorLogging(logger))
    .use(parser({ schema: eventSchema, safeParse: true }))
    .use(metricsByMode(metrics, { stage, writes: host.env.ALLOW_WRITES !== 'false' }))
    .handler(async (event: ParsedResult<unknown, Payload>, context: Context): Promise<Answer> => {
      if (!event.success) throw invalidEvent(event.error, event.originalEvent)
      const answered = await withTools(host, context, async (tools) => answer(event.data, tools))
      if (isCard(answered)) logCard(logger, answered)
      return answered
    })
}

const logger = new Logger({ serviceName: SERVICE_NAME })
export const handler = createHandler(
  {},
  logger,
  new Metrics({ serviceName: SERVICE_NAME, namespace: METRICS_NAMESPACE, logger }),
)

import type { Logger } from '@aws-lambda-powertools/logger'
import { type Metrics, MetricUnit } from '@aws-lambda-powertools/metrics'
import type { MiddlewareObj } from '@middy/core'
import { METRICS } from './constants.ts'
import type { ExitCard } from './exit-card.ts'

const EMAIL = /[^\s"'<>(),:;=]+@[^\s"'<>(),:;=]+/g
const URL_SECRET = /(\w+:\/\/[^:/\s]*:)[^@\s]*@/g

/** A text without e-mail addresses and without passwords in URLs, for what goes to CloudWatch or to a caller. */
export function redact(text: string): string {
  return text.replace(URL_SECRET, '$1***@').replace(EMAIL, '***')
}

/** Logs an error once, with its causes, and makes sure that neither the log nor the caller sees an e-mail or a secret. */
export function errorLogging(logger: Logger): MiddlewareObj {
  return {
    onError: ({ error }) => {
      if (!(error instanceof Error)) return
      error.message = redact(error.message)
      logger.error(error.message, { error_name: error.name, causes: causesOf(error), stack: redact(error.stack ?? '') })
    },
  }
}

function causesOf(error: Error): string[] {
  const causes: string[] = []
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) causes.push(redact(`${cause.name}: ${cause.message}`))
  return causes
}

/** The exit card in the log, once, and what the alarms and the dashboard need of it as metrics with the dimension mode. */
export function recordCard(logger: Logger, metrics: Metrics, card: ExitCard): void {
  logger.info('exit card', { card: { ...card, why: redact(card.why) } })
  metrics.addDimension('mode', card.mode)
  if (card.status === 'busy' || card.status === 'incomplete') return
  const { totals } = card
  metrics.addMetric(METRICS.runsClosed, MetricUnit.Count, 1)
  metrics.addMetric(METRICS.runsStopped, MetricUnit.Count, card.status === 'stopped' ? 1 : 0)
  metrics.addMetric(METRICS.usersProcessed, MetricUnit.Count, totals.usersProcessed)
  metrics.addMetric(METRICS.usersLeftAlone, MetricUnit.Count, totals.usersLeftAlone)
  metrics.addMetric(METRICS.usersFailed, MetricUnit.Count, totals.usersFailed)
  metrics.addMetric(METRICS.grantsTargeted, MetricUnit.Count, totals.grantsTargeted)
  metrics.addMetric(METRICS.usdExpired, MetricUnit.NoUnit, totals.expiredMicrodollars / 1_000_000)
  metrics.addMetric(METRICS.usdCorrected, MetricUnit.NoUnit, totals.correctedMicrodollars / 1_000_000)
}

/** How long a page took. */
export function recordPage(metrics: Metrics, milliseconds: number): void {
  metrics.addMetric(METRICS.pageMilliseconds, MetricUnit.Milliseconds, milliseconds)
}

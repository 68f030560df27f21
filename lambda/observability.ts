import type { Logger } from '@aws-lambda-powertools/logger'
import type { Metrics } from '@aws-lambda-powertools/metrics'
import type { ParsedResult } from '@aws-lambda-powertools/parser/types'
import type { MiddlewareObj } from '@middy/core'
import { FINAL_ERRORS, METRICS, NO_RUN } from './constants.ts'
import { type Payload, RUN_ID } from './event.ts'
import type { ExitCard } from './exit-card.ts'

/** A local part may be quoted, spaces and all, and may hold an apostrophe. */
const EMAIL = /("[^"]*"|[^\s"<>(),:;=]+)@[^\s"'<>(),:;=]+/g
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
      error.stack = redact(error.stack ?? '')
      logger.error(error.message, { error_name: error.name, causes: causesOf(error), stack: error.stack })
    },
  }
}

function causesOf(error: Error): string[] {
  const causes: string[] = []
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause)
    causes.push(redact(`${cause.name}: ${cause.message}`))
  return causes
}

/**
 * Gives everything that an invocation emits the dimension `mode`, and no other, from its first page on (Powertools
 * sends metrics off whenever a hundred values have come together); and counts what ends it without a card. Stands
 * behind the parser.
 */
export function metricsByMode(metrics: Metrics): MiddlewareObj<ParsedResult<unknown, Payload>> {
  return {
    before: ({ event }) => {
      metrics.clearDefaultDimensions()
      metrics.setDefaultDimensions({ mode: modeOf(event) })
    },
    onError: ({ error }) => {
      if (error?.name === FINAL_ERRORS.invalidEvent) add(metrics, METRICS.invalidEvents, 1)
      if (error?.name === FINAL_ERRORS.runRefused) add(metrics, METRICS.runsRefused, 1)
    },
  }
}

/** A run's mode is part of its id. */
function modeOf(event: ParsedResult<unknown, Payload>): string {
  if (!event.success) return NO_RUN.unknown
  const payload = event.data
  switch (payload.kind) {
    case 'run':
    case 'rollback':
      return payload.mode
    case 'resume':
    case 'cancel':
    case 'abandon':
      return RUN_ID.exec(payload.runId)?.[1] ?? NO_RUN.unknown
    case 'status':
    case 'check':
    case 'hold':
    case 'release':
    case 'history':
    case 'verify':
    case 'diff':
    case 'report':
      return NO_RUN.status
  }
}

/** The exit card in the log, once. */
export function logCard(logger: Logger, card: ExitCard): void {
  logger.info('exit card', { card: { ...card, why: redact(card.why) } })
}

/** What the alarms and the dashboard need of a run, once, when it is closed. */
export function recordClosed(metrics: Metrics, { status, totals }: ExitCard): void {
  add(metrics, METRICS.runsClosed, 1)
  add(metrics, METRICS.runsStopped, status === 'stopped' ? 1 : 0)
  add(metrics, METRICS.usersProcessed, totals.usersProcessed)
  add(metrics, METRICS.usersLeftAlone, totals.usersLeftAlone)
  add(metrics, METRICS.usersFailed, totals.usersFailed)
  add(metrics, METRICS.grantsTargeted, totals.grantsTargeted)
  add(metrics, METRICS.usdExpired, totals.expiredMicrodollars / 1_000_000)
  add(metrics, METRICS.usdCorrected, totals.correctedMicrodollars / 1_000_000)
}

/** How long a page took. */
export function recordPage(metrics: Metrics, milliseconds: number): void {
  add(metrics, METRICS.pageMilliseconds, milliseconds)
}

/** The dead man's heartbeat: seconds since the open writing run last made progress, 0 when none is open. */
export function recordIdle(metrics: Metrics, seconds: number): void {
  add(metrics, METRICS.openRunIdleSeconds, Math.max(0, seconds))
}

function add(metrics: Metrics, { name, unit }: (typeof METRICS)[keyof typeof METRICS], value: number): void {
  metrics.addMetric(name, unit, value)
}

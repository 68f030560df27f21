import type { Logger } from '@aws-lambda-powertools/logger'
import type { Metrics } from '@aws-lambda-powertools/metrics'
import type { ParsedResult } from '@aws-lambda-powertools/parser/types'
import type { MiddlewareObj } from '@middy/core'
import postgres from 'postgres'
import { FINAL_ERRORS, METRICS, NO_RUN } from './constants.ts'
import { modeOf } from './archive/keys.ts'
import type { Payload } from './event.ts'
import type { ExitCard } from './exit-card.ts'
import { toLedgerError } from './ledger/errors.ts'
import { redact } from './redact.ts'
import { inSourceLines } from './host/source-lines.ts'

/**
 * Logs the error that ends an invocation, once, with its causes, and lets the caller see the same text. What
 * reaches this unexplained (an error of the database's driver, whose stack is read-only, or no Error at all)
 * becomes one that can be shown: otherwise an error in here would take the place of the one that happened
 * (seen).
 */
export function errorLogging(logger: Logger): MiddlewareObj {
  return {
    onError: (request) => {
      const error = presentable(toLedgerError(request.error))
      request.error = error
      logger.error(error.message, { error_name: error.name, causes: causesOf(error), stack: error.stack })
    },
  }
}

/**
 * The error itself where it can be shown as it is; otherwise a copy, with what is secret hidden, and with lines
 * of the source.
 */
function presentable(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(redact(String(error)))
  const { name, message } = error
  const stack = redact(inSourceLines(error.stack ?? ''))
  if (redact(message) === message && stack === error.stack) return error
  return Object.assign(new Error(redact(message), { cause: error.cause }), { name, stack })
}

function causesOf(error: Error): string[] {
  const causes: string[] = []
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause)
    causes.push(redact(`${nameOf(cause)}: ${cause.message}`))
  return causes
}

/** The driver names its errors after their class, whose name the bundler shortens. */
function nameOf(error: Error): string {
  return error instanceof postgres.PostgresError ? 'PostgresError' : error.name
}

/** Which deployment emits, and whether it is the one that may write. */
export type Emitter = { readonly stage: string; readonly writes: boolean }

/**
 * Gives everything that an invocation emits the dimensions `stage` and `mode`, and no other, from its first
 * page on (Powertools sends metrics as soon as there are a hundred values); and counts what ends it without a
 * card. Comes after the parser.
 */
export function metricsByMode(
  metrics: Metrics,
  { stage, writes }: Emitter,
): MiddlewareObj<ParsedResult<unknown, Payload>> {
  return {
    before: ({ event }) => {
      metrics.clearDefaultDimensions()
      metrics.setDefaultDimensions({
        stage,
        mode: event.success ? modeIn(event.data, writes) : NO_RUN.unknown,
      })
    },
    onError: ({ error }) => {
      add(metrics, METRICS.errorsReported, 1)
      add(metrics, METRICS.invalidEvents, error?.name === FINAL_ERRORS.invalidEvent ? 1 : 0)
      add(metrics, METRICS.runsRefused, error?.name === FINAL_ERRORS.runRefused ? 1 : 0)
      add(metrics, METRICS.failures, FINAL_NAMES.includes(error?.name ?? '') ? 0 : 1)
    },
  }
}

const FINAL_NAMES: readonly string[] = Object.values(FINAL_ERRORS)

/** A run's mode is part of its id. What has no run, apart from a check, counts as a question about one. */
function modeIn(payload: { kind: string; mode?: string; runId?: string }, writes: boolean): string {
  if (payload.mode !== undefined) return payload.mode
  if (payload.kind === 'check') return writes ? NO_RUN.check : NO_RUN.previewCheck
  if (payload.kind === 'resume' || payload.kind === 'cancel')
    return modeOf(payload.runId ?? '') ?? NO_RUN.unknown
  return NO_RUN.status
}

/**
 * The exit card in the log, once. Only `asked.by` may be an e-mail address there: a reason and a payload are
 * free text.
 */
export function logCard(logger: Logger, card: ExitCard): void {
  const text = JSON.stringify(card, (key, value: unknown) =>
    typeof value === 'string' && key !== 'by' ? redact(value) : value,
  )
  logger.info('exit card', { card: JSON.parse(text) as unknown })
}

/** What the alarms and the dashboard need of a run, once, when it is closed. */
export function recordClosed(metrics: Metrics, { status, totals }: ExitCard): void {
  add(metrics, METRICS.runsClosed, 1)
  add(metrics, METRICS.runsStopped, status === 'stopped' ? 1 : 0)
  add(metrics, METRICS.usersProcessed, totals.usersProcessed)
  add(metrics, METRICS.usersSkipped, totals.usersSkipped)
  add(metrics, METRICS.usersFailed, totals.usersFailed)
  add(metrics, METRICS.grantsTargeted, totals.grantsTargeted)
  add(metrics, METRICS.usdExpired, totals.expiredMicrodollars / 1_000_000)
  add(metrics, METRICS.usdCorrected, totals.correctedMicrodollars / 1_000_000)
}

/** How long a page took. */
export function recordPage(metrics: Metrics, milliseconds: number): void {
  add(metrics, METRICS.pageMilliseconds, milliseconds)
}

/** How long the open writing run has made no progress: seconds, 0 when none is open. */
export function recordIdle(metrics: Metrics, seconds: number): void {
  add(metrics, METRICS.openRunIdleSeconds, Math.max(0, seconds))
}

/** What a check found, for the hourly heartbeat's alarm. */
export function recordCheck(metrics: Metrics, passed: boolean): void {
  add(metrics, METRICS.checkFailed, passed ? 0 : 1)
}

/** How many differences a verification found. */
export function recordVerified(metrics: Metrics, differences: number): void {
  add(metrics, METRICS.verifyDifferences, differences)
}

function add(metrics: Metrics, { name, unit }: (typeof METRICS)[keyof typeof METRICS], value: number): void {
  metrics.addMetric(name, unit, value)
}

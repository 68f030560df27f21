import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics } from '@aws-lambda-powertools/metrics'
import type { Context } from 'aws-lambda'
import { Console } from 'node:console'
import { METRICS_NAMESPACE, SERVICE_NAME } from '../../../lambda/constants.ts'
import { reserveOf } from '../../../lambda/archive/s3/attempts.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { createHandler } from '../../../lambda/handler.ts'
import { withTools } from '../../../lambda/host.ts'
import { LONGEST_ORPHAN_MS } from '../../../lambda/ledger/connection/transaction.ts'
import type { Answer } from '../../../lambda/answer.ts'
import type { Tools } from '../../../lambda/run/tools.ts'
import { localContext } from '../../local-context.ts'
import { callerHere } from './caller.ts'

/** One invocation of the job, through the same handler as in Lambda. `onCard` is called after every page. */
export type Invoke = (event: Record<string, unknown>, onCard: (card: ExitCard) => void) => Promise<Answer>

/** The job on this machine, and when the lease of its last invocation expires if that is cut off. */
export type Job = {
  readonly invoke: Invoke
  readonly leaseExpires: () => Date
  /** Whether an invocation of this command closed a run. */
  readonly hasClosed: (runId: string) => boolean
}

/** Something did not answer by the deadline. */
export class DeadlinePassed extends Error {
  override readonly name = 'DeadlinePassed'
}

/** An invocation ends by itself before its deadline; one that does not is given up after this. */
const GRACE_MS = 5_000

/**
 * The job with invocations of `seconds`; once `stopped` says so, none of its time is left, so that it stops
 * after the pages in flight. Its log is silent, or with `debug` on standard error.
 */
export function jobHere(options: { seconds: number; debug: boolean; stopped: () => boolean }): Job {
  // Powertools reads it from the process; standard output is for the result alone.
  process.env.POWERTOOLS_METRICS_DISABLED = 'true'
  if (options.debug) logToStandardError()
  const logger = new Logger({ serviceName: SERVICE_NAME, logLevel: options.debug ? 'DEBUG' : 'SILENT' })
  const metrics = new Metrics({ serviceName: SERVICE_NAME, namespace: METRICS_NAMESPACE, logger })
  const milliseconds = options.seconds * 1000
  const closed = new Set<string>()
  const onClosed = ({ runId }: ExitCard): void => void closed.add(runId)
  let deadline = 0
  let caller: Awaited<ReturnType<typeof callerHere>> | undefined
  const timeLeft = () => (options.stopped() ? 0 : Math.max(0, deadline - performance.now()))
  const invoke: Invoke = async (event, onCard) => {
    deadline = performance.now() + milliseconds
    caller ??= await callerHere(process.env)
    const callerOf = ({ awsRequestId }: Context) => ({ ...UNRECORDED, ...caller, requestId: awsRequestId })
    const handler = createHandler({ callerOf, onProgress: onCard, onClosed }, logger, metrics)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- typed as the parsed event
    const invoked = async () => handler(event as never, localContext(timeLeft))
    return withinDeadline(milliseconds + GRACE_MS, invoked)
  }
  return {
    invoke,
    hasClosed: (runId) => closed.has(runId),
    leaseExpires: () => new Date(Date.now() + Math.max(0, deadline - performance.now()) + LONGEST_ORPHAN_MS),
  }
}

/**
 * Reads the ledger and the bucket beside an invocation, by the deadline that one would have; it begins anew
 * whenever `alive` is called.
 * @throws as readEachHere
 */
export async function readHere<T>(
  seconds: number,
  work: (tools: Tools, alive: () => void) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  return readEachHere(seconds, async (tools, within) => within(async (alive) => work(tools, alive)), signal)
}

/** Reads once, by the deadline that an invocation would have. */
export type Within = <T>(read: (alive: () => void) => Promise<T>) => Promise<T>

/**
 * The same for work that may take as long as there is much to read: each of its reads has the deadline, one
 * at a time. S3 ends a read a little earlier, with an error that says what to check.
 * @throws as withToolsHere and withinDeadline
 */
export async function readEachHere<T>(
  seconds: number,
  work: (tools: Tools, within: Within) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const milliseconds = seconds * 1000
  let began = performance.now()
  const begin = (): void => void (began = performance.now())
  const within: Within = async (read) => {
    begin()
    return withinDeadline(
      milliseconds,
      async (alive) =>
        read(() => {
          begin()
          alive()
        }),
      signal,
    )
  }
  return withToolsHere(async ({ store, ...tools }) => {
    const timeLeft = (): number => began + milliseconds - performance.now()
    const waits = { ...store.waits, reserveMs: reserveOf(milliseconds) }
    return work({ ...tools, store: { ...store, timeLeft, waits } }, within)
  })
}

/**
 * The result of `work`, unless `milliseconds` pass in which it neither ends nor calls `alive`, or `signal` is
 * aborted.
 * @throws DeadlinePassed, the signal's reason, and whatever `work` throws
 */
async function withinDeadline<T>(
  milliseconds: number,
  work: (alive: () => void) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const passed = Promise.withResolvers<never>()
  const alive = (): void => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      const text = `The database or the bucket did not answer within ${milliseconds / 1000} seconds.`
      passed.reject(
        new DeadlinePassed(`${text} The command ends here; npm start -- --status shows the run's state.`),
      )
    }, milliseconds)
  }
  const stop = (): void => passed.reject(signal?.reason)
  signal?.addEventListener('abort', stop)
  alive()
  try {
    return await Promise.race([work(alive), passed.promise])
  } finally {
    signal?.removeEventListener('abort', stop)
    clearTimeout(timer)
  }
}

/** What is only read is recorded nowhere, so that the caller does not matter. */
const UNRECORDED = { by: 'unknown', via: 'command', evidence: {} }

/**
 * Opens the job's own connections, to read the ledger and the bucket beside an invocation.
 * @throws as withTools
 */
async function withToolsHere<T>(work: (tools: Tools) => Promise<T>): Promise<T> {
  const told = {
    log: () => {},
    onProgress: () => {},
    onClosed: () => {},
    onPage: () => {},
    onIdle: () => {},
    onCheck: () => {},
    onVerified: () => {},
  }
  return withTools(
    {
      env: process.env,
      callerOf: () => ({ ...UNRECORDED, requestId: 'none' }),
      now: () => new Date(),
      ...told,
    },
    localContext(() => Infinity),
    work,
  )
}

/** The logger writes through the global console where POWERTOOLS_DEV says so. */
function logToStandardError(): void {
  process.env.POWERTOOLS_DEV = 'true'
  globalThis.console = new Console({ stdout: process.stderr, stderr: process.stderr })
}

import { StateMachine } from 'aws-local-stepfunctions'
import type { ExitCard } from '../../lambda/exit-card.ts'
import { onlyOf, templateWith } from './synthesized.ts'

export const EXECUTION = {
  Id: 'arn:aws:states:us-east-1:123456789012:execution:CreditExpiry:0b1c',
  Name: '0b1c2d3e-0000-4000-8000-0123456789ab',
}

/** Stands for the function: takes a payload, gives a card or fails as Lambda does. */
export type Job = (payload: unknown) => Promise<unknown>

/** How an execution ended: its output, or its error and cause; and everything it published and asked on the way. */
export type Ended = {
  readonly output: unknown
  readonly failure: { readonly error: string; readonly cause: string } | null
  readonly notices: readonly { readonly Subject: string; readonly Message: string }[]
  readonly payloads: readonly unknown[]
  /** Bytes of the largest input of a state; Step Functions allows 256 kB. */
  readonly largestState: number
}

/** An error as Step Functions gets it from Lambda. */
export function lambdaError(name: string, cause: string): Error {
  return Object.assign(new Error(cause), { name })
}

/** The definition of the synthesized state machine, with ARNs where CloudFormation would put them. */
export const DEFINITION = definition()

function definition(): Record<string, unknown> {
  const { DefinitionString } = onlyOf(templateWith(), 'AWS::StepFunctions::StateMachine').Properties as {
    DefinitionString: { 'Fn::Join': [string, (string | object)[]] }
  }
  const text = DefinitionString['Fn::Join'][1]
    .map((part) => (typeof part === 'string' ? part : standIn(part)))
    .join('')
  return JSON.parse(text) as Record<string, unknown>
}

function standIn(reference: object): string {
  const text = JSON.stringify(reference)
  if (text.includes('AWS::Partition')) return 'aws'
  return text.includes('Topic')
    ? 'arn:aws:sns:us-east-1:123456789012:notices'
    : 'arn:aws:lambda:us-east-1:123456789012:function:job'
}

/**
 * Runs the synthesized state machine, with `job` for the function. Waits and pauses between retries are cut short;
 * everything else is as deployed.
 */
export async function execute(input: unknown, job: Job): Promise<Ended> {
  const payloads: unknown[] = []
  const notices: { Subject: string; Message: string }[] = []
  const machine = new StateMachine(DEFINITION as never)
  const execution = machine.run(input as never, {
    context: { Execution: { ...EXECUTION, Input: input as never } },
    overrides: {
      taskResourceLocalHandlers: {
        'Invoke the job': async (task) => {
          const { Payload } = task as { Payload: unknown }
          payloads.push(Payload)
          return { StatusCode: 200, Payload: (await job(Payload)) as never }
        },
        Publish: (notice) => {
          notices.push(notice as (typeof notices)[number])
          return { MessageId: '1' }
        },
      },
      waitTimeOverrides: { 'Wait for the other invocation': 100 },
      retryIntervalOverrides: { 'Invoke the job': 5, Publish: 5 },
    },
  })
  const largest = largestInput(execution.eventLogs)
  const [ended] = await Promise.allSettled([execution.result])
  const seen = { notices, payloads, largestState: await largest }
  if (ended.status === 'fulfilled') return { output: ended.value, failure: null, ...seen }
  return { output: null, failure: failureOf(ended.reason), ...seen }
}

async function largestInput(events: ReturnType<StateMachine['run']>['eventLogs']): Promise<number> {
  let largest = 0
  for await (const event of events) {
    if ('state' in event) largest = Math.max(largest, Buffer.byteLength(JSON.stringify(event.state.input)))
  }
  return largest
}

function failureOf(error: unknown): { error: string; cause: string } {
  const { cause } = error as { cause?: unknown }
  if (!(cause instanceof Error)) throw error
  return { error: cause.name, cause: cause.message }
}

/** A card as the function gives it, for what a real run does not show at will. */
export function cardWith(change: Partial<ExitCard>): ExitCard {
  const runId = '2026-11-22T06-12-30-123Z-execute-k3j9'
  return {
    runId,
    mode: 'execute',
    instant: '2026-11-22T06:12:30.123Z',
    status: 'complete',
    why: 'every page is done',
    progress: { usersDone: 1, usersTotal: 1, percent: 100, etaSeconds: 0 },
    totals: {
      usersMatched: 1,
      usersWithoutGrants: 0,
      usersProcessed: 1,
      usersLeftAlone: 0,
      usersFailed: 0,
      usersNotReached: 0,
      grantsTargeted: 1,
      expiredMicrodollars: 0,
      expired: '$0.00',
      duePaidMicrodollars: 0,
      duePaid: '$0.00',
      usersCorrected: 0,
      correctedMicrodollars: 0,
      corrected: '$0.00',
      outcomes: {},
      flags: {},
    },
    warnings: [],
    logs: {
      users: 's3://b/u',
      mutations: 's3://b/m',
      errors: 's3://b/e',
      run: 's3://b/r',
      console: 'https://example.com',
    },
    next: { text: 'go on with this run', payload: { resume: runId } },
    ...change,
  }
}

import { StateMachine } from 'aws-local-stepfunctions'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { EVERYTHING, onlyOf, templateWith } from '../synthesized.ts'

export const EXECUTION = {
  Id: 'arn:aws:states:us-east-1:123456789012:execution:CreditExpiry:0b1c',
  Name: '0b1c2d3e-0000-4000-8000-0123456789ab',
}

/** Which of the two functions an invocation went to. */
export type Invoked = 'job' | 'preview'

/** Takes the place of the functions: takes a payload, gives an answer or fails as Lambda does. */
export type Job = (payload: unknown, invoked: Invoked) => Promise<unknown>

/** How an execution ended: its output, or its error and cause; and everything that it published and sent. */
export type Ended = {
  readonly output: unknown
  readonly failure: { readonly error: string; readonly cause: string } | null
  readonly notices: readonly { readonly Subject: string; readonly Message: string }[]
  readonly payloads: readonly unknown[]
  readonly invoked: readonly Invoked[]
  /** What the functions see as `context.clientContext`, one for each payload. */
  readonly clientContexts: readonly unknown[]
  /** Bytes of the largest input of a state; Step Functions allows 256 KB. */
  readonly largestState: number
}

/** An error as Step Functions gets it from Lambda. */
export function lambdaError(name: string, cause: string): Error {
  return Object.assign(new Error(cause), { name })
}

/** The definition of the synthesized state machine, with ARNs where CloudFormation would put them. */
export const DEFINITION = definitionOf(templateWith(EVERYTHING))
export const DEFINITION_WITHOUT_EXECUTES = definitionOf(templateWith())

function definitionOf(template: ReturnType<typeof templateWith>): Record<string, unknown> {
  const { DefinitionString } = onlyOf(template, 'AWS::StepFunctions::StateMachine').Properties as {
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
  if (text.includes('Topic')) return 'arn:aws:sns:us-east-1:123456789012:notices'
  const name = text.includes('PreviewLive') ? 'preview:live' : 'job:live'
  return `arn:aws:lambda:us-east-1:123456789012:function:${name}`
}

/**
 * Runs the synthesized state machine, with `job` for both functions. Waits and pauses between retries are cut
 * short; everything else is as deployed.
 */
export async function execute(input: unknown, job: Job, definition = DEFINITION): Promise<Ended> {
  const sent: { payload: unknown; invoked: Invoked; clientContext: unknown }[] = []
  const notices: { Subject: string; Message: string }[] = []
  const machine = machineOf(definition)
  const invoke = (invoked: Invoked) => async (task: unknown) => {
    const { Payload, ClientContext, FunctionName } = task as Record<string, string> & { Payload: unknown }
    if (FunctionName?.endsWith(`${invoked}:live`) !== true) throw new Error(`Invoked ${FunctionName}.`)
    const clientContext: unknown = JSON.parse(Buffer.from(ClientContext ?? '', 'base64').toString())
    sent.push({ payload: Payload, invoked, clientContext })
    return { StatusCode: 200, Payload: (await job(Payload, invoked)) as never }
  }
  const execution = machine.run(input as never, {
    context: { Execution: { ...EXECUTION, Input: input as never } },
    overrides: {
      taskResourceLocalHandlers: {
        'Invoke the job function': invoke('job'),
        'Invoke the preview function': invoke('preview'),
        Publish: (notice) => {
          notices.push(notice as (typeof notices)[number])
          return { MessageId: '1' }
        },
      },
      waitTimeOverrides: { 'Wait for the other invocation': 100 },
      retryIntervalOverrides: { 'Invoke the job function': 5, 'Invoke the preview function': 5, Publish: 5 },
    },
  })
  const largest = largestInput(execution.eventLogs)
  const [ended] = await Promise.allSettled([execution.result])
  const seen = {
    notices,
    payloads: sent.map(({ payload }) => payload),
    invoked: sent.map(({ invoked }) => invoked),
    clientContexts: sent.map(({ clientContext }) => clientContext),
    largestState: await largest,
  }
  if (ended.status === 'fulfilled') return { output: ended.value, failure: null, ...seen }
  return { output: null, failure: failureOf(ended.reason), ...seen }
}

/** One machine for each definition: its validation takes longer than a whole execution. */
const machines = new Map<object, StateMachine>()

function machineOf(definition: object): StateMachine {
  const machine = machines.get(definition) ?? new StateMachine(definition as never)
  machines.set(definition, machine)
  return machine
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
    asked: { by: 'a test', via: 'test', reason: null, plan: null, payload: {} },
    domains: ['kilo.ai'],
    softwareVersion: '1.2.3',
    byCategory: [],
    sincePrevious: null,
    sinceExecuted: null,
    rolledBackBy: [],
    usersRolledBack: 0,
    rollsBack: null,
    progress: { usersDone: 1, usersTotal: 1, percent: 100, etaSeconds: 0 },
    totals: {
      usersMatched: 1,
      usersWithoutGrants: 0,
      usersProcessed: 1,
      usersSkipped: 0,
      usersFailed: 0,
      usersNotReached: 0,
      grantsTargeted: 1,
      matchedFaceValueMicrodollars: 0,
      matchedFaceValue: '$0.00',
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
      report: 's3://b/r/report.html',
      console: {
        users: 'https://example.com/u',
        mutations: 'https://example.com/m',
        errors: 'https://example.com/e',
        run: 'https://example.com/r',
      },
    },
    next: { text: 'resume this run', payload: { resume: runId } },
    ...change,
  }
}

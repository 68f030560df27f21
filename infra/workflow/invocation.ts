import { Duration } from 'aws-cdk-lib'
import type { IFunction } from 'aws-cdk-lib/aws-lambda'
import {
  Choice,
  Condition,
  type IChainable,
  JitterType,
  JsonPath,
  Pass,
  TaskInput,
  Timeout,
} from 'aws-cdk-lib/aws-stepfunctions'
import { LambdaInvoke } from 'aws-cdk-lib/aws-stepfunctions-tasks'
import type { Construct } from 'constructs'
import { FINAL_ERRORS } from '../../lambda/constants.ts'
import type { Functions } from '../functions/functions.ts'
import { anyField, textNames } from './envelope.ts'

/** An invocation has 15 minutes. */
const LONGEST_TURN = Duration.minutes(16)

/** Who started the invocation, for the run's records; in Node it arrives as `context.clientContext`. */
const CLIENT_CONTEXT = JsonPath.base64Encode(JsonPath.jsonToString(JsonPath.objectAt('$.client')))

/**
 * One turn: the payload in `exchange` goes to the function that it is for, and the answer takes its place.
 */
export function addInvocation(
  scope: Construct,
  { job, preview }: Functions,
  failed: Pass,
): { readonly start: IChainable; readonly answered: Pass } {
  const answered = new Pass(scope, 'Take the answer', {
    inputPath: '$.exchange.answer',
    resultPath: '$.exchange',
  })
  const explained = explainError(scope, failed)
  const task = (id: string, live: IFunction) => {
    const invoke = invocationOf(scope, id, live)
    for (const error of ['States.DataLimitExceeded', 'States.ALL'])
      invoke.addCatch(explained, { errors: [error], resultPath: '$.error' })
    return invoke.next(answered)
  }
  const start = new Choice(scope, 'Does it write?')
    .when(writes(), task('Invoke the job function', job.live))
    .otherwise(task('Invoke the preview function', preview.live))
  return { start, answered }
}

/**
 * What only the job function may do. Of an envelope's `detail` that is JSON text, the names of its fields are
 * all that is known: one that may write goes to the job function, which takes every payload.
 */
function writes(): Condition {
  const at = '$.exchange'
  const writing = ['cancel', 'abandon', 'hold', 'release', 'restart']
  return Condition.or(
    anyField(at, 'execute', (path) => Condition.booleanEquals(path, true)),
    ...writing.map((field) => anyField(at, field)),
    anyField(at, 'resume', (path) => Condition.not(Condition.stringMatches(path, '*-dry-run-*'))),
    ...['execute', 'resume', ...writing].map((field) => textNames(at, field)),
  )
}

function invocationOf(scope: Construct, id: string, live: IFunction): LambdaInvoke {
  const invoke = new LambdaInvoke(scope, id, {
    lambdaFunction: live,
    payload: TaskInput.fromJsonPathAt('$.exchange'),
    clientContext: CLIENT_CONTEXT,
    resultSelector: { 'answer.$': '$.Payload' },
    resultPath: '$.exchange',
    retryOnServiceExceptions: false,
    taskTimeout: Timeout.duration(LONGEST_TURN),
  })
  invoke.addRetry({ errors: Object.values(FINAL_ERRORS), maxAttempts: 0 })
  // Out of memory and time-outs too, which arrive as Lambda.Unknown and Sandbox.Timedout.
  invoke.addRetry({
    errors: ['States.ALL'],
    interval: Duration.seconds(10),
    backoffRate: 2,
    maxDelay: Duration.minutes(5),
    maxAttempts: 6,
    jitterStrategy: JitterType.FULL,
  })
  return invoke
}

/** An error of the function comes as JSON in the cause; others as a text, or without any. */
function explainError(scope: Construct, next: Pass): IChainable {
  const failure = (id: string, parameters: Record<string, unknown>) => {
    const pass = new Pass(scope, id, { parameters: { failure: parameters } })
    pass.next(next)
    return pass
  }
  const parse = new Pass(scope, 'Parse the error', {
    parameters: { 'error.$': '$.error.Error', 'parsed.$': 'States.StringToJson($.error.Cause)' },
  })
  parse.next(failure('Take its message', { 'error.$': '$.error', 'why.$': '$.parsed.errorMessage' }))
  const tooLarge = failure('Answer too large', {
    error: 'AnswerTooLarge',
    why:
      'the answer is larger than a state of a workflow may be (256 KB). What was asked may have been done all ' +
      'the same. Send {"status": "latest"} to the preview function first: it shows the latest run. If that ' +
      'is not the run that was asked for, or the payload only asks something, send the payload to the ' +
      'function itself',
  })
  const hasCause = Condition.isPresent('$.error.Cause')
  const ofTheFunction = Condition.stringMatches('$.error.Cause', '{"errorType":*"errorMessage":*}')
  return new Choice(scope, 'What does the error say?')
    .when(Condition.stringEquals('$.error.Error', 'States.DataLimitExceeded'), tooLarge)
    .when(Condition.and(hasCause, ofTheFunction), parse)
    .when(hasCause, failure('Take its cause', { 'error.$': '$.error.Error', 'why.$': '$.error.Cause' }))
    .otherwise(failure('Take its name', { 'error.$': '$.error.Error', why: 'no cause was given' }))
}

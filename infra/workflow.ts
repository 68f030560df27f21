import { Duration, RemovalPolicy } from 'aws-cdk-lib'
import type { IFunction } from 'aws-cdk-lib/aws-lambda'
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs'
import {
  Choice,
  Condition,
  DefinitionBody,
  Fail,
  type IChainable,
  JitterType,
  JsonPath,
  LogLevel,
  Pass,
  StateMachine,
  Succeed,
  TaskInput,
  Timeout,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions'
import { LambdaInvoke, SnsPublish } from 'aws-cdk-lib/aws-stepfunctions-tasks'
import { Construct } from 'constructs'
import { FINAL_ERRORS } from '../lambda/constants.ts'
import { accept, arnInFinding } from './accepted.ts'
import { addAlarm, type AlarmPlace } from './alarm.ts'
import { sumOf } from './metrics.ts'
import { CARD_NOTICE, FAILURE_NOTICE } from './notice-text.ts'
import type { Notices } from './notices.ts'

/** Bounds of one execution: turns of at most 16 minutes, or of one minute while another invocation is at work. */
const TURNS = 200
const BUSY_WAIT = Duration.minutes(1)
const LONGEST_TURN = Duration.minutes(16)
const LONGEST = Duration.days(3)

const STATUS = '$.answer.card.status'

type WorkflowParts = {
  readonly job: IFunction
  readonly notices: Notices
  readonly logRetentionDays: RetentionDays
  readonly alarms: AlarmPlace
}

/**
 * Invokes the job until its run is closed, and publishes how it ended. Takes the same payloads as the function, and
 * works on the same run: one can finish what the other began.
 */
export class Workflow extends Construct {
  readonly stateMachine: StateMachine

  constructor(scope: Construct, id: string, { job, notices, logRetentionDays, alarms }: WorkflowParts) {
    super(scope, id)
    this.stateMachine = new StateMachine(this, 'StateMachine', {
      comment: 'Invokes the credit expiry job until its run is closed, and publishes how it ended',
      definitionBody: DefinitionBody.fromChainable(this.definition(job, notices)),
      timeout: LONGEST,
      tracingEnabled: true,
      logs: {
        destination: new LogGroup(this, 'Logs', {
          retention: logRetentionDays,
          removalPolicy: RemovalPolicy.RETAIN,
        }),
        level: LogLevel.ALL,
        includeExecutionData: false,
      },
    })
    notices.allow('Workflow', this.stateMachine)
    this.acceptFindings(job)
    this.alarmOnFailures(alarms)
  }

  private definition(job: IFunction, notices: Notices): IChainable {
    const invoke = this.invoke(job)
    const publish = this.publishAndEnd(notices)
    const goOn = new Pass(this, 'Go on', {
      comment: 'Payloads to go on with stand in the exit card',
      parameters: {
        'request.$': '$.request',
        'payload.$': '$.answer.card.next.payload',
        'turn.$': 'States.MathAdd($.turn, 1)',
      },
    })
    goOn.next(invoke)
    const wait = new Wait(this, 'Wait for the other invocation', { time: WaitTime.duration(BUSY_WAIT) })
    wait.next(goOn)
    // What is said replaces what was known: a payload can be large, and a state may hold 256 kB.
    const sayCard = new Pass(this, 'Say how it ended', {
      parameters: { notice: CARD_NOTICE, 'card.$': '$.answer.card' },
    })
    sayCard.next(publish)
    const sayStatus = new Pass(this, 'Say how it stands', {
      parameters: { notice: CARD_NOTICE, 'card.$': '$.answer.card', onlyAsked: true },
    })
    sayStatus.next(publish)
    const sayFailure = new Pass(this, 'Say what went wrong', {
      parameters: { notice: FAILURE_NOTICE, 'failure.$': '$.failure' },
    })
    sayFailure.next(publish)
    const tooManyTurns = this.failure('Too many turns', {
      outcome: 'TooManyTurns',
      'why.$': `States.Format('the run {} is still {} after {} turns', $.answer.card.runId, ${STATUS}, $.turn)`,
    })
    tooManyTurns.next(sayFailure)

    const open = Condition.or(
      Condition.stringEquals(STATUS, 'incomplete'),
      Condition.stringEquals(STATUS, 'busy'),
    )
    const howDidItEnd = new Choice(this, 'Is the run closed?')
      .when(Condition.isPresent('$.request.status'), sayStatus)
      .when(Condition.and(open, Condition.numberGreaterThanEquals('$.turn', TURNS)), tooManyTurns)
      .when(Condition.stringEquals(STATUS, 'incomplete'), goOn)
      .when(Condition.stringEquals(STATUS, 'busy'), wait)
      .otherwise(sayCard)
    invoke.addCatch(this.explainError(sayFailure), { errors: ['States.ALL'], resultPath: '$.error' })
    invoke.next(howDidItEnd)
    return this.nameTheRequest(invoke)
  }

  /**
   * A retry after a lost answer must not open a second run: the execution's name goes along as the request key, where
   * there is no key yet and the payload is one that can have one.
   */
  private nameTheRequest(invoke: LambdaInvoke): IChainable {
    const remember = new Pass(this, 'Remember the request', {
      parameters: {
        'request.$': '$',
        'payload.$': '$',
        key: { 'requestKey.$': '$$.Execution.Name' },
        turn: 1,
      },
    })
    const name = new Pass(this, 'Name the request', {
      parameters: {
        'request.$': '$.request',
        'payload.$': 'States.JsonMerge($.request, $.key, false)',
        'turn.$': '$.turn',
      },
    })
    name.next(invoke)
    const named = ['requestKey', 'resume', 'cancel', 'status'].map((field) =>
      Condition.isPresent(`$.request.${field}`),
    )
    return remember.next(
      new Choice(this, 'Has it a name?').when(Condition.or(...named), invoke).otherwise(name),
    )
  }

  private invoke(job: IFunction): LambdaInvoke {
    const invoke = new LambdaInvoke(this, 'Invoke the job', {
      lambdaFunction: job,
      payload: TaskInput.fromJsonPathAt('$.payload'),
      resultSelector: { 'card.$': '$.Payload' },
      resultPath: '$.answer',
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
  private explainError(next: Pass): IChainable {
    const read = new Pass(this, 'Read the error', {
      parameters: { 'outcome.$': '$.error.Error', 'parsed.$': 'States.StringToJson($.error.Cause)' },
      resultPath: '$.failure',
    })
    read
      .next(
        this.failure('Take its message', {
          'outcome.$': '$.failure.outcome',
          'why.$': '$.failure.parsed.errorMessage',
        }),
      )
      .next(next)
    const asItIs = this.failure('Take its cause', { 'outcome.$': '$.error.Error', 'why.$': '$.error.Cause' })
    asItIs.next(next)
    const silent = this.failure('Take its name', { 'outcome.$': '$.error.Error', why: 'no cause was given' })
    silent.next(next)
    const hasCause = Condition.isPresent('$.error.Cause')
    const ofTheFunction = Condition.stringMatches('$.error.Cause', '{"errorType":*"errorMessage":*}')
    return new Choice(this, 'What does the error say?')
      .when(Condition.and(hasCause, ofTheFunction), read)
      .when(hasCause, asItIs)
      .otherwise(silent)
  }

  private failure(id: string, parameters: Record<string, string>): Pass {
    return new Pass(this, id, { parameters, resultPath: '$.failure' })
  }

  private publishAndEnd({ topic }: Notices): IChainable {
    const publish = new SnsPublish(this, 'Publish', {
      topic,
      subject: JsonPath.stringAt('$.notice.subject'),
      message: TaskInput.fromJsonPathAt('$.notice.message'),
      resultPath: JsonPath.DISCARD,
    })
    publish.addRetry({ errors: ['States.ALL'], maxAttempts: 5, jitterStrategy: JitterType.FULL })
    const done = new Succeed(this, 'Done', { outputPath: '$.card' })
    const failed = new Fail(this, 'Failed', { errorPath: '$.failure.outcome', causePath: '$.failure.why' })
    const endedBadly = new Fail(this, 'Ended badly', { errorPath: '$.card.status', causePath: '$.card.why' })
    const asAsked = Condition.or(
      Condition.isPresent('$.onlyAsked'),
      Condition.stringEquals('$.card.status', 'complete'),
      Condition.stringEquals('$.card.status', 'cancelled'),
    )
    return publish.next(
      new Choice(this, 'As asked?')
        .when(Condition.isPresent('$.failure'), failed)
        .when(asAsked, done)
        .otherwise(endedBadly),
    )
  }

  private alarmOnFailures(alarms: AlarmPlace): void {
    const options = { statistic: 'Sum', period: Duration.minutes(5) }
    const { stateMachine } = this
    const ended = [
      stateMachine.metricFailed(options),
      stateMachine.metricTimedOut(options),
      stateMachine.metricAborted(options),
    ]
    addAlarm(
      this,
      'Failures',
      {
        heading: 'Alarm: workflow failures',
        sentence: 'An execution of the workflow failed, timed out or was aborted.',
        metric: sumOf(ended, 'executions not ended as asked'),
        above: 0,
      },
      alarms,
    )
  }

  private acceptFindings(job: IFunction): void {
    accept(
      this.stateMachine,
      `IAM5[Resource::${arnInFinding(job)}:*]`,
      'CDK lets a workflow invoke every version of its one function; the function has no versions.',
    )
    accept(
      this.stateMachine,
      'IAM5[Resource::*]',
      'Log delivery and X-Ray, the only statements on every resource, have no resources of their own to name.',
    )
  }
}

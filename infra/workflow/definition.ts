import { Duration } from 'aws-cdk-lib'
import type { ITopic } from 'aws-cdk-lib/aws-sns'
import {
  Choice,
  Condition,
  Fail,
  type IChainable,
  JitterType,
  JsonPath,
  Pass,
  Succeed,
  TaskInput,
  Wait,
  WaitTime,
} from 'aws-cdk-lib/aws-stepfunctions'
import { SnsPublish } from 'aws-cdk-lib/aws-stepfunctions-tasks'
import { Construct } from 'constructs'
import { COMPARABLE, ruleInWords, withinLimits } from './auto-execute.ts'
import type { Functions } from '../functions/functions.ts'
import {
  ANSWER_NOTICE,
  approvalNotice,
  CARD_NOTICE,
  FAILURE_NOTICE,
  HELD_NOTICE,
  type NoticeFields,
  RESULT_NOTICE,
} from '../alarms/notice-text.ts'
import type { ScheduledExecute } from '../settings.ts'
import { addInvocation } from './invocation.ts'
import { takePayload } from './payload.ts'

/**
 * Bounds of one execution: turns of at most 16 minutes, or of one minute while another invocation holds the
 * lease.
 */
const TURNS = 200
const BUSY_WAIT = Duration.minutes(1)

const STATUS = '$.exchange.status'
/** What is said of a run that is open after the last turn. */
const STILL_OPEN = [
  "'run {} is still {} after {} turns; next: {}'",
  '$.exchange.runId',
  STATUS,
  '$.turn',
  'States.JsonToString($.exchange.next)',
]
const statusIs = (status: string) => Condition.stringEquals(STATUS, status)

type DefinitionParts = {
  readonly functions: Functions
  readonly topic: ITopic
  readonly scheduledExecute: ScheduledExecute | null
}

/**
 * The states of the workflow. Between them goes `{exchange, turn, scheduled, question, client}`. `exchange`
 * holds the payload on its way to a function, and then the answer in its place: a payload may hold 80 KB of
 * ids, the card repeats them up to twice, the notice once more, and a state is at most 256 KB. `scheduled` is
 * set until a scheduled execute's plan has been compared, `question` when a card was asked for and is not to be
 * acted on; `client` tells the function which execution invokes it.
 */
export class WorkflowDefinition extends Construct {
  readonly definition: IChainable
  private readonly publish: IChainable

  constructor(scope: Construct, id: string, { functions, topic, scheduledExecute }: DefinitionParts) {
    super(scope, id)
    this.publish = this.publishAndEnd(topic)
    const failed = this.notice('Write the failure notice', FAILURE_NOTICE, { 'failure.$': '$.failure' })
    const { start, answered } = addInvocation(this, functions, failed)
    answered.next(this.decide(start, failed, scheduledExecute))
    this.definition = takePayload(this, start, scheduledExecute !== null)
  }

  /** What follows from an answer. */
  private decide(invoke: IChainable, failed: Pass, scheduledExecute: ScheduledExecute | null): Choice {
    const resume = new Pass(this, 'Take the next payload', {
      parameters: {
        'exchange.$': '$.exchange.next.payload',
        'turn.$': 'States.MathAdd($.turn, 1)',
        'scheduled.$': '$.scheduled',
        question: false,
        'client.$': '$.client',
      },
    })
    resume.next(invoke)
    const wait = new Wait(this, 'Wait for the other invocation', {
      time: WaitTime.duration(BUSY_WAIT),
    })
    wait.next(resume)
    const tooManyTurns = new Pass(this, 'Too many turns', {
      parameters: {
        failure: {
          error: 'TooManyTurns',
          'why.$': `States.Format(${STILL_OPEN.join(', ')})`,
        },
      },
    })
    tooManyTurns.next(failed)

    const open = Condition.or(statusIs('incomplete'), statusIs('busy'))
    const asAsked = { asAsked: true }
    const choice = new Choice(this, 'What is the answer?')
      .when(
        Condition.and(
          Condition.isPresent('$.exchange.answer'),
          Condition.isPresent('$.exchange.result'),
          Condition.isString('$.exchange.result'),
        ),
        this.notice('Write the result notice', RESULT_NOTICE, asAsked),
      )
      .when(
        Condition.isPresent('$.exchange.answer'),
        this.notice('Write the answer notice', ANSWER_NOTICE, asAsked),
      )
      .when(
        Condition.booleanEquals('$.question', true),
        this.notice('Write the status notice', CARD_NOTICE, asAsked),
      )
      .when(statusIs('held'), this.notice('Write the hold notice', HELD_NOTICE, asAsked))
      .when(Condition.and(open, Condition.numberGreaterThanEquals('$.turn', TURNS)), tooManyTurns)
      .when(statusIs('incomplete'), resume)
      .when(statusIs('busy'), wait)
    if (scheduledExecute) {
      choice.when(
        Condition.and(Condition.booleanEquals('$.scheduled', true), statusIs('complete')),
        this.compare(scheduledExecute, invoke),
      )
    }
    return choice.otherwise(this.notice('Write the notice', CARD_NOTICE, {}))
  }

  /** A scheduled execute's dry run is complete: its plan is executed, or a person is asked. */
  private compare(scheduledExecute: ScheduledExecute, invoke: IChainable): Choice {
    const { limits } = scheduledExecute
    const rule = ruleInWords(scheduledExecute)
    const execute = new Pass(this, 'Execute the plan', {
      parameters: {
        exchange: { execute: true, 'plan.$': '$.exchange.runId', limits, reason: 'scheduled execute' },
        turn: 1,
        scheduled: false,
        question: false,
        'client.$': '$.client',
      },
    })
    execute.next(invoke)
    const ask = (id: string, compared: boolean) =>
      this.notice(id, approvalNotice(rule, compared), { asAsked: true })
    return new Choice(this, 'Is what is new within the limits?')
      .when(Condition.not(COMPARABLE), ask('Ask for approval of a first plan', false))
      .when(withinLimits(scheduledExecute), execute)
      .otherwise(ask('Ask for approval', true))
  }

  /** A notice takes the place of everything that the state held but the execution's output. */
  private notice(id: string, notice: NoticeFields, more: Record<string, unknown>): Pass {
    const output = 'failure.$' in more ? {} : { 'output.$': '$.exchange' }
    const pass = new Pass(this, id, { parameters: { notice, ...output, ...more } })
    pass.next(this.publish)
    return pass
  }

  private publishAndEnd(topic: ITopic): IChainable {
    const publish = new SnsPublish(this, 'Publish', {
      topic,
      subject: JsonPath.stringAt('$.notice.subject'),
      message: TaskInput.fromJsonPathAt('$.notice.message'),
      resultPath: JsonPath.DISCARD,
    })
    publish.addRetry({ errors: ['States.ALL'], maxAttempts: 5, jitterStrategy: JitterType.FULL })
    const ended = (id: string, from: string, error: string) =>
      new Fail(this, id, { errorPath: `${from}.${error}`, causePath: `${from}.why` })
    const asAsked = Condition.or(
      Condition.isPresent('$.asAsked'),
      Condition.stringEquals('$.output.status', 'complete'),
      Condition.stringEquals('$.output.status', 'cancelled'),
    )
    return publish.next(
      new Choice(this, 'Did it end as asked?')
        .when(Condition.isPresent('$.failure'), ended('Failed', '$.failure', 'error'))
        .when(asAsked, new Succeed(this, 'Done', { outputPath: '$.output' }))
        .otherwise(ended('Ended otherwise', '$.output', 'status')),
    )
  }
}

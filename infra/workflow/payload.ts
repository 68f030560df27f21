import { Choice, Condition, type IChainable, Pass } from 'aws-cdk-lib/aws-stepfunctions'
import type { Construct } from 'constructs'
import { anyField, textNames } from './envelope.ts'

/** Payloads that have a name of their own already, or take no request key. */
const WITHOUT_KEY = [
  'requestKey',
  'resume',
  'cancel',
  'abandon',
  'hold',
  'release',
  'check',
  'history',
  'verify',
  'diff',
  'report',
]

const START = {
  turn: 1,
  scheduled: false,
  question: false,
  client: { custom: { 'workflowExecution.$': '$$.Execution.Id' } },
}

/**
 * From the execution's input to the first payload. A retry after a lost answer must not open a second run:
 * where a payload has no request key and can have one, it gets one made of the execution's name, hashed,
 * since a name may hold characters and a length that a key may not. Beside an envelope's `detail` it counts where
 * the payload inside has none.
 */
export function takePayload(scope: Construct, invoke: IChainable, scheduledExecutes: boolean): IChainable {
  const pass = (id: string, parameters: Record<string, unknown>) => new Pass(scope, id, { parameters })
  const asItIs = pass('Take the payload', { 'exchange.$': '$', ...START })
  const question = pass('Take the question', { 'exchange.$': '$', ...START, question: true })
  const makeKey = pass('Make a request key', {
    'payload.$': '$',
    key: { 'requestKey.$': "States.Format('workflow-{}', States.Hash($$.Execution.Name, 'SHA-256'))" },
  })
  const addKey = pass('Add the request key', {
    'exchange.$': 'States.JsonMerge($.payload, $.key, false)',
    ...START,
  })
  for (const last of [asItIs, question, makeKey.next(addKey)]) last.next(invoke)

  const asksForCard = Condition.or(anyField('$', 'status'), textNames('$', 'status'))
  const choice = new Choice(scope, 'What is asked?').when(asksForCard, question)
  if (scheduledExecutes) {
    const plan = pass('Make the plan of a scheduled execute', {
      exchange: {
        'requestKey.$': "States.Format('{}-plan', $.scheduledExecute.requestKey)",
        reason: 'plan of a scheduled execute',
      },
      ...START,
      scheduled: true,
    })
    plan.next(invoke)
    choice.when(Condition.isPresent('$.scheduledExecute'), plan)
  }
  return choice
    .when(Condition.or(...WITHOUT_KEY.map((field) => Condition.isPresent(`$.${field}`))), asItIs)
    .otherwise(makeKey)
}

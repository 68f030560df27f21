/**
 * The words of a notice, as fields for a Pass state: a text for people, put together by Step Functions itself so
 * that it is said of every end, also of a run whose function no longer answers.
 */
export type NoticeFields = { readonly 'subject.$': string; readonly 'message.$': string }

const CARD = '$.answer.card'

/** For an end with an exit card. */
export const CARD_NOTICE: NoticeFields = {
  'subject.$': `States.Format('Credit expiry: {} {}', ${CARD}.mode, ${CARD}.status)`,
  'message.$': format([
    ['The run {} is {}: {}.', `${CARD}.runId`, `${CARD}.status`, `${CARD}.why`],
    [''],
    [
      'Users: {} matched; {} without grants, {} processed, {} left alone, {} failed, {} not reached',
      ...[
        'usersMatched',
        'usersWithoutGrants',
        'usersProcessed',
        'usersLeftAlone',
        'usersFailed',
        'usersNotReached',
      ].map(total),
    ],
    ['By outcome: {}', json(total('outcomes'))],
    ['Flags: {}', json(total('flags'))],
    ['Grants targeted: {}', total('grantsTargeted')],
    ['Expired: {} of free credit, {} of paid credit that was due', total('expired'), total('duePaid')],
    ['Corrected to zero: {} for {} users', total('corrected'), total('usersCorrected')],
    ['Warnings: {}', json(`${CARD}.warnings`)],
    [''],
    ['Logs: {}', `${CARD}.logs.users`],
    ['      {}', `${CARD}.logs.mutations`],
    ['      {}', `${CARD}.logs.errors`],
    ['      {}', `${CARD}.logs.console`],
    ['Next: {}', json(`${CARD}.next`)],
    ['Workflow execution: {}', '$$.Execution.Id'],
  ]),
}

/** For an end without a card: an error, or a run that would not end. */
export const FAILURE_NOTICE: NoticeFields = {
  'subject.$': "States.Format('Credit expiry: {}', $.failure.outcome)",
  'message.$': format([
    ['The workflow has ended with {}: {}', '$.failure.outcome', '$.failure.why'],
    [''],
    ['It was asked: {}', json('$.request')],
    ['The last payload, which can be sent again once the cause is mended: {}', json('$.payload')],
    ['Workflow execution: {}', '$$.Execution.Id'],
  ]),
}

function total(name: string): string {
  return `${CARD}.totals.${name}`
}

function json(path: string): string {
  return `States.JsonToString(${path})`
}

function format(lines: readonly (readonly [string, ...string[]])[]): string {
  const template = lines.map(([text]) => text).join('\n')
  const values = lines.flatMap(([, ...paths]) => paths)
  return `States.Format('${template}', ${values.join(', ')})`
}

/**
 * The words of a notice, as fields for a Pass state: Step Functions puts them together itself, so that every
 * end is published, also that of a run whose function no longer answers. A path that is missing would end the
 * execution without a notice: only fields that 3-contract promises are named one by one.
 */
export type NoticeFields = ({ readonly 'subject.$': string } | { readonly subject: string }) & {
  readonly 'message.$': string
}

/** Where a state holds the function's answer. */
const CARD = '$.exchange'

const NEXT: Line = ['Next: {}', json(`${CARD}.next`)]
const EXECUTION: Line = ['Workflow execution: {}', '$$.Execution.Id']

/** As JSON where a card may have null or a list. */
const ASKED_LINES: readonly Line[] = [
  ['Asked by: {} ({})', `${CARD}.asked.by`, `${CARD}.asked.via`],
  ['Reason: {}', json(`${CARD}.asked.reason`)],
  ['Plan: {}', json(`${CARD}.asked.plan`)],
  ['Rolls back: {}', json(`${CARD}.rollsBack`)],
  ['Rolled back by: {}', json(`${CARD}.rolledBackBy`)],
  ['Domains: {}', json(`${CARD}.domains`)],
  ['Software version: {}', `${CARD}.softwareVersion`],
]

const CARD_LINES: readonly Line[] = [
  [
    'Users: {} matched, {} processed, {} failed',
    total('usersMatched'),
    total('usersProcessed'),
    total('usersFailed'),
  ],
  [
    'Expired: {}. Corrected to zero: {} for {} users',
    total('expired'),
    total('corrected'),
    total('usersCorrected'),
  ],
  ['Warnings: {}', json(`${CARD}.warnings`)],
  ['All totals: {}', json(`${CARD}.totals`)],
  [''],
  ...ASKED_LINES,
  [''],
  ['Logs: {}', json(`${CARD}.logs`)],
]

/** For an end with an exit card. */
export const CARD_NOTICE: NoticeFields = {
  'subject.$': `States.Format('Credit expiry: {} {}', ${CARD}.mode, ${CARD}.status)`,
  'message.$': format([
    ['The run {} is {}: {}.', `${CARD}.runId`, `${CARD}.status`, `${CARD}.why`],
    [''],
    ...CARD_LINES,
    NEXT,
    EXECUTION,
  ]),
}

/** Of an answer whose result is a word: `verified`, `differences`, `passed`, … A weekly verify is read here. */
export const RESULT_NOTICE: NoticeFields = {
  'subject.$': `States.Format('Credit expiry: answer to {}: {}', ${CARD}.answer, ${CARD}.result)`,
  'message.$': format([
    ['The result of {} is: {}.', `${CARD}.answer`, `${CARD}.result`],
    ['The whole answer is the output of this workflow execution.'],
    NEXT,
    EXECUTION,
  ]),
}

/** Of any other answer. Its result can be large; it is the execution's output. */
export const ANSWER_NOTICE: NoticeFields = {
  'subject.$': `States.Format('Credit expiry: answer to {}', ${CARD}.answer)`,
  'message.$': format([['The result is the output of this workflow execution.'], NEXT, EXECUTION]),
}

/** For a run that a hold keeps from writing. */
export const HELD_NOTICE: NoticeFields = {
  subject: 'Credit expiry: held',
  'message.$': format([
    ['A hold keeps writing runs from opening and from continuing: {}', `${CARD}.why`],
    ['Nothing more is done until the hold is released; then send the next payload.'],
    [''],
    ...ASKED_LINES,
    [''],
    NEXT,
    EXECUTION,
  ]),
}

/**
 * For a scheduled execute whose plan a person must approve; `rule` says what is executed without approval.
 */
export function approvalNotice(rule: string, compared: boolean): NoticeFields {
  return {
    subject: 'Credit expiry: needs approval',
    'message.$': format([
      [
        'The scheduled execute needs approval. Nothing was written. Its plan is the dry run {}.',
        `${CARD}.runId`,
      ],
      compared
        ? ['New since the last executed plan: {}', json(`${CARD}.sinceExecuted`)]
        : ['No executed plan to compare it with.'],
      [rule],
      [''],
      ...CARD_LINES,
      ['To execute exactly this plan, send the next payload to the workflow.'],
      NEXT,
      EXECUTION,
    ]),
  }
}

/** For an end without a card: an error, or a run that is still open after the last turn. */
export const FAILURE_NOTICE: NoticeFields = {
  'subject.$': "States.Format('Credit expiry: {}', $.failure.error)",
  'message.$': format([
    ['The workflow ended with {}: {}', '$.failure.error', '$.failure.why'],
    [''],
    ['The status of the latest run shows whether it is open, and the payload that resumes it.'],
    ['The input of this execution can be sent again once the cause is fixed.'],
    EXECUTION,
  ]),
}

type Line = readonly [string, ...string[]]

function total(name: string): string {
  return `${CARD}.totals.${name}`
}

function json(path: string): string {
  return `States.JsonToString(${path})`
}

function format(lines: readonly Line[]): string {
  const template = lines.map(([text]) => text).join('\n')
  const values = lines.flatMap(([, ...paths]) => paths)
  return `States.Format('${template}', ${values.join(', ')})`
}

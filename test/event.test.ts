import { describe, expect, test } from 'vitest'
import { eventSchema, type Payload } from '../lambda/event.ts'
import { invokeJob } from './support/job.ts'

/** Servers that cannot be reached: an event that passes fails with another error than InvalidEvent. */
const NOWHERE = {
  databaseUrl: 'postgres://nobody@127.0.0.1:1/nowhere',
  bucket: { endpoint: 'http://127.0.0.1:1', bucket: 'nowhere' },
  env: { AWS_MAX_ATTEMPTS: '1' },
}
const RUN = '2026-11-22T06-12-30-123Z-execute-k3j9'
const DRY = '2026-11-22T06-12-30-123Z-dry-run-k3j9'

async function refusal(event: unknown): Promise<{ name: string; message: string }> {
  return invokeJob(NOWHERE, event).then(
    () => ({ name: 'no refusal', message: '' }),
    (error: unknown) =>
      error instanceof Error
        ? { name: error.name, message: error.message }
        : { name: 'unknown', message: String(error) },
  )
}

/** An EventBridge event with this detail. */
const enveloped = (detail: unknown, beside: object = {}): object => ({
  version: '0',
  id: '6a7e8feb-b491-4cf7-a9f1-bf3703467718',
  'detail-type': 'Scheduled Event',
  source: 'aws.scheduler',
  account: '123456789012',
  time: '2026-11-22T06:00:00Z',
  region: 'eu-central-1',
  resources: [],
  detail,
  ...beside,
})

/** So many ids of a kilobyte each. */
function manyIds(count: number): string[] {
  return Array.from({ length: count }, (_, n) => `${n}`.padEnd(1035, 'x'))
}

const dryRun = { kind: 'run', mode: 'dry-run' }
const execute = { kind: 'run', mode: 'execute' }

describe('an event is understood', () => {
  test.each<[unknown, object]>([
    [{}, dryRun],
    [null, dryRun],
    [undefined, dryRun],
    ['', dryRun],
    [{ execute: false }, dryRun],
    [{ execute: true }, execute],
    [
      {
        execute: true,
        domains: ['Kilo.AI'],
        categories: ['promo', 'kilo-pass-*'],
        userIds: ['a', 'b@kilo.ai'],
      },
      { ...execute, domains: ['kilo.ai'], categories: ['promo', 'kilo-pass-*'], userIds: ['a', 'b@kilo.ai'] },
    ],
    [
      { exceptUserIds: ['a'], gentle: true, by: ' Ada ', reason: 'why', concurrency: 1 },
      { ...dryRun, exceptUserIds: ['a'], gentle: true, by: 'Ada', reason: 'why', concurrency: 1 },
    ],
    [
      {
        execute: true,
        limits: { usd: 0, correctionsUsd: 0.5 },
        batchSize: 2000,
        requestKey: 'k',
        restart: RUN,
      },
      { ...execute, limits: { usd: 0, correctionsUsd: 0.5 }, batchSize: 2000, requestKey: 'k', restart: RUN },
    ],
    [
      { execute: true, plan: DRY, concurrency: 16 },
      { ...execute, plan: DRY, concurrency: 16 },
    ],
    [
      { resume: 'latest', by: 'Ada' },
      { kind: 'resume', runId: 'latest', by: 'Ada' },
    ],
    [
      { resume: RUN, intentsRestored: true },
      { kind: 'resume', runId: RUN, intentsRestored: true },
    ],
    [
      { cancel: 'latest', reason: 'why' },
      { kind: 'cancel', runId: 'latest', reason: 'why' },
    ],
    [
      { abandon: RUN, reason: 'why' },
      { kind: 'abandon', runId: RUN, reason: 'why' },
    ],
    [
      { hold: 'why', by: 'Ada' },
      { kind: 'hold', reason: 'why', by: 'Ada' },
    ],
    [{ release: 'why' }, { kind: 'release', reason: 'why' }],
    [{ check: true }, { kind: 'check' }],
    [
      { status: 'latest', execute: false },
      { kind: 'status', runId: 'latest' },
    ],
    [
      { history: 'ada@kilo.ai', from: '2028-02-29T23:59:59.123456Z', to: '2028-02' },
      { kind: 'history', user: 'ada@kilo.ai', from: '2028-02-29T23:59:59.123456Z', to: '2028-02' },
    ],
    [
      { history: 'ada@kilo.ai', from: '2026-10', to: '2026-11-22T06:12Z' },
      { kind: 'history', user: 'ada@kilo.ai', from: '2026-10', to: '2026-11-22T06:12Z' },
    ],
    [{ verify: 'latest' }, { kind: 'verify', runId: 'latest' }],
    [{ diff: [DRY, DRY] }, { kind: 'diff', runIds: [DRY, DRY] }],
    [{ report: 'latest' }, { kind: 'report', runId: 'latest' }],
    [{ rollback: 'latest' }, { kind: 'rollback', mode: 'rollback-dry-run', rollback: 'latest' }],
    [
      { rollback: RUN, execute: true, userIds: ['a'], underHold: true, reason: 'why', restart: RUN },
      {
        kind: 'rollback',
        mode: 'rollback',
        rollback: RUN,
        userIds: ['a'],
        underHold: true,
        reason: 'why',
        restart: RUN,
      },
    ],
    [enveloped({ execute: true }), execute],
    [enveloped('{"execute": true}'), execute],
    [enveloped(''), dryRun],
    [enveloped(null), dryRun],
    [enveloped({ execute: true }, { requestKey: 'workflow' }), { ...execute, requestKey: 'workflow' }],
    [enveloped({ requestKey: 'own' }, { requestKey: 'workflow' }), { ...dryRun, requestKey: 'own' }],
    [enveloped({ resume: RUN }, { requestKey: 'workflow' }), { kind: 'resume', runId: RUN }],
  ])('%j', (event, payload) => {
    expect(parsed(event)).toEqual(payload)
  })
})

function parsed(event: unknown): Payload {
  return eventSchema.parse(event)
}

const wrongFields: [unknown, string][] = [
  [{ execute: 'true' }, 'field "execute": must be the boolean true or false, not "true"'],
  [{ execute: 1 }, 'field "execute": must be the boolean true or false, not 1'],
  [{ execute: null }, 'field "execute": must be the boolean'],
  [{ execute: 'false' }, 'field "execute"'],
  [{ domains: 'kilo.ai' }, 'field "domains"'],
  [{ domains: [] }, 'field "domains"'],
  [{ domains: [''] }, 'field "domains[0]"'],
  [{ userIds: [] }, 'field "userIds"'],
  [{ userIds: 'ada' }, 'field "userIds"'],
  [{ userIds: [1] }, 'field "userIds[0]"'],
  [{ userIds: [''] }, 'field "userIds[0]"'],
  [{ userIds: Array.from({ length: 1001 }, (_, n) => `user-${n}`) }, 'field "userIds"'],
  [{ userIds: ['  '] }, 'field "userIds[0]"'],
  [{ userIds: ['a', 'b\0'] }, 'field "userIds[1]"'],
  [{ userIds: ['\ud800'] }, 'field "userIds[0]"'],
  [{ exceptUserIds: [] }, 'field "exceptUserIds": must be a list of 1 to 1000'],
  [
    { userIds: manyIds(45), exceptUserIds: manyIds(45) },
    'field "userIds": all ids of a payload together may take 80 KB, and these take 94 KB',
  ],
  [{ categories: 'promo' }, 'field "categories": must be a list of 1 to 100, not "promo"'],
  [{ categories: ['*promo'] }, 'field "categories[0]": must be a credit category'],
  [{ categories: ['a*b'] }, 'field "categories[0]": must be a credit category'],
  [{ gentle: 'yes' }, 'field "gentle": must be the boolean true or false, not "yes"'],
  [{ by: '' }, 'field "by"'],
  [{ hold: '' }, 'field "hold"'],
  [{ hold: true }, 'field "hold": must be a string'],
  [{ release: ' ' }, 'field "release"'],
  [{ check: false }, 'field "check": must be the boolean true, not false'],
  [{ check: 'true' }, 'field "check"'],
  [{ history: '' }, 'field "history"'],
  [{ history: 'a', from: 'October' }, 'field "from": must be a time like "2026-10"'],
  [{ history: 'a', to: '2026-10-01T06:00:00' }, 'field "to": must be a time like'],
  [
    { history: 'a', from: '2026-13' },
    'field "from": must be a time that exists, like "2026-10", "2026-10-01" or "2026-10-01T06:00:00Z", not "2026-13"',
  ],
  [{ history: 'a', to: '2026-02-30' }, 'field "to": must be a time that exists, like'],
  [{ history: 'a', to: '2026-02-01T25:00Z' }, 'field "to": must be a time that exists, like'],
  [
    { history: 'a', from: '2026-11', to: '2026-10-31' },
    'field "from": must not be after "to", and 2026-11 is after 2026-10-31. A valid payload: {"history": "<user id or e-mail>", "from": "2026-10", "to": "2027-04"}',
  ],
  [{ diff: [DRY] }, 'field "diff": must be a list of two run ids'],
  [{ diff: DRY }, 'field "diff": must be a list of two run ids'],
  [{ diff: [DRY, 'latest'] }, 'field "diff[1]": must be a run id like'],
  [{ verify: 'newest' }, 'field "verify": must be "latest" or a run id'],
  [{ abandon: 'latest', reason: 'why' }, 'field "abandon": must be a run id like'],
  [{ execute: true, restart: 'latest' }, 'field "restart": must be a run id like'],
  [
    { execute: true, plan: 'latest' },
    'field "plan": must be the id of a dry run, like "2026-11-22T06-12-30-123Z-dry-run-k3j9"',
  ],
  [{ batchSize: 0 }, 'field "batchSize": must be a whole number from 1 to 2000, not 0'],
  [{ batchSize: 2001 }, 'field "batchSize"'],
  [{ batchSize: 1.5 }, 'field "batchSize"'],
  [{ batchSize: '10' }, 'field "batchSize"'],
  [{ concurrency: 0 }, 'field "concurrency"'],
  [{ concurrency: 17 }, 'field "concurrency"'],
  [{ limits: { users: -1 } }, 'field "limits.users"'],
  [{ limits: { users: 1.5 } }, 'field "limits.users"'],
  [{ limits: { usd: '5' } }, 'field "limits.usd"'],
  [{ limits: { usd: null } }, 'field "limits.usd"'],
  [{ limits: { user: 5 } }, 'unknown field "limits.user"'],
  [{ limits: 5 }, 'field "limits"'],
  [{ reason: '' }, 'field "reason"'],
  [{ reason: '  ' }, 'field "reason"'],
  [{ requestKey: 'a/b' }, 'field "requestKey"'],
  [{ requestKey: '../x' }, 'field "requestKey"'],
  [{ status: 'newest' }, 'field "status": must be "latest" or a run id'],
  [{ resume: 'x' }, 'field "resume": must be "latest" or a run id like'],
  [{ resume: `${RUN}/../${RUN}` }, 'field "resume": must be "latest" or a run id like'],
  [{ rollback: true }, 'field "rollback"'],
]

const unknownFields: [unknown, string][] = [
  [{ excute: true }, 'unknown field "excute", did you mean "execute"?'],
  [{ Execute: true }, 'unknown field "Execute", did you mean "execute"?'],
  [{ userids: ['a'] }, 'unknown field "userids", did you mean "userIds"?'],
  [{ batch_size: 5 }, 'unknown field "batch_size", did you mean "batchSize"?'],
  [{ dryRun: true }, 'unknown field "dryRun"'],
  [{ execute: true, force: true }, 'unknown field "force"'],
  [{ limits: { usdd: 5 } }, 'unknown field "limits.usdd", did you mean "usd"?'],
  [{ constructor: { execute: true } }, 'unknown field "constructor"'],
  [{ toString: 1 }, 'unknown field "toString"'],
  [JSON.parse('{"__proto__": {"execute": true}}'), 'unknown field "__proto__"'],
  [JSON.parse('{"limits": {"__proto__": {"usd": 1}}}'), 'unknown field "limits.__proto__"'],
  [enveloped('{"__proto__": {"execute": true}}', { requestKey: 'k' }), 'unknown field "__proto__"'],
]

const wrongTogether: [unknown, string][] = [
  [{ plan: DRY }, 'field "plan": needs "execute": true beside it'],
  [{ execute: false, plan: DRY }, 'field "plan": needs "execute": true beside it'],
  [{ execute: true, plan: DRY, domains: ['kilo.ai'] }, 'field "domains": cannot be combined with "plan"'],
  [{ execute: true, plan: DRY, userIds: ['a'] }, 'field "userIds": cannot be combined with "plan"'],
  [{ execute: true, resume: RUN }, 'field "execute": cannot be combined with "resume"'],
  [{ resume: RUN, batchSize: 5 }, 'field "batchSize": cannot be combined with "resume"'],
  [{ resume: RUN, cancel: RUN }, 'field "cancel": cannot be combined with "resume"'],
  [{ status: 'latest', execute: true }, 'field "execute": cannot be combined with "status"'],
  [{ cancel: RUN, execute: true }, 'field "execute": cannot be combined with "cancel"'],
  [{ rollback: RUN, limits: { users: 5 } }, 'field "limits": cannot be combined with "rollback"'],
  [{ rollback: RUN, domains: ['kilo.ai'] }, 'field "domains": cannot be combined with "rollback"'],
  [{ rollback: RUN, execute: true, plan: DRY }, 'field "plan": cannot be combined with "rollback"'],
  [{ execute: true, plan: DRY, categories: ['promo'] }, 'field "categories": cannot be combined with "plan"'],
  [
    { execute: true, plan: DRY, exceptUserIds: ['a'] },
    'field "exceptUserIds": cannot be combined with "plan"',
  ],
  [{ execute: true, plan: DRY, batchSize: 5 }, 'field "batchSize": cannot be combined with "plan"'],
  [{ rollback: RUN, batchSize: 5 }, 'field "batchSize": cannot be combined with "rollback"'],
  [{ rollback: RUN, exceptUserIds: ['a'] }, 'field "exceptUserIds": cannot be combined with "rollback"'],
  [{ rollback: RUN, underHold: true, reason: 'x' }, 'field "underHold": needs "execute": true beside it'],
  [{ rollback: RUN, execute: true, underHold: true }, 'field "underHold": needs "reason" beside it'],
  [{ rollback: RUN, restart: RUN }, 'field "restart": needs "execute": true beside it'],
  [{ restart: RUN }, 'field "restart": needs "execute": true beside it'],
  [{ execute: true, underHold: true }, 'field "underHold": needs "rollback" and "reason" beside it'],
  [{ underHold: true }, 'field "underHold": needs "rollback", "execute": true and "reason" beside it'],
  [{ intentsRestored: true }, 'field "intentsRestored": needs "resume" beside it'],
  [{ from: '2026-10' }, 'field "from": needs "history" beside it'],
  [{ abandon: RUN }, 'field "abandon": needs "reason" beside it'],
  [{ hold: 'x', reason: 'y' }, 'field "reason": cannot be combined with "hold"'],
  [{ hold: 'x', release: 'y' }, 'field "release": cannot be combined with "hold"'],
  [{ check: true, execute: true }, 'field "execute": cannot be combined with "check"'],
  [{ history: 'a', userIds: ['a'] }, 'field "userIds": cannot be combined with "history"'],
  [{ verify: RUN, requestKey: 'k' }, 'field "requestKey": cannot be combined with "verify"'],
  [{ diff: [DRY, DRY], reason: 'x' }, 'field "reason": cannot be combined with "diff"'],
  [{ gentle: true, concurrency: 3 }, 'field "concurrency": must be 1 or absent beside "gentle"'],
]

const noObjects: [unknown, string][] = [
  [[], 'the event'],
  [5, 'the event'],
  [true, 'the event'],
  ['execute', 'the event'],
  ['[{"execute":true}]', 'the event'],
  ['{"execute":true}', 'the event must be a JSON object: a text is a payload only as the "detail"'],
  ['{}', 'the event'],
  [' ', 'the event'],
]

const wrongEnvelopes: [unknown, string][] = [
  [enveloped({ excute: true }), 'did you mean "execute"?'],
  [enveloped('{"execute":"true"}'), 'field "execute": must be the boolean true or false, not "true"'],
  [enveloped('execute'), 'the event'],
  [enveloped('"{}"'), 'the event'],
  [enveloped([]), 'the event'],
  [enveloped({}, { execute: true }), 'field "execute": must be inside "detail"'],
  [enveloped({}, { requestKey: 'a/b' }), 'field "requestKey"'],
  [{ source: 'x', detail: {} }, 'unknown field "source"'],
]

describe('is refused, naming the field, with nothing done', () => {
  test.each([...wrongFields, ...unknownFields, ...wrongTogether, ...noObjects, ...wrongEnvelopes])(
    '%j',
    async (event, message) => {
      const { name, message: said } = await refusal(event)
      expect(name).toBe('InvalidEvent')
      expect(said).toContain(message)
      expect(said).toContain('Nothing was done.')
      expect(said).toMatch(/valid payload/i)
    },
  )
})

test('everything that is wrong with an event is reported at once', async () => {
  const { message } = await refusal({ excute: true, batchSize: 0, limits: { usd: -1 } })
  for (const field of ['"excute"', '"batchSize"', '"limits.usd"']) expect(message).toContain(field)
})

test('no id, e-mail or name of a person is repeated in the message', async () => {
  const { message } = await refusal({ userIds: ['ada@kilo.ai\0'], by: 5, history: 'bea@kilo.ai\0' })
  expect(message).toContain('field "userIds[0]"')
  expect(message).not.toMatch(/ada|bea|kilo\.ai/)
})

test('what looks like an envelope and carries fields beside it is not guessed at', async () => {
  expect(await refusal({ source: 'x', 'detail-type': 'y', execute: true })).toMatchObject({
    name: 'InvalidEvent',
  })
})
